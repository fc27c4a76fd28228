import type { CheckContext } from '../context.ts';
import { BOTH, type Check, type Section } from '../check.ts';
import { CSR, featureCheck } from '../feature.ts';
import { describeReaction } from '../link.ts';
import { expectErrorAlone, expectPlainAcknowledgement, isRefusal } from '../scenario.ts';
import { encodeMessage, withHeader } from '../wire.ts';

const FLOW = 'Agent-initiated CSR Flow';

const csr = (...parameters: readonly [number, Check['level'], string, string]): Check => featureCheck(CSR, ...parameters);

const checks: readonly Check[] = [
  csr(105, 'SHOULD', 'A valid CSR is answered with a certificate for its key', 'CertificateRequest'),
  csr(106, 'MUST', 'A CSR that is invalid or denied gets BAD_REQUEST', FLOW),
  csr(107, 'MUST', 'A CSR names the uid of the agent that sends it', 'Using instance_uid in the CSR'),
  csr(108, 'must', 'A CSR may name the new uid over a connection with the old certificate', 'Using instance_uid in the CSR'),
  csr(109, 'MAY', 'The answer to a CSR may carry other settings', FLOW),
  csr(110, 'must', 'A CSR may come again at any time', FLOW),
  {
    id: 111,
    level: 'spec',
    title: 'A connection settings request without content asks for nothing',
    clause: 'ConnectionSettingsRequest',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      for (const connectionSettingsRequest of [{}, { opamp: {} }]) {
        const reply = await agent.send({ connectionSettingsRequest });
        expectPlainAcknowledgement(context, reply);
      }
    },
  },
  {
    id: 112,
    level: 'derived',
    title: 'A server that takes no CSRs ignores or refuses one',
    clause: 'Interoperability of Partial Implementations',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { capabilities } = await agent.first();
      if ((capabilities & CSR.bit) !== 0n) context.notApplicable(`announced (${CSR.name})`);
      const body = encodeMessage(
        agent.next({
          connectionSettingsRequest: {
            opamp: { certificateRequest: { csr: Buffer.from('-----BEGIN CERTIFICATE REQUEST-----') } },
          },
        }),
      );
      const reaction = await agent.link.provoke(context.transport === 'ws' ? withHeader(body) : body);
      const isIgnored =
        reaction.kind === 'message' && reaction.message.errorResponse === undefined && reaction.message.connectionSettings === undefined;
      context.expect(isIgnored || isRefusal(reaction, false), `a CSR got ${describeReaction(reaction)}`);
      if (reaction.kind === 'message' && !isIgnored) expectErrorAlone(context, 'a CSR', reaction.message);
      context.note(isIgnored ? 'ignored' : 'refused');
    },
  },
];

export const a9Csr: Section = { key: 'A9', title: 'Certificate requests', file: 'a9-csr.ts', checks };
