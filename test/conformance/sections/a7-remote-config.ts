import { BOTH, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import {
  agentWithConfig,
  assignAndAwaitOffer,
  awaitWitnessOffer,
  beats,
  configText,
  foreignHash,
  hasMarker,
  newConfig,
  shortHash,
  without,
} from '../scenario.ts';
import { ApiRefusedError, type ConfigFiles } from '../target.ts';
import { payloadsAt } from '../raw/protobuf-fields.ts';
import { offerIn } from '../test-agent.ts';
import { AGENT, asksFullState, CONFIG_STATUS, DEFAULT_CAPABILITIES, replyBytes, toHex } from '../wire.ts';

/** Assigns these files to a fresh agent; returns the hash offered, or undefined when the API refuses such files. */
const hashFor = async (context: CheckContext, files: ConfigFiles): Promise<string | undefined> => {
  const agent = await context.agent();
  await agent.first();
  try {
    await context.api.assignConfig(agent.uid, files);
  } catch (error) {
    if (error instanceof ApiRefusedError) {
      context.note(error.message);
      return undefined;
    }
    throw error;
  }
  const offer = await agent.untilOffer();
  await agent.link.close();
  return offer.hashHex;
};

const yaml = (body: string, contentType = 'text/yaml') => ({ body, contentType });

/** Without the bit, an assigned config is never sent. Also what opt-in remote config asks of a server. */
export const checkNoOfferWithoutBit = async (context: CheckContext): Promise<void> => {
  const agent = await context.agent({ capabilities: without(AGENT.acceptsRemoteConfig) });
  await agent.first();
  await context.api.assignConfig(agent.uid, newConfig().files).catch((error: unknown) => {
    if (!(error instanceof ApiRefusedError)) throw error;
    context.note(`the API takes no config for such an agent (${error.status})`);
  });
  await awaitWitnessOffer(context);
  await beats(agent, 3);
  context.expect(agent.offers.length === 0, 'remote_config came without AcceptsRemoteConfig');
};

const checks: readonly Check[] = [
  {
    id: 71,
    level: 'MUST',
    title: 'No remote_config for an agent without AcceptsRemoteConfig',
    clause: 'Configuration',
    transports: BOTH,
    needs: ['api'],
    run: checkNoOfferWithoutBit,
  },
  {
    id: 72,
    level: 'MUST',
    title: 'A reported hash that differs from the wanted one brings the config, an empty one too',
    clause: 'RemoteConfigStatus',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent, offer } = await agentWithConfig(context);
      for (const [what, remoteConfigStatus] of [
        ['another hash', { lastRemoteConfigHash: foreignHash(), status: CONFIG_STATUS.applied }],
        ['an empty hash', {}],
      ] as const) {
        await agent.link.close();
        agent.moveTo(await context.link());
        agent.mark();
        await agent.first({ remoteConfigStatus });
        const again = await agent.untilOffer(`the config for ${what}`);
        context.expect(again.hashHex === offer.hashHex, `${what} brought ${shortHash(again.hash)} instead of ${shortHash(offer.hash)}`);
        await agent.reportConfig(offer.hash, CONFIG_STATUS.applied);
      }
    },
  },
  {
    id: 73,
    level: 'SHOULD',
    title: 'No remote_config when the hashes are equal',
    clause: 'AgentRemoteConfig',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent, offer } = await agentWithConfig(context);
      const before = agent.offers.length;
      await beats(agent, 3);
      await agent.link.close();
      agent.moveTo(await context.link());
      await agent.first({
        remoteConfigStatus: { lastRemoteConfigHash: offer.hash, status: CONFIG_STATUS.applied },
      });
      await awaitWitnessOffer(context);
      await beats(agent, 3);
      context.expect(agent.offers.length === before, 'the config was sent again');
    },
  },
  {
    id: 74,
    level: 'MUST',
    title: 'config_hash is always set',
    clause: 'AgentRemoteConfig',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      for (let change = 0; change < 2; change++) {
        const offer = await assignAndAwaitOffer(context, agent);
        context.expect(offer.hash.length > 0, 'an offer has no hash');
        await agent.reportConfig(offer.hash, CONFIG_STATUS.applied);
      }
    },
  },
  {
    id: 75,
    level: 'must',
    title: 'Equal content has an equal hash, and any difference another one',
    clause: 'AgentRemoteConfig.config_hash',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const text = configText('hash-check');
      const single = await hashFor(context, { '': yaml(text) });
      const again = await hashFor(context, { '': yaml(text) });
      context.expect(single !== undefined && single === again, `${single} and ${again} for equal content`);
      const other = await hashFor(context, { '': yaml(text.replace('hash-check', 'hash-chfck')) });
      context.expect(other !== single, 'one changed byte left the hash as it was');
      const typed = await hashFor(context, { '': yaml(text, 'application/yaml') });
      if (typed !== undefined) context.expect(typed !== single, 'another content_type has the same hash');
      const named = await hashFor(context, { 'collector.yaml': yaml(text) });
      if (named !== undefined) context.expect(named !== single, 'another name has the same hash');
      const extra = configText('second-file');
      const forward = await hashFor(context, { a: yaml(text), b: yaml(extra) });
      const backward = await hashFor(context, { b: yaml(extra), a: yaml(text) });
      context.expect(forward === backward, 'the order of files changes the hash');
    },
  },
  {
    id: 76,
    level: 'may',
    title: 'A changed config comes without a report that asks for it',
    clause: 'Configuration',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent } = await agentWithConfig(context);
      await assignAndAwaitOffer(context, agent);
    },
  },
  {
    id: 77,
    level: 'must',
    title: 'File names in a config are unique',
    clause: 'Configuration Files',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const files = { a: yaml(configText('names')), b: yaml(configText('second-file')) };
      try {
        await context.api.assignConfig(agent.uid, files);
      } catch (error) {
        if (!(error instanceof ApiRefusedError)) throw error;
        context.note(error.message);
        await context.api.assignConfig(agent.uid, newConfig().files);
      }
      await agent.untilOffer();
      const message = agent.received.find((candidate) => candidate.remoteConfig !== undefined);
      context.expect(message !== undefined, 'no offer came');
      // ServerToAgent.remote_config(3).config(1).config_map(1).key(1)
      const names = payloadsAt(replyBytes(message), [3, 1, 1, 1]).map((name) => toHex(name));
      context.expect(new Set(names).size === names.length, `keys in hex: ${names.join(' ')}`);
    },
  },
  {
    id: 78,
    level: 'SHOULD',
    title: 'A config of one file is one entry',
    clause: 'AgentConfigMap',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const offer = await assignAndAwaitOffer(context, agent);
      const names = Object.keys(offer.files);
      context.expect(names.length === 1, `${names.length} entries: ${JSON.stringify(names)}`);
      context.note(`named ${JSON.stringify(names[0])}`);
    },
  },
  {
    id: 79,
    level: 'may',
    title: 'A description that selects another config brings it',
    clause: 'Configuration',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const assign = context.api.assignConfigToMatching?.bind(context.api);
      if (assign === undefined) context.notApplicable('the API assigns no config by attributes');
      const value = `v${Date.now().toString(36)}${context.transport}`;
      const { files, marker } = newConfig();
      await assign({ 'conformance.select': value }, files);
      const agent = await context.agent();
      await agent.first();
      const described = context.agentOn(agent.link, {
        uid: agent.uid,
        sequenceNum: agent.sequenceNum,
        attributes: { 'conformance.select': value },
      });
      await described.send({ agentDescription: described.fullState().agentDescription });
      await described.untilOffer('the config that the new description selects', (offer) => hasMarker(offer, marker));
    },
  },
  {
    id: 80,
    level: 'should',
    title: 'No effective config is expected from an agent that does not report it',
    clause: 'Configuration',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({ capabilities: without(AGENT.reportsEffectiveConfig) });
      const replies = [await agent.first(), await agent.beat()];
      context.expect(!replies.some(asksFullState), 'the agent was asked for a full state');
    },
  },
  {
    id: 81,
    level: 'derived',
    title: 'FAILED with the wanted hash is an answer: the config is not sent again',
    clause: 'RemoteConfigStatus.last_remote_config_hash',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const offer = await assignAndAwaitOffer(context, agent);
      await agent.reportConfig(offer.hash, CONFIG_STATUS.failed, 'cannot apply');
      await awaitWitnessOffer(context);
      await beats(agent, 5);
      const count = agent.offers.filter(({ hashHex }) => hashHex === offer.hashHex).length;
      context.expect(count === 1, `the failed config was offered ${count} times`);
      await context.untilView(
        agent.uid,
        'the failure and its message',
        ({ configStatus, configError }) =>
          (!context.shows('configStatus') || configStatus === 'FAILED') &&
          (!context.shows('configError') || configError?.includes('cannot apply') === true),
      );
    },
  },
  {
    id: 82,
    level: 'derived',
    title: 'A config that FAILED is not pressed on an agent that has gone back to the former one',
    clause: 'RemoteConfigStatus (collector rollback)',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const { agent, offer: former } = await agentWithConfig(context);
      const offer = await assignAndAwaitOffer(context, agent);
      await agent.reportConfig(offer.hash, CONFIG_STATUS.applying);
      await agent.reportConfig(offer.hash, CONFIG_STATUS.failed, 'crashed');
      await agent.reportConfig(former.hash, CONFIG_STATUS.applied);
      await awaitWitnessOffer(context);
      await beats(agent, 10);
      const count = agent.offers.filter(({ hashHex }) => hashHex === offer.hashHex).length;
      context.expect(count <= 2, `the failed config was offered ${count} times`);
      context.note(`offered ${count} times`);
    },
  },
  {
    id: 83,
    level: 'derived',
    title: 'An agent that never reports a hash gets each config once, not with each message',
    clause: 'RemoteConfigStatus',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent({
        capabilities: without(AGENT.reportsRemoteConfig, DEFAULT_CAPABILITIES),
      });
      await agent.first();
      const offer = await assignAndAwaitOffer(context, agent);
      await beats(agent, 10);
      const count = agent.offers.filter(({ hashHex }) => hashHex === offer.hashHex).length;
      context.expect(count === 1, `the config was offered ${count} times`);
    },
  },
  {
    id: 84,
    level: 'derived',
    title: 'APPLYING is neither success nor failure, and nothing is sent again meanwhile',
    clause: 'RemoteConfigStatuses',
    transports: BOTH,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const offer = await assignAndAwaitOffer(context, agent);
      await agent.reportConfig(offer.hash, CONFIG_STATUS.applying);
      await awaitWitnessOffer(context);
      const replies = await beats(agent, 5);
      context.expect(
        replies.every((reply) => offerIn(reply) === undefined),
        'the config was sent again while it was being applied',
      );
      const reply = await agent.reportConfig(offer.hash, CONFIG_STATUS.applied);
      context.expect(offerIn(reply) === undefined, 'the config was sent again after APPLIED');
    },
  },
];

export const a7RemoteConfig: Section = {
  key: 'A7',
  title: 'Remote configuration',
  file: 'a7-remote-config.ts',
  checks,
};
