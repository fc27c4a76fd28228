/** The story that the demo tells, as data. */
import type { AttributeTemplate } from '../agent-attributes.ts';
import type { FailureRule, ProfileShare } from '../agent-profile.ts';
import { createRandom } from '../random.ts';

/** Fixes who fails, what each agent is called, and how long it takes. */
export const SEED = 20_260;
/** 5 s of a real supervisor's apply timeout are 300 ms here. */
export const TIME_SCALE = 0.06;
export const HTTP_FRACTION = 0.1;
export const HTTP_POLL_MS = 1_000;
export const CANARY = 10;
export const CONFIG_NAME = 'collector';

/** One in this many hosts runs an old image. */
const IMAGES = 20;
const ARCHIVE_REFUSES = 0.3;

const OLD_IMAGE_INDEX = Math.floor(createRandom(SEED)() * IMAGES);

const PRIVATE_CA: FailureRule = {
  kind: 'crash',
  match: { contains: 'ca-2026.pem' },
  error:
    'Agent exited unexpectedly with exit code 1 while applying configuration\n' +
    'Error: failed to build pipelines: failed to create "otlp_grpc/secondary" exporter: failed to load TLS config: ' +
    'failed to load CA CertPool File: open /etc/otel/ca-2026.pem: no such file or directory',
};

const ARCHIVE_FULL: FailureRule = {
  kind: 'crash',
  match: { contains: 'otlp_http/archive' },
  probability: ARCHIVE_REFUSES,
  salt: 'archive',
  afterAgents: CANARY,
  error:
    'Agent exited unexpectedly with exit code 1 while applying configuration\n' +
    'Error: cannot start pipelines: failed to start "otlp_http/archive" exporter: archive.internal:4318 refused the session: too many agents',
};

/** Whether an agent's host runs the old image. */
export function hasOldImage(index: number): boolean {
  return index % IMAGES === OLD_IMAGE_INDEX;
}

/** Everybody may run into the archive's limit; hosts with the old image also lack the CA file. */
export function demoProfiles(agents: number): readonly ProfileShare[] {
  const old = Array.from({ length: agents }, (_, index) => index).filter(hasOldImage);
  return [
    { profile: 'normal', indexes: old, overrides: { failOn: [PRIVATE_CA, ARCHIVE_FULL] } },
    { profile: 'normal', fraction: 1, overrides: { failOn: [ARCHIVE_FULL] } },
  ];
}

/** Two environments of equal size, and the version of the host image. */
export function demoAttributes(agents: number): AttributeTemplate {
  const half = Math.floor(agents / 2);
  const images = Array.from({ length: IMAGES }, (_, index) => (hasOldImage(index) ? '2025.11' : '2026.03'));
  return {
    nonIdentifying: {
      env: {
        blocks: [
          { value: 'edge', agents: half },
          { value: 'prod', agents: agents - half },
        ],
      },
      'host.image.version': { cycle: images },
      'cloud.region': { cycle: ['eu-west-1', 'us-east-1', 'ap-south-1'] },
    },
  };
}

const QUICK = {
  rate: 'unlimited',
  ackTimeout: '15s',
  healthHold: '500ms',
  canaryMinHealthy: '0s',
  spreadBy: ['host.image.version'],
} as const;

/** All agents at once: for a fleet that has nothing yet. */
const EVERYBODY = {
  ...QUICK,
  waves: [{ size: { percent: 100 }, soak: '1s' }],
  maxInFlight: 5_000,
  failure: { maxCount: 0 },
  onFailure: 'rollback',
};

/** Canary, a quarter, everybody. */
const CAREFUL = {
  ...QUICK,
  waves: [
    { size: { count: CANARY }, soak: '1s', failure: { maxCount: 0 } },
    { size: { percent: 25 }, soak: '1s' },
    { size: { percent: 100 }, soak: '1s' },
  ],
  maxInFlight: 1_000,
  failure: { maxCount: 3 },
  onFailure: 'rollback',
};

/** As CAREFUL, with few unanswered offers at a time: a breaker can only spare whom nobody has asked yet. */
const SLOW_WAVES = { ...CAREFUL, maxInFlight: 15 };

/** One rollout of one config to some groups at the same time, and how it has to end. */
export interface Act {
  readonly title: string;
  readonly file: string;
  /** Groups of simulated agents. */
  readonly groups: readonly ('edge' | 'prod')[];
  readonly strategy: Readonly<Record<string, unknown>>;
  readonly ends: 'succeeded' | 'rolled_back';
  /** For a rollout that fails: the wave that stops it. */
  readonly stoppedBy?: 'canary' | 'breaker';
}

export const ACTS: readonly Act[] = [
  {
    title: 'Baseline: every agent gets its first config',
    file: '1-baseline.yaml',
    groups: ['edge', 'prod'],
    strategy: EVERYBODY,
    ends: 'succeeded',
  },
  {
    title: `A second exporter beside the first: ${CANARY} canaries, 25 %, 100 %`,
    file: '2-dual-export.yaml',
    groups: ['edge', 'prod'],
    strategy: CAREFUL,
    ends: 'succeeded',
  },
  {
    title: 'A private CA that 5 % of the hosts do not have: the canary stops it',
    file: '3-private-ca.yaml',
    groups: ['edge'],
    strategy: CAREFUL,
    ends: 'rolled_back',
    stoppedBy: 'canary',
  },
  {
    title: 'A backend that refuses agents once the canaries are on it: the breaker stops it',
    file: '4-archive.yaml',
    groups: ['prod'],
    strategy: SLOW_WAVES,
    ends: 'rolled_back',
    stoppedBy: 'breaker',
  },
];
