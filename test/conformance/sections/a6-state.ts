import { BOTH, WS, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { awaitWitnessOffer, beats, expectPlainAcknowledgement, hasMarker, newConfig } from '../scenario.ts';
import { AGENT, asksFullState, CONFIG_STATUS, DEFAULT_CAPABILITIES, encodeMessage } from '../wire.ts';

/** Full state with a health tree of these components. */
const healthOf = (...components: string[]) => ({
  health: {
    healthy: true,
    componentHealthMap: Object.fromEntries(components.map((name) => [name, { healthy: true }])),
  },
});

const checks: readonly Check[] = [
  {
    id: 55,
    level: 'derived',
    title: 'A part that is left out stays as it was',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent({ attributes: { 'conformance.attribute': 'kept' } });
      await agent.first();
      await beats(agent, 2);
      await context.untilView(
        agent.uid,
        'description, health and effective config of the first message',
        ({ attributes, isHealthy, effectiveConfig }) =>
          (!context.shows('attributes') || attributes?.['conformance.attribute'] === 'kept') &&
          (!context.shows('isHealthy') || isHealthy === true) &&
          (!context.shows('effectiveConfig') || Object.values(effectiveConfig ?? {}).some((body) => body.includes('receivers'))),
      );
    },
  },
  {
    id: 56,
    level: 'must',
    title: 'A part that is present replaces the former one as a whole',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first(healthOf('extensions', 'pipeline:traces'));
      if (!context.shows('healthComponents')) context.notApplicable('the API does not show the health tree');
      await context.untilView(
        agent.uid,
        'both components',
        ({ healthComponents }) => healthComponents?.join() === 'extensions,pipeline:traces',
      );
      await agent.send(healthOf('extensions'));
      await context.untilView(agent.uid, 'the component to be gone', ({ healthComponents }) => healthComponents?.join() === 'extensions');
    },
  },
  {
    id: 57,
    level: 'MUST',
    title: 'A gap in the sequence is answered with ReportFullState',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      await agent.beat();
      agent.sequenceNum = 5n;
      context.expect(asksFullState(await agent.beat()), 'the gap from 1 to 5 went unnoticed');
    },
  },
  {
    id: 58,
    level: 'MUST',
    title: 'A compressed message of an unknown agent is answered with ReportFullState',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ sequenceNum: 41n });
      context.expect(asksFullState(await agent.beat()), 'no full state was asked for');
    },
  },
  {
    id: 59,
    level: 'derived',
    title: 'ReportFullState does not come when nothing is missing',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const replies = [await agent.first(), await agent.beat(), await agent.beat()];
      context.expect(!replies.some(asksFullState), 'it came without a gap');
      agent.sequenceNum = 0n;
      const fresh = [await agent.first(), await agent.beat(), await agent.beat()];
      const asked = fresh.filter(asksFullState).length;
      context.expect(asked <= 1, `a fresh process with a complete first message was asked ${asked} times`);
      context.note(`a fresh process is asked ${asked === 0 ? 'never' : 'once'}`);
    },
  },
  {
    id: 60,
    level: 'derived',
    title: 'Asking ends: a full answer clears it, and an agent that never counts is not asked each time',
    clause: 'Agent Status Compression (Go client)',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      agent.sequenceNum = 5n;
      await agent.beat();
      context.expect(!asksFullState(await agent.first()), 'asked again in the answer to the full state');
      context.expect(!asksFullState(await agent.beat()), 'asked again after the full state');
      const stuck = await context.agent();
      let asked = 0;
      const count = 20;
      for (let index = 0; index < count; index++) {
        stuck.sequenceNum = 0n;
        if (asksFullState(await stuck.first({ health: { healthy: index % 2 === 0 } }))) asked += 1;
      }
      context.expect(asked <= count / 2, `an agent that always sends 0 was asked ${asked} times in ${count}`);
      context.note(`an agent that always sends 0 was asked ${asked} times in ${count}`);
    },
  },
  {
    id: 61,
    level: 'MAY',
    title: 'A reconnect may begin with a compressed message',
    clause: 'Status Reporting',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      await agent.link.close();
      agent.moveTo(await context.link());
      const reply = await agent.beat();
      context.expect(reply.errorResponse === undefined, 'an error_response came');
      context.expect(!asksFullState(reply), 'the state was lost with the connection');
    },
  },
  {
    id: 62,
    level: 'derived',
    title: 'State outlives a restart of the server, or is asked for again',
    clause: 'Agent Status Compression',
    transports: BOTH,
    needs: ['node-control'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      await beats(agent, 2);
      await context.target.control?.restartNode?.(0);
      agent.moveTo(await context.link());
      const reply = await agent.beat();
      context.expect(reply.errorResponse === undefined, 'an error_response came');
      if (asksFullState(reply)) {
        context.note('asked for again');
        return;
      }
      context.note('kept');
      if (context.shows('attributes')) {
        await context.untilView(agent.uid, 'the description', ({ attributes }) => attributes?.['host.name'] !== undefined);
      }
    },
  },
  {
    id: 63,
    level: 'derived',
    title: 'The sequence belongs to the uid, not to the connection',
    clause: 'ServerToAgent.instance_uid',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.link();
      const left = context.agentOn(link);
      const right = context.agentOn(link, { sequenceNum: 100n });
      const replies = [await left.first(), await right.first()];
      for (let round = 0; round < 3; round++) {
        replies.push(await left.beat(), await right.beat(), await right.beat());
      }
      context.expect(!replies.some(asksFullState), 'interleaved agents look like a gap');
    },
  },
  {
    id: 64,
    level: 'derived',
    title: 'Sequence numbers are 64 bits wide',
    clause: 'AgentToServer.sequence_num',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ sequenceNum: 2n ** 53n + 1n });
      await agent.first();
      context.expect(!asksFullState(await agent.beat()), '2^53+2 after 2^53+1 looks like a gap');
      agent.sequenceNum = 2n ** 53n + 4n;
      context.expect(asksFullState(await agent.beat()), '2^53+4 after 2^53+2 went unnoticed');
      const last = await context.agent({ sequenceNum: 2n ** 64n - 1n });
      await last.first();
      last.sequenceNum = 0n;
      const reply = await last.beat();
      context.expect(reply.errorResponse === undefined, '0 after 2^64-1 got an error_response');
      context.note(`0 after 2^64-1 is ${asksFullState(reply) ? 'a gap' : 'the next number'}`);
    },
  },
  {
    id: 65,
    level: 'derived',
    title: 'A message refused as UNAVAILABLE does not count as received',
    clause: 'Throttling',
    transports: BOTH,
    needs: ['store-control'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const endOutage = await context.beginStoreOutage();
      const body = encodeMessage(agent.next({ health: { healthy: false } }));
      const bytes = context.transport === 'ws' ? Buffer.concat([Buffer.from([0]), body]) : body;
      const reaction = await agent.link.provoke(bytes);
      await endOutage();
      const isRefused =
        (reaction.kind === 'message' && reaction.message.errorResponse !== undefined) ||
        (reaction.kind === 'status' && reaction.status >= 400);
      if (!isRefused) context.notApplicable('this server goes on accepting a known agent without its store');
      if (agent.link.isEnded) agent.moveTo(await context.link());
      await context.eventually('a full state to be asked for', async () => {
        const next = encodeMessage(agent.next());
        const answer = await agent.link.provoke(context.transport === 'ws' ? Buffer.concat([Buffer.from([0]), next]) : next);
        return answer.kind === 'message' && asksFullState(answer.message);
      });
    },
  },
  {
    id: 66,
    level: 'should',
    title: 'A message with all fields at once is processed field by field',
    clause: 'AgentToServer Message',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({
        capabilities: DEFAULT_CAPABILITIES | AGENT.reportsPackageStatuses,
      });
      const reply = await agent.first({
        ...healthOf('extensions'),
        flags: 0n,
        connectionSettingsRequest: {},
        customCapabilities: { capabilities: ['org.example.conformance'] },
        customMessage: { capability: 'org.example.conformance', type: 'x', data: Buffer.from([0, 255]) },
        availableComponents: { hash: Buffer.from('01', 'hex') },
        connectionSettingsStatus: { status: CONFIG_STATUS.unset },
        agentDisconnect: {},
      });
      context.expect(reply.errorResponse === undefined, `error_response: ${reply.errorResponse?.errorMessage}`);
      if (context.target.api === undefined) return;
      await context.untilView(
        agent.uid,
        'the agent offline, with health and description of its only message',
        ({ isConnected, healthComponents, attributes }) =>
          !isConnected &&
          (!context.shows('healthComponents') || healthComponents?.join() === 'extensions') &&
          (!context.shows('attributes') || attributes?.['host.name'] !== undefined),
      );
    },
  },
  {
    id: 67,
    level: 'SHOULD',
    title: 'agent_disconnect ends the link at once: the agent is offline and gets no more pushes there',
    clause: 'AgentDisconnect',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      await context.untilView(agent.uid, 'the agent online', ({ isConnected }) => isConnected);
      await agent.send({ agentDisconnect: {} });
      await context.untilView(agent.uid, 'the agent offline', ({ isConnected }) => !isConnected);
      await context.api.assignConfig(agent.uid, newConfig().files);
      await awaitWitnessOffer(context);
      context.expect(agent.offers.length === 0, 'a push came after agent_disconnect');
    },
  },
  {
    id: 68,
    level: 'SHOULD',
    title: 'When a connection breaks, all agents on it are offline',
    clause: 'AgentDisconnect',
    transports: WS,
    needs: ['api'],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const agents = [context.agentOn(link), context.agentOn(link)];
      for (const agent of agents) {
        await agent.first();
        await context.untilView(agent.uid, 'the agent online', ({ isConnected }) => isConnected);
      }
      link.abort();
      for (const agent of agents) {
        await context.untilView(agent.uid, 'the agent offline', ({ isConnected }) => !isConnected);
      }
    },
  },
  {
    id: 69,
    level: 'derived',
    title: 'The late end of an old connection does not touch the new one',
    clause: 'Duplicate WebSocket Connections',
    transports: WS,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const old = agent.link;
      agent.moveTo(await context.webSocketLink());
      await agent.beat();
      old.abort();
      await awaitWitnessOffer(context);
      const view = await context.api.getAgent(agent.uid);
      context.expect(view?.isConnected === true, 'the agent is shown offline');
      const { files, marker } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await agent.untilOffer('a push on the new connection', (offer) => hasMarker(offer, marker));
    },
  },
  {
    id: 70,
    level: 'derived',
    title: 'What comes together with agent_disconnect is stored',
    clause: 'AgentToServer.agent_disconnect',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const reply = await agent.send({
        health: { healthy: false, lastError: 'shutting down' },
        agentDisconnect: {},
      });
      expectPlainAcknowledgement(context, reply);
      if (!context.shows('isHealthy')) context.notApplicable('the API does not show health');
      await context.untilView(
        agent.uid,
        'the agent offline with the health of its last message',
        ({ isConnected, isHealthy }) => !isConnected && isHealthy === false,
      );
    },
  },
];

export const a6State: Section = {
  key: 'A6',
  title: 'State, sequence numbers, full state',
  file: 'a6-state.ts',
  checks,
};
