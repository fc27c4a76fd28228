import type { CheckContext } from '../context.ts';
import { BOTH, WS, type Check, type Section } from '../check.ts';
import { agentWithConfig, expectErrorAlone, expectPlainAcknowledgement, hasMarker, newConfig } from '../scenario.ts';
import { encodeMessage, isSameBytes, newUid, toHex, withHeader } from '../wire.ts';

/** Messages that no server can process, as they go on the wire. */
const malformed = (transport: 'ws' | 'http'): readonly (readonly [string, Uint8Array])[] => {
  const header = (body: Uint8Array): Uint8Array => (transport === 'ws' ? withHeader(body) : body);
  return [
    ['a message without instance_uid', header(encodeMessage({ capabilities: 1n }))],
    ['an instance_uid of 15 bytes', header(encodeMessage({ instanceUid: newUid().subarray(1) }))],
    ['bytes that are not protobuf', header(Buffer.from('ffffffff', 'hex'))],
  ];
};

const checks: readonly Check[] = [
  {
    id: 35,
    level: 'MUST',
    title: 'Every AgentToServer gets a ServerToAgent',
    clause: 'Status Reporting',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const count = 100;
      const agent = await context.agent();
      await agent.first();
      if (context.transport === 'http') {
        for (let index = 0; index < count; index++) await agent.beat();
        return;
      }
      const link = await context.webSocketLink();
      agent.moveTo(link);
      for (let index = 0; index < count; index++) {
        link.socket.sendBinary(withHeader(encodeMessage(agent.next())));
      }
      const before = agent.received.length;
      await context.eventually(`${count} replies to ${count} pipelined messages`, () =>
        Promise.resolve(agent.received.length - before >= count),
      );
    },
  },
  {
    id: 36,
    level: 'spec',
    title: 'With nothing to say the reply carries the uid only',
    clause: 'ServerToAgent Message',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      await agent.beat();
      expectPlainAcknowledgement(context, await agent.beat());
    },
  },
  {
    id: 37,
    level: 'MUST',
    title: 'instance_uid is the one received, also for two agents on one connection',
    clause: 'ServerToAgent.instance_uid',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.link();
      const left = context.agentOn(link);
      const right = context.agentOn(link);
      for (const agent of [left, right, left, right, right, left]) {
        const reply = await (agent.sequenceNum === 0n ? agent.first() : agent.beat());
        context.expect(
          isSameBytes(reply.instanceUid, agent.uid),
          `the reply has ${toHex(reply.instanceUid)}, the agent is ${toHex(agent.uid)}`,
        );
      }
    },
  },
  {
    id: 38,
    level: 'MUST',
    title: 'A message that cannot be processed gets an error_response',
    clause: 'Status Reporting',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.link();
      const [what, bytes] = malformed(context.transport)[1] ?? context.fail('no malformed message');
      const reaction = await link.provoke(bytes);
      if (reaction.kind === 'status' && reaction.status === 400) {
        context.notApplicable('refused with status 400 and no ServerToAgent');
      }
      context.expect(
        reaction.kind === 'message' && reaction.message.errorResponse !== undefined,
        `${what} got no error_response but ${reaction.kind}`,
      );
    },
  },
  {
    id: 39,
    level: 'MUST',
    title: 'A message that was processed gets no error_response',
    clause: 'Status Reporting',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      for (const reply of [await agent.first(), await agent.beat()]) {
        context.expect(reply.errorResponse === undefined, `error_response: ${reply.errorResponse?.errorMessage}`);
      }
    },
  },
  {
    id: 40,
    level: 'must',
    title: 'error_response excludes every other part, also in the first message of a connection',
    clause: 'ServerToAgent.error_response',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      let seen = 0;
      for (const [what, bytes] of malformed(context.transport)) {
        const link = await context.link();
        const reaction = await link.provoke(bytes);
        if (reaction.kind !== 'message' || reaction.message.errorResponse === undefined) continue;
        expectErrorAlone(context, what, reaction.message);
        seen += 1;
      }
      if (seen === 0) context.notApplicable('no malformed message got an error_response');
      context.note(`${seen} error_responses seen`);
    },
  },
  {
    id: 41,
    level: 'MUST',
    title: 'The same message twice gets two replies',
    clause: 'Retrying Messages',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const body = encodeMessage(agent.next({ health: { healthy: true, status: 'StatusOK' } }));
      for (let copy = 0; copy < 2; copy++) {
        const reply = await agent.sendBytes(body);
        context.expect(reply.errorResponse === undefined, `copy ${copy + 1} got an error_response`);
      }
    },
  },
  {
    id: 42,
    level: 'may',
    title: 'The server pushes over WebSocket without being asked',
    clause: 'WebSocket Message Exchange',
    transports: WS,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const { files } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await agent.untilPush('a pushed offer', (message) => message.remoteConfig !== undefined);
    },
  },
  {
    id: 43,
    level: 'may',
    title: 'Of several changes during an absence only the newest is delivered',
    clause: 'Retrying Messages',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent } = await agentWithConfig(context);
      await agent.send({ agentDisconnect: {} });
      await agent.link.close();
      await context.eventually('the agent offline in the API', async () => {
        const view = await context.api.getAgent(agent.uid);
        return view?.isConnected === false;
      });
      let newest = '';
      for (let change = 0; change < 5; change++) {
        const { files, marker } = newConfig();
        await context.api.assignConfig(agent.uid, files);
        newest = marker;
      }
      agent.moveTo(await context.link());
      agent.mark();
      const before = agent.offers.length;
      await agent.untilOffer('the newest config', (offer) => hasMarker(offer, newest));
      const offers = agent.offers.slice(before);
      context.expect(offers.length === 1, `${offers.length} configs were offered`);
    },
  },
];

export const a4Answers: Section = {
  key: 'A4',
  title: 'Every message gets its answer',
  file: 'a4-answers.ts',
  checks,
};
