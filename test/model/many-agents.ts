import { createFleetReader } from '@opamp-gateway/coordinator/bus/fleet-reader';
import { RolloutEngine } from '@opamp-gateway/coordinator/rollout/engine';
import { createRolloutService } from '@opamp-gateway/coordinator/rollout/rollout-service';
import type { RolloutView } from '@opamp-gateway/coordinator/rollout/service';
import { createConfigLookup, createRolloutStore } from '@opamp-gateway/coordinator/stores/rollout-store';
import { systemClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { FakeGateway, putGroup } from '../support/fake-gateway.ts';
import { startRedis, storeConfig, uidsOf } from '../support/rollout-lab.ts';

const AGENTS = 100_000;
const LANES = 64;
const MAX_ROUNDS = 200;
/** Above 50,000 agents a wave ends at a hash, not at a rank: its size is right within one percent of the fleet. */
const TOLERANCE = AGENTS / 100;

const STRATEGY = {
  waves: [
    { size: { count: 20 }, soak: '0s' },
    { size: { percent: 5 }, soak: '0s' },
    { size: { percent: 50 }, soak: '0s' },
    { size: { percent: 100 }, soak: '0s' },
  ],
  rate: 'unlimited',
  maxInFlight: AGENTS,
  healthHold: '0s',
  canaryMinHealthy: '0s',
  gates: ['ackRatio'],
};

/**
 * A whole rollout over 100,000 records by the real scripts, the real `desired` and the real engine, without sockets. Answers what is
 * wrong: agents that run something else, counters that are not the agents, waves that are not as large as they should be.
 */
export async function rolloutOverManyAgents(): Promise<{ problems: string[]; detail: string }> {
  const redis = await startRedis();
  try {
    const keys = redis.keys();
    const { client } = redis;
    const store = createRolloutStore({ client, keys });
    const fleet = createFleetReader({ client, keys, clock: systemClock, judgeDelayMs: 0 });
    const engine = new RolloutEngine({ store, fleet, logger: createSilentLogger() });
    const configs = createConfigLookup({ client, keys });
    const service = createRolloutService({ store, fleet, configs, engine, clock: systemClock, waker: { wake: () => undefined } });
    const stable = await storeConfig(client, keys, 'base', 'one');
    const to = await storeConfig(client, keys, 'base', 'two');
    await putGroup(client, keys, { name: 'all', selector: '', stable });
    const gateways = Array.from({ length: LANES }, (_, lane) => new FakeGateway({ id: `gw-${lane}`, client, keys, leaseMs: 600_000 }));
    const everywhere = async (act: (gateway: FakeGateway, lane: number) => Promise<void>): Promise<void> =>
      void (await Promise.all(gateways.map(act)));
    await everywhere(async (gateway, lane) => {
      await gateway.readSpec();
      const from = Math.floor((lane * AGENTS) / LANES);
      await gateway.connect(uidsOf(Math.floor(((lane + 1) * AGENTS) / LANES) - from, from));
      await gateway.round();
    });
    const agents = gateways.flatMap((gateway) => [...gateway.agents.values()]);
    const outcome = await service.create(
      { group: 'all', config: { name: to.name, version: to.version }, strategy: STRATEGY },
      { actor: 'soak' },
    );
    if (outcome.kind !== 'created') throw new Error(`the rollout was not created: ${JSON.stringify(outcome)}`);
    let view: RolloutView | undefined;
    for (let round = 0; round < MAX_ROUNDS && view?.phase !== 'succeeded'; round += 1) {
      await engine.reconcile(outcome.id);
      view = await service.get(outcome.id);
      if (view?.phase !== 'succeeded') await everywhere(async (gateway) => await gateway.round());
    }
    const problems = problemsOf(view, agents.length);
    const wrong = agents.filter(({ running }) => running !== to.hash).length;
    if (wrong > 0) problems.push(`${wrong} agents do not run the new version`);
    const twice = agents.filter(({ offers }) => offers.filter((hash) => hash === to.hash).length !== 1).length;
    if (twice > 0) problems.push(`${twice} agents were not offered it exactly once`);
    const sizes = view?.waves.map(({ counts }) => counts['applied'] ?? 0).join(', ') ?? '';
    return { problems, detail: `${agents.length} records, waves of ${sizes}` };
  } finally {
    await redis.stop();
  }
}

function problemsOf(view: RolloutView | undefined, agents: number): string[] {
  if (view === undefined) return ['the rollout is gone'];
  const problems: string[] = [];
  if (view.phase !== 'succeeded') problems.push(`the rollout is ${view.phase}, holds: ${view.holds.join(', ')}`);
  if (view.counts['applied'] !== agents) problems.push(`${view.counts['applied'] ?? 0} of ${agents} agents are counted as applied`);
  let sum = 0;
  for (const [index, percent] of [0.02, 5, 50, 100].entries()) {
    sum += view.waves[index]?.counts['applied'] ?? 0;
    const wanted = (agents * percent) / 100;
    if (Math.abs(sum - wanted) > TOLERANCE) problems.push(`after wave ${index} ${sum} agents have it, ${wanted} were wanted`);
  }
  return problems;
}
