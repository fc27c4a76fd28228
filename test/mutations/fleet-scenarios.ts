/** What has to hold for the rollout machinery, each on a stack of its own that runs the packages of `root`. */
import { Redis } from 'ioredis';
import { CheckContext } from '../conformance/context.ts';
import { GatewayApi } from '../conformance/own-target.ts';
import { toHttpUrl } from '../conformance/target.ts';
import { CONFIG_STATUS } from '../conformance/wire.ts';
import type { RolloutAction } from '../support/api-client.ts';
import { collectorConfig } from '../support/collector-config.ts';
import { type Fleet, type FleetOptions, startFleet } from '../support/fleet.ts';
import { Deployment, FAST_STRATEGY, isEnded, waitForRollout } from '../support/rollouts.ts';
import { type Stack, type StackOptions, startStack } from '../support/stack.ts';
import { eventsBroken, notOn } from '../support/truth.ts';
import { show, waitUntil } from '../support/wait-for.ts';

/** A defect shows as something that never happens; ten times what it takes when it does. */
const DEADLINE_MS = 40_000;
const CHECK_DEADLINE_MS = 20_000;

async function withStack(options: StackOptions, run: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = await startStack(options);
  try {
    await run(stack);
  } finally {
    await stack.stop();
  }
}

async function withFleet(stack: Stack, options: FleetOptions, run: (fleet: Fleet) => Promise<void>): Promise<void> {
  const fleet = await startFleet(stack, options);
  try {
    await run(fleet);
  } finally {
    await fleet.close();
  }
}

/** Agents under the scenario's hand, on the two gateways of the stack. */
async function withContext(stack: Stack, run: (context: CheckContext) => Promise<void>): Promise<void> {
  const [first = '', second = ''] = stack.gatewayUrls;
  const target = {
    url: first,
    httpUrl: toHttpUrl(first),
    secondUrl: second,
    secondHttpUrl: toHttpUrl(second),
    api: new GatewayApi({ baseUrl: stack.apiUrl }),
  };
  const context = new CheckContext(target, 'ws', CHECK_DEADLINE_MS);
  try {
    await run(context);
  } finally {
    await context.end();
  }
}

/** Many pauses and resumes at once, to both coordinators: every one that is answered is one event, in one line. */
export async function actionsAtTheSameTime(root: string): Promise<void> {
  await withStack({ root, gateways: 1, coordinators: 2 }, async (stack) => {
    await withFleet(stack, { name: 'raced', agents: 20 }, async (fleet) => {
      const deployment = await Deployment.create(stack.api, fleet);
      const config = await deployment.store('raced 1');
      const id = await deployment.start(config, {
        ...FAST_STRATEGY,
        waves: [
          { size: { count: 2 }, soak: '10m' },
          { size: { percent: 100 }, soak: '0s' },
        ],
      });
      await waitForRollout(stack.api, id, 'to soak', ({ waves }) => waves[0]?.phase === 'soaking');
      const clients = stack.apiUrls.map((url) => stack.api.at(url));
      for (let round = 0; round < 10; round += 1) {
        const actions = Array.from({ length: 8 }, (_, index): RolloutAction => (index % 4 < 2 ? 'pause' : 'resume'));
        // Who comes second may be refused: what counts is that both know what the other one did.
        await Promise.allSettled(actions.map(async (action, index) => await clients[index % 2]?.act(id, action)));
        const [events, rollout] = [await stack.api.getEvents(id), await stack.api.getRollout(id)];
        const broken = eventsBroken(events);
        if (broken.length > 0) throw new Error(`the events contradict each other: ${broken.join('; ')}`);
        if (events.length !== rollout.eventSeq) throw new Error(`${events.length} events are stored, ${rollout.eventSeq} were made`);
      }
    });
  });
}

/**
 * An agent reports its old config after the new one was offered, and its connection dies before it has read the offer: the
 * report was no answer, so the offer comes again.
 */
