import { createFleet } from '../support/fleet.ts';
import { SentinelSet } from '../support/redis-sentinels.ts';
import { Deployment, expectTruth, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { startStack } from '../support/stack.ts';
import { notOn } from '../support/truth.ts';

const ROUNDS = 6;
const AGENTS = 200;
const PATIENT = { deadlineMs: 300_000 };

/**
 * Kills the primary of a Sentinel set in the middle of one rollout after the other; every second time with steps and reports that no
 * replica has, and with a gateway at the same time. The former primary comes back as a replica each time. Answers what is wrong.
 */
export async function rolloutsOverFailovers(): Promise<{ problems: string[]; detail: string }> {
  const sets: SentinelSet[] = [];
  const stack = await startStack({
    gateways: 3,
    coordinators: 2,
    gatewayEnv: { OPAMP_GATEWAY_LEASE_MS: '4000' },
    store: async (directory) => {
      const set = await SentinelSet.start({ directory, replicas: 2 });
      sets.push(set);
      return set;
    },
  });
  const { api } = stack;
  const fleet = await createFleet(stack, { name: 'failovers', agents: AGENTS });
  const problems: string[] = [];
  let done = 0;
  try {
    const [set] = sets;
    if (set === undefined) throw new Error('the Sentinels were not started');
    await fleet.boot();
    await fleet.waitUntilConnected();
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('failovers 0', PATIENT);
    for (let round = 1; round <= ROUNDS; round += 1) {
      const config = await deployment.store(`failovers ${round}`);
      const id = await deployment.start(config, { ...FAST_STRATEGY, maxInFlight: 10 });
      await waitForRollout(api, id, 'to have moved some', ({ counts }) => (counts['applied'] ?? 0) >= 40, PATIENT);
      const former = await set.primary();
      const loses = round % 2 === 0;
      if (loses) {
        await set.cutReplication(former);
        await stack.kill('gateway-3');
        await waitForRollout(api, id, 'to have moved more', ({ counts }) => (counts['applied'] ?? 0) >= 80, PATIENT);
      }
      await former.kill('SIGKILL');
      await set.waitForFailover(former);
      await former.start();
      if (loses) await stack.restart('gateway-3');
      const { counts } = await deployment.finish(id, 'succeeded', PATIENT);
      if (counts['applied'] !== AGENTS) problems.push(`round ${round}: ${JSON.stringify(counts)}`);
      problems.push(...notOn(await fleet.records(), config.hash));
      await expectTruth(api, fleet, id, { compareCounters: false, compareWaves: !loses });
      done = round;
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    await fleet.close();
    await stack.stop();
  }
  return { problems, detail: `${done} of ${ROUNDS} failovers, each in the middle of a rollout over ${AGENTS} agents` };
}
