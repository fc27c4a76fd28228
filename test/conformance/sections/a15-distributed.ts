import { BOTH, HTTP, notApplicable, WS, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { PROTOBUF_TYPE } from '../http-link.ts';
import { describeReaction, type Reaction } from '../link.ts';
import { UpgradeRefusedError } from '../raw/websocket-client.ts';
import { agentWithConfig, assignAndAwaitOffer, awaitWitnessOffer, beats, hasMarker, newConfig } from '../scenario.ts';
import type { TestAgent } from '../test-agent.ts';
import { asksFullState, CONFIG_STATUS, encodeMessage, ERROR_TYPE, withHeader } from '../wire.ts';

const CLAUSE = 'several nodes, not in the specification';

/** Ends the agent's connection. Where that can be seen, its node lets go of it: one that stands still for a moment may be taken for dead. */
const leave = async (context: CheckContext, agent: TestAgent): Promise<void> => {
  await agent.link.close();
  if (context.transport !== 'ws' || context.target.api === undefined) return;
  await context.untilView(agent.uid, 'the agent let go by its node', ({ isConnected }) => !isConnected);
};

/** Tries to let a new agent in while the store is away. */
const knockDuringOutage = async (context: CheckContext): Promise<Reaction> => {
  try {
    const link = await context.link();
    const agent = context.agentOn(link);
    const body = encodeMessage(agent.next(agent.fullState()));
    return await link.provoke(context.transport === 'ws' ? withHeader(body) : body);
  } catch (error) {
    if (error instanceof UpgradeRefusedError) {
      return { kind: 'status', status: error.response.status, bodyBytes: 0 };
    }
    throw error;
  }
};

const checks: readonly Check[] = [
  {
    id: 159,
    level: 'derived',
    title: 'An agent that moves to another node between two messages goes on where it was',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['second-node'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const replies = [await agent.first(), await agent.beat()];
      for (const node of ['second', 'first', 'second'] as const) {
        await leave(context, agent);
        agent.moveTo(await context.link({ node }));
        replies.push(await agent.beat());
      }
      context.expect(!replies.some(asksFullState), 'a full state was asked for');
      context.expect(
        replies.every((reply) => reply.errorResponse === undefined),
        'an error_response came',
      );
      if (context.target.api !== undefined) await assignAndAwaitOffer(context, agent);
    },
  },
  {
    id: 160,
    level: 'derived',
    title: 'A config reaches its agent on whichever node that is',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['api', 'second-node'],
    async run(context: CheckContext) {
      for (const node of ['first', 'second'] as const) {
        const agent = await context.agent({ node });
        await agent.first();
        await assignAndAwaitOffer(context, agent);
      }
    },
  },
  {
    id: 161,
    level: 'derived',
    title: 'The agents of a node that died are served elsewhere from their next message on',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['second-node', 'node-control'],
    async run(context: CheckContext) {
      const { control } = context.target;
      const agent = await context.agent();
      await agent.first();
      await agent.beat();
      await control?.killNode?.(0);
      context.onEnd(() => control?.restartNode?.(0));
      agent.moveTo(await context.link({ node: 'second' }));
      const reply = await agent.beat();
      context.expect(reply.errorResponse === undefined, 'an error_response came');
      context.note(asksFullState(reply) ? 'a full state is asked for' : 'no full state is asked for');
      if (asksFullState(reply)) await agent.first();
      const after = await beats(agent, 2);
      context.expect(!after.some(asksFullState), 'a full state is asked for again and again');
    },
  },
  {
    id: 162,
    level: 'derived',
    title: 'After a takeover one node alone owns the agent: a push comes once, to the new place',
    clause: CLAUSE,
    transports: WS,
    needs: ['api', 'second-node'],
    async run(context: CheckContext) {
      const { agent } = await agentWithConfig(context);
      const old = agent.link;
      agent.moveTo(await context.webSocketLink({ node: 'second' }));
      await agent.beat();
      agent.mark();
      const { files, marker } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await agent.untilOffer('the push on the second node', (offer) => hasMarker(offer, marker));
      await awaitWitnessOffer(context);
      const strays = old.drainInbox(agent.uid).filter((message) => message.remoteConfig !== undefined);
      context.expect(strays.length === 0, 'the push came on the former node too');
      const count = agent.offers.filter((offer) => hasMarker(offer, marker)).length;
      context.expect(count === 1, `the push came ${count} times`);
    },
  },
  notApplicable(
    163,
    'derived',
    'A late write of the former node does not overwrite newer state',
    CLAUSE,
    'needs a delay inside one node; a matter for fault tests',
  ),
  {
    id: 164,
    level: 'derived',
    title: 'An offer in a response that nobody read comes again',
    clause: CLAUSE,
    transports: HTTP,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent } = await agentWithConfig(context);
      const { files, marker } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await awaitWitnessOffer(context);
      const body = encodeMessage(agent.next());
      const connection = await context.httpConnection();
      await connection.send({
        headers: [['Content-Type', PROTOBUF_TYPE], ...context.headers()],
        body,
      });
      connection.abort();
      agent.mark();
      // The HTTP client of an agent sends the same bytes again.
      await agent.sendBytes(body);
      const offer = await agent.untilOffer('the offer after a lost response', (candidate) => hasMarker(candidate, marker));
      await agent.reportConfig(offer.hash, CONFIG_STATUS.applied);
      await beats(agent, 3);
      const count = agent.offers.filter((candidate) => hasMarker(candidate, marker)).length;
      context.expect(count === 1, `the offer was read ${count} times`);
    },
  },
  {
    id: 165,
    level: 'derived',
    title: 'The hash of a config is equal on all nodes',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['api', 'second-node'],
    async run(context: CheckContext) {
      const { files } = newConfig();
      const hashes: string[] = [];
      for (const node of ['first', 'second'] as const) {
        const agent = await context.agent({ node });
        await agent.first();
        await context.api.assignConfig(agent.uid, files);
        const offer = await agent.untilOffer();
        hashes.push(offer.hashHex);
      }
      context.expect(hashes[0] === hashes[1], hashes.join(' and '));
    },
  },
  {
    id: 166,
    level: 'derived',
    title: 'A retry that lands on another node is answered like the first try',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['second-node'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const body = encodeMessage(agent.next({ health: { healthy: true } }));
      const here = await agent.sendBytes(body);
      await leave(context, agent);
      agent.moveTo(await context.link({ node: 'second' }));
      const there = await agent.sendBytes(body);
      const after = await agent.beat();
      context.expect(
        [here, there, after].every((reply) => reply.errorResponse === undefined),
        'an error_response came',
      );
      context.expect(!asksFullState(after), 'the retry left a gap');
    },
  },
  {
    id: 167,
    level: 'derived',
    title: 'Without its store the server refuses new agents openly and declares nobody offline',
    clause: CLAUSE,
    transports: BOTH,
    needs: ['store-control'],
    async run(context: CheckContext) {
      const known = await context.agent();
      await known.first();
      const endOutage = await context.beginStoreOutage();
      const reaction = await knockDuringOutage(context);
      const isOpen =
        (reaction.kind === 'message' && reaction.message.errorResponse?.type === ERROR_TYPE.unavailable) ||
        (reaction.kind === 'status' && reaction.status === 503);
      context.expect(isOpen, `a new agent got ${describeReaction(reaction)}`);
      await endOutage();
      if (context.transport === 'http') return;
      context.expect(!known.link.isEnded, 'the connection of a known agent was closed');
      await known.beat();
      const api = context.target.api;
      if (api === undefined) return;
      await context.eventually('the known agent online in the API', async () => {
        const view = await api.getAgent(known.uid).catch(() => undefined);
        return view?.isConnected === true;
      });
    },
  },
  notApplicable(
    168,
    'derived',
    'After a total restart full states are asked for at a bounded rate',
    CLAUSE,
    'needs a fleet of thousands; a matter for load tests',
  ),
];

export const a15Distributed: Section = {
  key: 'A15',
  title: 'Several nodes',
  file: 'a15-distributed.ts',
  checks,
};
