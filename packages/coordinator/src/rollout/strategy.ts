import type { Gate } from './gate-strategy.ts';
import type { MaintenanceWindow } from './schedule.ts';

/** The strategy of a rollout with every default filled in; as stored in its document. */
export interface Strategy {
  /** 1 … 50; the last one reaches everybody. */
  waves: WaveStrategy[];
  /** Attribute that replaces the uid in the bucket hash. */
  bucketBy: string | null;
  /** Attributes of which the canary takes at least one agent of each combination that fits. */
  spreadBy: string[];
  /** Null = 10 % of the group, at least 1, at most 5,000. */
  maxInFlight: number | null;
  /** Most agents under way that share a value of the attribute `by`; null = no such limit. */
  maxInFlightPer: DomainLimit | null;
  rate: Ramp | 'unlimited';
  ackTimeoutMs: number;
  healthHoldMs: number;
  offline: OfflinePolicy;
  gates: Gate[];
  deadlines: { waveMs: number; totalMs: number };
  /** Unix ms before which nothing is offered, null = now. */
  startAtMs: number | null;
  /** Nobody new is offered anything outside of these; empty = always open. */
  windows: MaintenanceWindow[];
  revertWithinMs: number;
  /** How long a canary should have been connected and healthy. */
  canaryMinHealthyMs: number;
  /** What becomes of agents whose build lacks a component of the config: passed by, or the rollout is refused. */
  missingComponents: MissingComponents;
}

/** See {@link Strategy.missingComponents}. */
export const MISSING_COMPONENTS = ['skip', 'refuse'] as const;
export type MissingComponents = (typeof MISSING_COMPONENTS)[number];

/** Offers per second: starts at `start`, times `factor` for every `per` successes, at most `max`. */
export interface Ramp {
  start: number;
  factor: number;
  per: number;
  max: number;
}

/** A failure domain: agents with the same value of an attribute. */
export interface DomainLimit {
  by: string;
  max: number;
}

/**
 * What becomes of agents that are away: they get the version when they come back (`defer`), their wave waits for them (`wait`),
 * or who was away when the rollout started gets it after its end only (`exclude`).
 */
export const OFFLINE_POLICIES = ['defer', 'wait', 'exclude'] as const;
export type OfflinePolicy = (typeof OFFLINE_POLICIES)[number];

/** How large a wave is. `percent` and `count` are cumulative over the group; both given = the smaller. */
export type WaveSize =
  | { kind: 'share'; count: number | null; percent: number | null }
  | { kind: 'agents'; agents: string[] }
  | { kind: 'labels'; selector: string; percent: number };

/** What holds for one wave: the top-level value, or what the wave overrides. */
export interface WaveStrategy {
  size: WaveSize;
  /** A first wave of counted or named agents, which is judged by the number of failures alone. */
  canary: boolean;
  soakMs: number;
  approval: 'none' | 'before' | 'after';
  failure: FailureLimits;
  success: SuccessLimits;
  unverifiedMaxRatio: number;
  onFailure: 'pause' | 'rollback';
}

/** When a wave is broken. Trips when failing > maxCount, or failing ÷ decided > maxPercent once enough are decided. */
export interface FailureLimits {
  /** Null = no such limit. */
  maxCount: number | null;
  /** Null = no such limit. */
  maxPercent: number | null;
  minDecided: number;
}

/** When a wave may pass: applied ÷ decided, and rows ÷ connected members inside the boundary. */
export interface SuccessLimits {
  /** Null = no such limit. */
  minRatio: number | null;
  minReached: number;
}

/** Most agents that may be named or counted as canaries. */
export const MAX_CANARY = 1_000;

/** Most waves of one rollout. */
export const MAX_WAVES = 50;

/** Strategies by name; each is what a request could spell out. */
export const STRATEGY_PRESETS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = Object.freeze({
  careful: {
    waves: [
      { size: { count: 10, percent: 1 }, soak: '30m', approval: 'after' },
      { size: { percent: 1 }, soak: '15m' },
      { size: { percent: 5 }, soak: '15m' },
      { size: { percent: 20 }, soak: '15m' },
      { size: { percent: 50 }, soak: '15m' },
      { size: { percent: 100 }, soak: '30m' },
    ],
    rate: { start: 5, max: 100 },
  },
  standard: {},
  fast: {
    waves: [
      { size: { count: 20, percent: 1 }, soak: '1m' },
      { size: { percent: 25 }, soak: '1m' },
      { size: { percent: 100 }, soak: '2m' },
    ],
    rate: { start: 100, max: 1000 },
  },
});
