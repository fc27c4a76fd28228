import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import { BOTH, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { awaitWitnessOffer, beats } from '../scenario.ts';
import { ApiRefusedError } from '../target.ts';
import type { TestAgent } from '../test-agent.ts';
import { AGENT, DEFAULT_CAPABILITIES, presentParts } from '../wire.ts';

const RESTARTABLE = DEFAULT_CAPABILITIES | AGENT.acceptsRestartCommand;
const CLAUSE = 'ServerToAgent.command';

/** The server's way to order a restart; not applicable when there is none for the transport of this run. */
const restarter = (context: CheckContext): ((uid: Uint8Array) => Promise<void>) => {
  const restart = context.api.restart?.bind(context.api);
  if (restart === undefined) context.notApplicable('the API orders no restarts');
  if (context.transport === 'http' && !context.api.reachesPollers) {
    context.notApplicable('the API orders no restarts of agents that poll');
  }
  return restart;
};

/** Orders a restart and waits for the command; both at once, because a polling agent has to poll meanwhile. */
const restarted = async (context: CheckContext, agent: TestAgent): Promise<ServerToAgent> => {
  const restart = restarter(context);
  const [message] = await Promise.all([
    agent.until('the command', (reply) => reply.command !== undefined),
    context.untilAccepted(() => restart(agent.uid)),
  ]);
  return message;
};

const checks: readonly Check[] = [
  {
    id: 130,
    level: 'must',
    title: 'A command travels with nothing but uid and capabilities',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: RESTARTABLE });
      await agent.first();
      const message = await restarted(context, agent);
      const others = presentParts(message).filter((part) => part !== 'command' && part !== 'capabilities');
      context.expect(others.length === 0, `with it came ${others.join(', ')}`);
    },
  },
  {
    id: 131,
    level: 'MUST',
    title: 'No command for an agent without AcceptsRestartCommand',
    clause: 'Interoperability of Partial Implementations',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const restart = restarter(context);
      const agent = await context.agent();
      await agent.first();
      const isRefused = await restart(agent.uid).then(
        () => false,
        (error: unknown) => {
          if (error instanceof ApiRefusedError) return true;
          throw error;
        },
      );
      await awaitWitnessOffer(context);
      await beats(agent, 2);
      context.expect(
        agent.received.every((reply) => reply.command === undefined),
        'the command was sent',
      );
      context.note(isRefused ? 'refused by the API' : 'taken by the API, not sent');
    },
  },
  {
    id: 132,
    level: 'derived',
    title: 'A command is delivered once, not again after a reconnect',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: RESTARTABLE });
      await agent.first();
      await restarted(context, agent);
      await agent.link.close();
      agent.moveTo(await context.link());
      agent.sequenceNum = 0n;
      await agent.first();
      await awaitWitnessOffer(context);
      await beats(agent, 2);
      const count = agent.received.filter((reply) => reply.command !== undefined).length;
      context.expect(count === 1, `it came ${count} times`);
    },
  },
];

export const a12Commands: Section = { key: 'A12', title: 'Commands', file: 'a12-commands.ts', checks };
