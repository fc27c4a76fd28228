import type { CheckContext } from '../context.ts';
import { BOTH, type Check, type Section } from '../check.ts';
import {
  assignAndAwaitOffer,
  awaitWitnessOffer,
  beats,
  expectPlainAcknowledgement,
  foreignHash,
  hasMarker,
  newConfig,
  without,
} from '../scenario.ts';
import {
  AGENT,
  asksComponents,
  CONFIG_STATUS,
  DEFAULT_CAPABILITIES,
  encodeMessage,
  lengthDelimitedField,
  SERVER,
  UNKNOWN_FIELD,
  varintField,
} from '../wire.ts';

const checks: readonly Check[] = [
  {
    id: 44,
    level: 'MUST',
    title: 'The first ServerToAgent says the server’s capabilities',
    clause: 'ServerToAgent.capabilities',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const reply = await agent.first();
      context.expect(reply.capabilities !== 0n, 'capabilities are unset');
    },
  },
  {
    id: 45,
    level: 'MUST',
    title: 'AcceptsStatus is among them',
    clause: 'ServerCapabilities',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { capabilities } = await agent.first();
      context.expect((capabilities & SERVER.acceptsStatus) !== 0n, `capabilities are 0x${capabilities.toString(16)}`);
    },
  },
  {
    id: 46,
    level: 'MUST',
    title: 'Bits without a meaning are 0',
    clause: 'ServerToAgent.capabilities; Non-Ignorable Extensions',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { capabilities } = await agent.first();
      context.expect((capabilities & ~SERVER.known) === 0n, `capabilities are 0x${capabilities.toString(16)}`);
    },
  },
  {
    id: 47,
    level: 'MAY',
    title: 'Later messages repeat the same capabilities or leave them out',
    clause: 'ServerToAgent.capabilities',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { capabilities } = await agent.first();
      for (const reply of await beats(agent, 3)) {
        context.expect(
          reply.capabilities === 0n || reply.capabilities === capabilities,
          `0x${capabilities.toString(16)} became 0x${reply.capabilities.toString(16)}`,
        );
      }
    },
  },
  {
    id: 48,
    level: 'derived',
    title: 'What the capabilities do not announce is never sent',
    clause: 'Interoperability of Partial Implementations',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: 0xffffn });
      const first = await agent.first({
        packageStatuses: { serverProvidedAllPackagesHash: foreignHash() },
        connectionSettingsStatus: {
          lastConnectionSettingsHash: foreignHash(),
          status: CONFIG_STATUS.applied,
        },
      });
      const replies = [first, ...(await beats(agent, 2))];
      const announces = (bit: bigint): boolean => (first.capabilities & bit) !== 0n;
      context.expect(
        announces(SERVER.offersPackages) || replies.every((reply) => reply.packagesAvailable === undefined),
        'packages came from a server that does not announce them',
      );
      context.expect(
        announces(SERVER.offersConnectionSettings) || replies.every((reply) => reply.connectionSettings === undefined),
        'connection settings came from a server that does not announce them',
      );
      context.expect(
        announces(SERVER.offersRemoteConfig) || replies.every((reply) => reply.remoteConfig === undefined),
        'a config came from a server that does not announce remote config',
      );
    },
  },
  {
    id: 49,
    level: 'MUST',
    title: 'Parts that the agent’s capabilities do not ask for never come',
    clause: 'Interoperability of Partial Implementations',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: AGENT.reportsStatus });
      await agent.first({
        remoteConfigStatus: { lastRemoteConfigHash: foreignHash(), status: CONFIG_STATUS.applied },
        packageStatuses: { serverProvidedAllPackagesHash: foreignHash() },
        connectionSettingsStatus: {
          lastConnectionSettingsHash: foreignHash(),
          status: CONFIG_STATUS.applied,
        },
        availableComponents: { hash: foreignHash() },
      });
      if (context.target.api !== undefined) {
        await context.api.assignConfig(agent.uid, newConfig().files).catch((error: unknown) => {
          context.note(`the API takes no config for such an agent: ${String(error)}`);
        });
        await awaitWitnessOffer(context);
      }
      await beats(agent, 2);
      for (const reply of agent.received) {
        context.expect(reply.remoteConfig === undefined, 'remote_config came');
        context.expect(reply.connectionSettings === undefined, 'connection_settings came');
        context.expect(reply.packagesAvailable === undefined, 'packages_available came');
        context.expect(reply.command === undefined, 'a command came');
        context.expect(!asksComponents(reply), 'the components were asked for');
      }
    },
  },
  {
    id: 50,
    level: 'MUST',
    title: 'A change of the agent’s capabilities counts from the message that brings it',
    clause: 'AgentToServer.capabilities',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      agent.capabilities = without(AGENT.acceptsRemoteConfig);
      await agent.beat();
      const { files, marker } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await awaitWitnessOffer(context);
      await beats(agent, 2);
      context.expect(agent.offers.length === 0, 'a config came while the capability was off');
      agent.capabilities = DEFAULT_CAPABILITIES;
      await agent.untilOffer('the config after the capability came back', (offer) => hasMarker(offer, marker));
    },
  },
  {
    id: 51,
    level: 'derived',
    title: 'Agent capabilities of the future are tolerated, all 64 bits',
    clause: 'Interoperability of Partial Implementations',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const capabilities = 0xffff_ffff_0000_0001n;
      const agent = await context.agent({ capabilities });
      const reply = await agent.first();
      context.expect(reply.errorResponse === undefined, 'an error_response came');
      expectPlainAcknowledgement(context, await agent.beat());
      if (!context.shows('capabilities')) return;
      await context.untilView(agent.uid, `capabilities 0x${capabilities.toString(16)}`, (view) => view.capabilities === capabilities);
    },
  },
  {
    id: 52,
    level: 'derived',
    title: 'Capabilities 0 in a later message mean "as before"',
    clause: 'AgentToServer.capabilities (.NET client)',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      agent.capabilities = 0n;
      await agent.beat();
      await assignAndAwaitOffer(context, agent);
    },
  },
  {
    id: 53,
    level: 'must',
    title: 'Fields that do not exist yet are ignored wherever they stand',
    clause: 'Ignorable Extensions',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const unknown = Buffer.concat([varintField(UNKNOWN_FIELD, 7n), lengthDelimitedField(UNKNOWN_FIELD + 1, Buffer.from('future'))]);
      const inTop = Buffer.concat([encodeMessage(agent.next()), unknown]);
      const description = lengthDelimitedField(3, unknown);
      const inNested = Buffer.concat([encodeMessage(agent.next()), description]);
      for (const body of [inTop, inNested]) {
        const reply = await agent.sendBytes(body);
        context.expect(reply.errorResponse === undefined, `error_response: ${reply.errorResponse?.errorMessage}`);
      }
    },
  },
  {
    id: 54,
    level: 'must',
    title: 'A report without its capability is tolerated',
    clause: 'Interoperability of Partial Implementations (Go client)',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: AGENT.reportsStatus });
      const reply = await agent.first({
        effectiveConfig: { configMap: { configMap: { '': { body: Buffer.from('a: 1\n') } } } },
        remoteConfigStatus: {},
        packageStatuses: {},
        health: { healthy: true },
      });
      context.expect(reply.errorResponse === undefined, 'an error_response came');
      const beat = await agent.beat();
      context.expect(beat.errorResponse === undefined, 'an error_response came to the next message');
    },
  },
];

export const a5Capabilities: Section = {
  key: 'A5',
  title: 'Capabilities',
  file: 'a5-capabilities.ts',
  checks,
};
