/** All scenarios, in the order in which they run: each leaves the fleet as the next one needs it, `stuck` ruins it, `million` brings its own. */
import type { Scenario } from '../harness/run.ts';
import { drain } from './drain.ts';
import { gatewayKill } from './gateway-kill.ts';
import { million } from './million.ts';
import { ramp } from './ramp.ts';
import { redisRestart } from './redis-restart.ts';
import { refuse } from './refuse.ts';
import { rollout } from './rollout.ts';
import { soak } from './soak.ts';
import { storm } from './storm.ts';
import { stuckAgents } from './stuck.ts';
import { tls } from './tls.ts';

export const SCENARIOS: readonly Scenario[] = [
  ramp,
  rollout,
  refuse,
  gatewayKill,
  drain,
  storm,
  redisRestart,
  soak,
  tls,
  stuckAgents,
  million,
];
