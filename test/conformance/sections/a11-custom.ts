import { randomBytes } from 'node:crypto';
import { BOTH, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { awaitWitnessOffer, expectPlainAcknowledgement } from '../scenario.ts';
import { ApiRefusedError } from '../target.ts';
import type { TestAgent } from '../test-agent.ts';
import { AGENT, asksComponents, asksFullState, DEFAULT_CAPABILITIES, isSameBytes } from '../wire.ts';

const FIRST = 'org.example.conformance.first';
const SECOND = 'org.example.conformance.second';
const COMPONENT_CAPABILITIES = DEFAULT_CAPABILITIES | AGENT.reportsAvailableComponents;
const HANDSHAKE = 'AvailableComponents';

/** The server's way to send custom messages; not applicable when there is none for the transport of this run. */
const customSender = (context: CheckContext) => {
  const send = context.api.sendCustomMessage?.bind(context.api);
  if (send === undefined) context.notApplicable('the API sends no custom messages');
  if (context.transport === 'http' && !context.api.reachesPollers) {
    context.notApplicable('the API sends no custom messages to agents that poll');
  }
  return send;
};

const componentTree = (hash: Uint8Array) => ({
  availableComponents: {
    hash,
    components: { receivers: { subComponentMap: { otlp: {} } } },
  },
});

/** Reports a hash of components and sends a few beats; whether the server asked for the components in any answer. */
const isAskedForComponents = async (agent: TestAgent, hash: Uint8Array): Promise<boolean> => {
  const replies = [await agent.first({ availableComponents: { hash } }), await agent.beat(), await agent.beat()];
  return replies.some(asksComponents);
};

/** An agent whose components the server asked for and got; not applicable when the server never asks. */
const agentWithKnownComponents = async (context: CheckContext, hash: Uint8Array): Promise<TestAgent> => {
  const agent = await context.agent({ capabilities: COMPONENT_CAPABILITIES });
  if (!(await isAskedForComponents(agent, hash))) {
    context.notApplicable('this server does not ask for components that it does not know');
  }
  const answer = await agent.send(componentTree(hash));
  context.expect(!asksComponents(answer), 'the components were asked for again in the answer to them');
  return agent;
};

const checks: readonly Check[] = [
  {
    id: 122,
    level: 'should',
    title: 'The server’s custom capabilities come in its first message and again only when they change',
    clause: 'CustomCapabilities',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const first = await agent.first();
      const list = first.customCapabilities?.capabilities.join() ?? '';
      context.note(list === '' ? 'none announced' : `announced: ${list}`);
      for (const reply of [await agent.beat(), await agent.beat()]) {
        const repeated = reply.customCapabilities?.capabilities.join();
        context.expect(repeated === undefined || repeated === list, `"${list}" became "${repeated}" without a change`);
      }
    },
  },
  {
    id: 123,
    level: 'should',
    title: 'The agent’s list of custom capabilities replaces the former one',
    clause: 'CustomCapabilities',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const send = customSender(context);
      const agent = await context.agent();
      await agent.first({ customCapabilities: { capabilities: [FIRST, SECOND] } });
      await agent.send({ customCapabilities: { capabilities: [SECOND] } });
      await send(agent.uid, { capability: FIRST, type: 't', data: new Uint8Array() }).catch((error: unknown) => {
        if (!(error instanceof ApiRefusedError)) throw error;
      });
      await context.untilAccepted(() => send(agent.uid, { capability: SECOND, type: 't', data: new Uint8Array() }));
      const message = await agent.until('a custom message', (reply) => reply.customMessage !== undefined);
      context.expect(message.customMessage?.capability === SECOND, 'a message came for a capability that is gone');
    },
  },
  {
    id: 124,
    level: 'spec',
    title: 'An agent that never listed custom capabilities gets no custom messages',
    clause: 'CustomCapabilities',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const send = customSender(context);
      const agent = await context.agent();
      await agent.first();
      const refused = await send(agent.uid, { capability: FIRST, type: 't', data: new Uint8Array() }).then(
        () => false,
        (error: unknown) => error instanceof ApiRefusedError,
      );
      await awaitWitnessOffer(context);
      await agent.beat();
      context.expect(
        agent.received.every((reply) => reply.customMessage === undefined),
        'a custom message was sent',
      );
      context.note(refused ? 'refused by the API' : 'taken by the API, not sent');
    },
  },
  {
    id: 125,
    level: 'spec',
    title: 'A custom message of an unknown capability is acknowledged and ignored',
    clause: 'CustomMessage',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first({ customCapabilities: { capabilities: [FIRST] } });
      const reply = await agent.send({
        customMessage: { capability: FIRST, type: 'unknown', data: randomBytes(64) },
      });
      expectPlainAcknowledgement(context, reply);
    },
  },
  {
    id: 126,
    level: 'derived',
    title: 'A custom message arrives once and byte for byte',
    clause: 'CustomMessage',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const send = customSender(context);
      const data = randomBytes(64 * 1024);
      const agent = await context.agent();
      await agent.first({ customCapabilities: { capabilities: [FIRST] } });
      await context.untilAccepted(() => send(agent.uid, { capability: FIRST, type: 'blob', data }));
      const message = await agent.until('the custom message', (reply) => reply.customMessage !== undefined);
      context.expect(isSameBytes(message.customMessage?.data ?? new Uint8Array(), data), 'the data changed');
      await agent.beat();
      const count = agent.received.filter((reply) => reply.customMessage !== undefined).length;
      context.expect(count === 1, `it came ${count} times`);
    },
  },
  {
    id: 127,
    level: 'may',
    title: 'Components with an unknown hash are asked for, once per hash',
    clause: HANDSHAKE,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const hash = randomBytes(32);
      await agentWithKnownComponents(context, hash);
      const second = await context.agent({ capabilities: COMPONENT_CAPABILITIES });
      context.expect(!(await isAskedForComponents(second, hash)), 'a second agent with the same hash was asked too');
    },
  },
  {
    id: 128,
    level: 'may',
    title: 'Components are remembered by their hash on every node',
    clause: HANDSHAKE,
    transports: BOTH,
    needs: ['second-node'],
    async run(context: CheckContext) {
      const hash = randomBytes(32);
      await agentWithKnownComponents(context, hash);
      await context.eventually('the second node to know the hash', async () => {
        const other = await context.agent({ node: 'second', capabilities: COMPONENT_CAPABILITIES });
        const isAsked = await isAskedForComponents(other, hash);
        await other.link.close();
        return !isAsked;
      });
    },
  },
  {
    id: 129,
    level: 'derived',
    title: 'Components that are left out stay as they were',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await agentWithKnownComponents(context, randomBytes(32));
      for (const reply of [await agent.beat(), await agent.beat()]) {
        context.expect(!asksComponents(reply), 'a beat brought the request for components');
        context.expect(!asksFullState(reply), 'a beat brought the request for a full state');
      }
    },
  },
];

export const a11Custom: Section = {
  key: 'A11',
  title: 'Custom messages and components',
  file: 'a11-custom.ts',
  checks,
};