export async function lostOfferAfterAnOldReport(root: string): Promise<void> {
  await withStack({ root, gateways: 2, coordinators: 1 }, async (stack) => {
    await withContext(stack, async (context) => {
      const assign = async (uid: Uint8Array, marker: string): Promise<void> =>
        await context.api.assignConfig(uid, { '': { body: collectorConfig(marker), contentType: 'text/yaml' } });
      const agent = await context.agent();
      await agent.first();
      await waitUntil(
        'the API to know the agent',
        async () => await context.api.getAgent(agent.uid),
        (view) => view !== undefined,
      );
      await assign(agent.uid, 'lost 1');
      const old = await agent.untilOffer();
      await agent.reportConfig(old.hash, CONFIG_STATUS.applied);
      await assign(agent.uid, 'lost 2');
      const lost = await agent.untilOffer();
      await agent.reportConfig(old.hash, CONFIG_STATUS.applied);
      agent.link.abort();
      await waitUntil(
        'the API to show the agent as away',
        async () => (await context.api.getAgent(agent.uid))?.isConnected,
        (isConnected) => isConnected === false,
      );
      agent.moveTo(await context.link({ node: 'second' }));
      agent.mark();
      const isAsking = ({ flags }: { readonly flags: bigint }): boolean => (flags & 1n) === 1n;
      if (!isAsking(await agent.beat())) await agent.until('the question what it runs', isAsking);
      await agent.first({ remoteConfigStatus: { lastRemoteConfigHash: old.hash, status: CONFIG_STATUS.applied } });
      await agent.untilOffer('the offer that was lost', ({ hashHex }) => hashHex === lost.hashHex);
    });
  });
}

/** A gateway that was cut off from the store writes what it still had when the agent has long been elsewhere. */
export async function lateWriteOfAFormerOwner(root: string): Promise<void> {
  await withStack({ root, gateways: 2, coordinators: 1, redis: { proxied: true } }, async (stack) => {
    await withContext(stack, async (context) => {
      const isHealthy = async (uid: Uint8Array): Promise<boolean | undefined> => (await context.api.getAgent(uid))?.isHealthy;
      const agent = await context.agent();
      await agent.first();
      await waitUntil(
        'the API to show the agent as healthy',
        async () => await isHealthy(agent.uid),
        (healthy) => healthy === true,
      );
      const witness = await context.agent();
      await witness.first();
      await waitUntil(
        'the API to show the witness',
        async () => await isHealthy(witness.uid),
        (healthy) => healthy === true,
      );
      stack.redisProxy('gateway-1').blackhole();
      // Both are answered from memory; the gateway cannot store what they say.
      await agent.send({ health: { healthy: false, lastError: 'before the move' } });
      await witness.send({ health: { healthy: false, lastError: 'still here' } });
      agent.link.abort();
      agent.moveTo(await context.link({ node: 'second' }));
      await agent.first({ health: { healthy: false, lastError: 'moved' } });
      await agent.send({ health: { healthy: true } });
      await waitUntil(
        'the API to show the agent as healthy on the other gateway',
        async () => ({ view: await context.api.getAgent(agent.uid) }),
        ({ view }) => view?.isConnected === true && view.isHealthy === true,
      );
      stack.redisProxy('gateway-1').heal();
      await waitUntil(
        'the gateway to store what it had',
        async () => await isHealthy(witness.uid),
        (healthy) => healthy === false,
      );
      await waitUntil(
        'the gateway to have nothing left to store',
        async () => Number(/dirty_agents(?:\{[^}]*\})? (\d+)/.exec(await stack.metrics('gateway-1'))?.[1]),
        (dirty) => dirty === 0,
      );
      const view = await context.api.getAgent(agent.uid);
      if (view?.isHealthy !== true || !view.isConnected)
        throw new Error(
          `the record shows what the former gateway knew: ${show({ isHealthy: view?.isHealthy, isConnected: view?.isConnected })}`,
        );
    });
  });
}

/** Every coordinator dies in the middle of a rollout, and the queues with them: whoever starts next goes on. */
export async function everyCoordinatorDies(root: string): Promise<void> {
  await withStack({ root, gateways: 1, coordinators: 2 }, async (stack) => {
    await withFleet(stack, { name: 'orphaned', agents: 60 }, async (fleet) => {
      const deployment = await Deployment.create(stack.api, fleet);
      const config = await deployment.store('orphaned 1');
      const id = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 2 });
      await waitForRollout(stack.api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 6);
      await Promise.all(stack.names('coordinator').map(async (name) => await stack.kill(name)));
      const redis = new Redis(stack.redisUrl);
      try {
        const keys = [stack.keys.queueRollouts, stack.keys.queueWakes].map((queue) => `${stack.keys.queuePrefix}:${queue}*`);
        const found = (await Promise.all(keys.map(async (pattern) => await redis.keys(pattern)))).flat();
        if (found.length > 0) await redis.del(found);
      } finally {
        redis.disconnect();
      }
      await Promise.all(stack.names('coordinator').map(async (name) => await stack.restart(name)));
      await waitForRollout(stack.api, id, 'to end under new coordinators', isEnded, { deadlineMs: DEADLINE_MS });
      const wrong = notOn(await fleet.records(), config.hash);
      if (wrong.length > 0) throw new Error(`agents were left behind: ${wrong.join('; ')}`);
    });
  });
}
