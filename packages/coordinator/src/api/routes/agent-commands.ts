import { acceptsRestartCommand } from '@opamp-gateway/shared/capabilities';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { HTTP_OWNER } from '@opamp-gateway/shared/redis/keys';
import type { FastifyInstance } from 'fastify';
import type { AgentCommand } from '../../bus/command-bus.ts';
import type { Identity } from '../../access/roles.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { ProblemError } from '../problem.ts';
import { BASE64_PATTERN } from '../patterns.ts';
import * as schema from '../schemas.ts';
import { groupOf, requireAgent } from './agents.ts';
import { actorOf } from './audit.ts';
import type { AuditInput } from '../../stores/audit-log.ts';

/** Bytes of a custom message, before base64. */
const MAX_CUSTOM_MESSAGE_BYTES = 64 * 1024;

const SENT = schema.answer(
  'The agent’s gateway has sent it.',
  schema.view({ uid: schema.UID, gateway: schema.text('The gateway that sent it.') }),
);

/** Commands to one agent, carried out by the gateway that holds its connection. Sent once, never repeated. */
export function agentCommandRoutes(app: FastifyInstance, { agents, groups, commands, audit }: ApiDependencies): void {
  const send = async (
    record: AgentRecord,
    command: AgentCommand,
    entry: Omit<AuditInput, 'target' | 'group'>,
  ): Promise<Record<string, unknown>> => {
    const { uid, owner } = record;
    await audit.append({ ...entry, target: `agent/${uid}`, group: groupOf(await groups.spec(), record) });
    const outcome = await commands.send(owner, command);
    switch (outcome.kind) {
      case 'ok':
        return { uid, gateway: owner };
      case 'refused':
        throw new ProblemError('agent-unable', `gateway ${owner} refused: ${outcome.reason}`);
      case 'timeout':
        throw new ProblemError('gateway-timeout', `gateway ${owner} did not answer in time; whether it sent the command is not known`);
    }
  };

  const reachable = async (uid: string, identity: Identity): Promise<AgentRecord> => {
    const record = await agents.get(uid.toLowerCase());
    if (record === undefined) throw new ProblemError('agent-not-found', `there is no agent ${uid}`);
    requireAgent(identity, await groups.spec(), record);
    if (record.owner === '') throw new ProblemError('agent-away', `agent ${record.uid} is away`);
    if (record.owner === HTTP_OWNER)
      throw new ProblemError('agent-away', `agent ${record.uid} polls over HTTP, no gateway holds a connection to it`);
    return record;
  };

  app.post(
    '/agents/:uid/restart',
    {
      schema: {
        tags: ['agents'],
        summary: 'Restart an agent',
        params: schema.params({ uid: schema.UID }),
        body: schema.body({ reason: schema.REASON }),
        response: { 202: SENT, ...schema.problems('agent-not-found', 'agent-away', 'agent-unable', 'invalid-body', 'gateway-timeout') },
      },
    },
    async (request, reply) => {
      const record = await reachable((request.params as { uid: string }).uid, request.identity);
      if (!acceptsRestartCommand(record.capabilities))
        throw new ProblemError('agent-unable', `agent ${record.uid} did not announce AcceptsRestartCommand`);
      const { reason } = request.body as { reason?: string };
      const sent = await send(
        record,
        { type: 'restart', uid: record.uid },
        { ...actorOf(request), action: 'agent.restart', reason, detail: { reason: reason ?? '' } },
      );
      return await reply.code(202).send(sent);
    },
  );

  app.post(
    '/agents/:uid/custom-messages',
    {
      schema: {
        tags: ['agents'],
        summary: 'Send an agent a custom message',
        params: schema.params({ uid: schema.UID }),
        body: schema.body(
          {
            capability: schema.text('Custom capability, as the agent announced it.', { minLength: 1, maxLength: 256 }),
            messageType: schema.text('Type, as the capability defines it.', { minLength: 1, maxLength: 256 }),
            dataBase64: schema.text('The bytes, in base64.', {
              pattern: BASE64_PATTERN,
              maxLength: Math.ceil(MAX_CUSTOM_MESSAGE_BYTES / 3) * 4,
              default: '',
            }),
          },
          ['capability', 'messageType'],
        ),
        response: {
          202: SENT,
          ...schema.problems('malformed-body', 'agent-not-found', 'agent-away', 'agent-unable', 'invalid-body', 'gateway-timeout'),
        },
      },
    },
    async (request, reply) => {
      const { capability, messageType, dataBase64 } = request.body as { capability: string; messageType: string; dataBase64: string };
      const record = await reachable((request.params as { uid: string }).uid, request.identity);
      if (!record.customCapabilities.includes(capability)) {
        throw new ProblemError('agent-unable', `agent ${record.uid} did not announce the custom capability ${capability}`);
      }
      const command: AgentCommand = { type: 'custom-message', uid: record.uid, capability, messageType, dataBase64 };
      const sent = await send(record, command, {
        ...actorOf(request),
        action: 'agent.custom-message',
        detail: { capability, messageType },
      });
      return await reply.code(202).send(sent);
    },
  );
}
