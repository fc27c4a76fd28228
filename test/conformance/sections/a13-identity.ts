import { BOTH, WS, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { describeReaction } from '../link.ts';
import { UpgradeRefusedError } from '../raw/websocket-client.ts';
import { expectRefusal, isRefusal } from '../scenario.ts';
import type { TestAgent } from '../test-agent.ts';
import { asksFullState, encodeMessage, isSameBytes, REQUEST_INSTANCE_UID, toHex, withHeader } from '../wire.ts';

const IDENTIFICATION = 'ServerToAgent.agent_identification';
const DUPLICATES = 'Duplicate WebSocket Connections';
/** Identities asked for in one run of check 135. */
const IDENTITY_COUNT = 500;
/** Alternating messages of two agents with one uid before the suite gives up on being noticed. */
const DUPLICATE_ROUNDS = 20;

/** Asks for an instance_uid; returns the one given and the reply. Fails when none comes. */
const requestUid = async (context: CheckContext, agent: TestAgent) => {
  const reply = await agent.first({ flags: REQUEST_INSTANCE_UID });
  const given = reply.agentIdentification?.newInstanceUid;
  context.expect(given !== undefined, 'no agent_identification came');
  context.expect(given.length === 16, `new_instance_uid has ${given.length} bytes`);
  return { reply, given };
};

type DuplicateVerdict =
  | { readonly kind: 'new-uid'; readonly given: TestAgent; readonly kept: TestAgent }
  | { readonly kind: 'disconnected'; readonly how: string }
  | { readonly kind: 'unnoticed' };

/** Lets two different agents with one uid talk in turns over connections of their own, until the server reacts. */
const provokeDuplicate = async (context: CheckContext): Promise<DuplicateVerdict> => {
  const left = await context.agent();
  await left.first();
  let right: TestAgent;
  try {
    right = await context.agent({ uid: left.uid, attributes: { 'host.name': 'another-host' } });
    await right.first();
  } catch (error) {
    if (error instanceof UpgradeRefusedError) return { kind: 'disconnected', how: error.message };
    throw error;
  }
  const pair = [left, right] as const;
  const isGiven = (agent: TestAgent): boolean => agent.received.some((reply) => reply.agentIdentification !== undefined);
  for (let round = 0; round < DUPLICATE_ROUNDS; round++) {
    for (const agent of pair) {
      if (agent.link.isEnded) return { kind: 'disconnected', how: 'one connection was closed' };
      try {
        await agent.beat();
      } catch (error) {
        if (agent.link.isEnded) return { kind: 'disconnected', how: 'one connection was closed' };
        throw error;
      }
      const given = pair.find(isGiven);
      const kept = pair.find((candidate) => candidate !== given);
      if (given !== undefined && kept !== undefined) return { kind: 'new-uid', given, kept };
    }
  }
  return { kind: 'unnoticed' };
};

const checks: readonly Check[] = [
  {
    id: 133,
    level: 'MUST',
    title: 'An instance_uid that is not 16 bytes long is malformed',
    clause: 'AgentToServer.instance_uid',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const provoke = async (instanceUid: Uint8Array) => {
        const link = await context.link();
        const body = encodeMessage({ instanceUid, capabilities: 1n });
        return link.provoke(context.transport === 'ws' ? withHeader(body) : body);
      };
      for (const length of [0, 15, 17, 36]) {
        const reaction = await provoke(Buffer.alloc(length, 0x61));
        expectRefusal(context, `a uid of ${length} bytes`, reaction);
      }
      const ulid = await provoke(Buffer.from('01ARZ3NDEKTSV4RRFFQ69G5FAV', 'latin1'));
      const isAccepted = ulid.kind === 'message' && ulid.message.errorResponse === undefined;
      context.expect(isAccepted || isRefusal(ulid, false), `a ULID got ${describeReaction(ulid)}`);
      context.note(`26-byte ULIDs of old clients are ${isAccepted ? 'accepted' : 'refused'}`);
    },
  },
  {
    id: 134,
    level: 'spec',
    title: 'RequestInstanceUid is answered with a new uid, addressed to the temporary one',
    clause: 'AgentToServerFlags',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { reply, given } = await requestUid(context, agent);
      context.expect(isSameBytes(reply.instanceUid, agent.uid), 'the reply is not addressed to the temporary uid');
      context.expect(!isSameBytes(given, agent.uid), 'the new uid is the temporary one');
    },
  },
  {
    id: 135,
    level: 'MUST',
    title: 'New uids are UUIDv7 and never repeat',
    clause: IDENTIFICATION,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const links = [await context.link()];
      if (context.target.secondUrl !== undefined) links.push(await context.link({ node: 'second' }));
      const seen = new Set<string>();
      for (let index = 0; index < IDENTITY_COUNT; index++) {
        const link = links[index % links.length];
        if (link === undefined) break;
        const { given } = await requestUid(context, context.agentOn(link));
        context.expect(((given[6] ?? 0) & 0xf0) === 0x70, `not version 7: ${toHex(given)}`);
        context.expect(((given[8] ?? 0) & 0xc0) === 0x80, `not the RFC 9562 variant: ${toHex(given)}`);
        seen.add(toHex(given));
      }
      context.expect(seen.size === IDENTITY_COUNT, `${IDENTITY_COUNT - seen.size} uids were given twice`);
    },
  },
  {
    id: 136,
    level: 'SHOULD',
    title: 'Of two live agents with one uid exactly one gets a new uid',
    clause: 'Duplicate instance_uid Detection',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const verdict = await provokeDuplicate(context);
      if (verdict.kind === 'disconnected') {
        context.notApplicable(`the server disconnects instead: ${verdict.how}`);
      }
      context.expect(verdict.kind === 'new-uid', `unnoticed in ${DUPLICATE_ROUNDS} rounds`);
      const { given, kept } = verdict;
      const uid = given.received.find((reply) => reply.agentIdentification !== undefined)?.agentIdentification?.newInstanceUid;
      context.expect(uid?.length === 16, `new_instance_uid has ${uid?.length} bytes`);
      const renamed = context.agentOn(given.link, { uid, sequenceNum: given.sequenceNum });
      for (let round = 0; round < 3; round++) {
        await renamed.beat();
        await kept.beat();
      }
      context.expect(
        [renamed, kept].every((agent) => agent.received.every((reply) => reply.agentIdentification === undefined)),
        'another new uid was given after the two had been told apart',
      );
    },
  },
  {
    id: 137,
    level: 'MAY',
    title: 'Or one of the two is disconnected or denied',
    clause: 'Duplicate instance_uid Detection',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const verdict = await provokeDuplicate(context);
      if (verdict.kind === 'new-uid') context.notApplicable('the server gives one a new uid instead');
      if (verdict.kind === 'unnoticed') context.notApplicable('the server does neither; see check 136');
      context.note(verdict.how);
    },
  },
  {
    id: 138,
    level: 'MAY',
    title: 'A second connection of one agent is served, or denied; the first may be closed',
    clause: DUPLICATES,
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const old = await context.webSocketLink();
      const agent = context.agentOn(old);
      await agent.first();
      try {
        agent.moveTo(await context.webSocketLink());
      } catch (error) {
        if (!(error instanceof UpgradeRefusedError)) throw error;
        context.note('the second connection is denied');
        return;
      }
      const reply = await agent.beat();
      context.expect(reply.errorResponse === undefined, 'the second connection got an error_response');
      const isOldOpen = await old.ping(Buffer.from('still there')).then(
        () => true,
        () => false,
      );
      context.note(isOldOpen ? 'the first connection stays open' : 'the first connection is closed');
    },
  },
  {
    id: 139,
    level: 'derived',
    title: 'Reconnecting at once after a broken connection is not taken for a duplicate',
    clause: DUPLICATES,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      for (let round = 0; round < 50; round++) {
        agent.link.abort();
        agent.moveTo(await context.link());
        const reply = await agent.beat();
        context.expect(reply.agentIdentification === undefined, `a new uid came in round ${round + 1}`);
        context.expect(reply.errorResponse === undefined, `an error_response came in round ${round + 1}`);
      }
    },
  },
  {
    id: 140,
    level: 'derived',
    title: 'A repeated request for a uid gets the same uid again',
    clause: IDENTIFICATION,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { given } = await requestUid(context, agent);
      const { given: again } = await requestUid(context, agent);
      context.expect(isSameBytes(given, again), `${toHex(given)}, then ${toHex(again)}`);
    },
  },
  {
    id: 141,
    level: 'derived',
    title: 'The state follows the new uid, or is asked for again',
    clause: IDENTIFICATION,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { given } = await requestUid(context, agent);
      const renamed = context.agentOn(agent.link, { uid: given, sequenceNum: agent.sequenceNum });
      const reply = await renamed.beat();
      context.expect(reply.errorResponse === undefined, 'the new uid got an error_response');
      context.expect(isSameBytes(reply.instanceUid, given), 'the reply is not addressed to the new uid');
      context.note(asksFullState(reply) ? 'asked for again' : 'kept');
      if (asksFullState(reply)) await renamed.first();
      if (context.target.api === undefined) return;
      await context.untilView(
        given,
        'the new uid, online, with its description',
        ({ isConnected, attributes }) => isConnected && (!context.shows('attributes') || attributes?.['host.name'] !== undefined),
      );
      await context.eventually('the temporary uid offline or gone in the API', async () => {
        const former = await context.api.getAgent(agent.uid);
        return former?.isConnected !== true;
      });
    },
  },
  {
    id: 142,
    level: 'derived',
    title: 'A new uid and ReportFullState never come together',
    clause: `${IDENTIFICATION} (Go client)`,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      for (const sequenceNum of [0n, 77n]) {
        const agent = await context.agent({ sequenceNum });
        const reply = await agent.send({ flags: REQUEST_INSTANCE_UID });
        if (reply.agentIdentification === undefined) {
          context.notApplicable('no new uid came; see check 134');
        }
        context.expect(!asksFullState(reply), 'both came in one message');
      }
    },
  },
];

export const a13Identity: Section = { key: 'A13', title: 'Identity', file: 'a13-identity.ts', checks };
