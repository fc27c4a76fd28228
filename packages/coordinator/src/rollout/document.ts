import { formatRolloutField } from '@opamp-gateway/shared/fleet-spec';
import type { ConfigRef, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { LATE_WAVE, TERMINAL_PHASES } from '@opamp-gateway/shared/rollout-types';
import type { HoldReason, RolloutPhase, WavePhase } from '@opamp-gateway/shared/rollout-types';
import type { FleetWatch } from './fleet-breaker.ts';
import type { GateResult } from './gates.ts';
import type { GateAnswer } from './ports.ts';
import type { RolloutState } from './service.ts';
import type { Strategy } from './strategy.ts';

/** Version of the document's shape; a newer one is left alone by this release. */
export const DOCUMENT_SCHEMA = 1;

/** Reason for which a rollout does not advance. */
export interface Hold {
  reason: HoldReason;
  sinceMs: number;
  detail: string;
}

/** An agent that was chosen as a canary. */
export interface Canary {
  uid: string;
  origin: string;
}

/** One wave as it went so far. Times are Redis ms; `…ActiveMs` are on the rollout's own clock, which stops while held. */
export interface WaveDocument {
  phase: WavePhase;
  startedAtMs: number | null;
  startedActiveMs: number | null;
  /** Connected members of the group (or of the labelled slice) that take configs, when the wave started. */
  members: number | null;
  /** Agents that the wave is meant to reach in all, canaries among them. */
  target: number | null;
  soakActiveMs: number | null;
  passedAtMs: number | null;
  /** `promote` before the wave, and after its gates. */
  approvedBefore: boolean;
  approvedAfter: boolean;
  /** `promote` cut the soak short. */
  soakSkipped: boolean;
  /** `promote` passed gates that could not tell. */
  gatesSkipped: boolean;
  /** What the gates said when the wave had soaked; null before, and again after an approval. */
  gates: GateResult[] | null;
  /** What they said last, also when one of them has failed; for whoever looks. Absent before, and in documents of older releases. */
  judged?: GateResult[];
  /** The gates that ask other systems; empty until the wave has soaked. */
  asked: AskedGateState[];
  /** Who approved it, oldest first. */
  approvals: Approval[];
  /** `offline: wait`: known agents inside the boundary that are away; null when nobody is waited for. */
  awaiting: number | null;
}

/** Where a gate stands that asks another system. */
export interface AskedGateState {
  gate: string;
  /** Number of the last question; the answer to an earlier one is dropped. */
  ask: number;
  /** Number of the matter that is asked about: the same until there is an answer. */
  matter: number;
  /** Redis ms of the first question. */
  sinceMs: number;
  /** The question is open: whoever put it is expected to bring an answer before `nextMs`. */
  open: boolean;
  /** When it is asked (again), Redis ms; null = the answer stands. */
  nextMs: number | null;
  /** Attempts without a usable answer, in a row. */
  errors: number;
  outcome: 'pending' | GateAnswer['outcome'];
  detail: string;
  /** What the answer was found on, shortened. */
  evidence: string;
  answeredAtMs: number | null;
}

/** One approval of a wave. */
export interface Approval {
  what: 'before' | 'after';
  by: string;
  atMs: number;
  reason: string;
}

/** Part of the fleet inside the boundary; the first has the empty selector, each `labels` wave has one of its own. */
export interface SliceDocument {
  selector: string;
  boundary: number;
  /** Where the boundary stops in the current wave. */
  end: number;
}

/** Rollout document: everything a step decides on, but the counters. JSON in `{opamp}:rollout:<id>`. */
export interface RolloutDocument {
  schema: number;
  id: string;
  rev: number;
  eventSeq: number;
  group: string;
  to: ConfigRef;
  /** The group's proven version when the rollout started; for a first one its baseline or null. */
  from: ConfigRef | null;
  baseline: ConfigRef | null;
  salt: string;
  attempt: number;
  createdAtMs: number;
  createdBy: string;
  reason: string;
  strategy: Strategy;
  phase: RolloutPhase;
  holds: Hold[];
  waveIndex: number;
  waves: WaveDocument[];
  direction: 'forward' | 'back';
  canary: Canary[];
  /** How many of `canary` have been let in. */
  canaryAssigned: number;
  slices: SliceDocument[];
  /** Boundary moves: when the last one was made, offers left over from then, and the rate it was made at (null = unlimited). */
  pacing: { atMs: number; credit: number; rate: number | null };
  /** The rollout's own clock: Redis ms minus all time spent held. */
  clock: { heldMs: number; heldSinceMs: number | null };
  startedAtMs: number | null;
  startedActiveMs: number | null;
  /** When gateways were last told something new; lag is measured from here. */
  specChangedAtMs: number;
  /** What the breaker of the whole fleet remembers; null before the start. */
  fleet: FleetWatch | null;
  /** Set by `retry` until every gateway has seen the new attempt: until then old failures are not judged. */
  retrying: boolean;
  /** Id of the succeeded rollout that this one takes back. */
  revertOf: string | null;
  /** Rollout of the same group that must end first. */
  predecessor: string | null;
  rollbackStartedAtMs: number | null;
  endedAtMs: number | null;
  outcome: string;
  warnings: string[];
  /** Null when nothing was compared; absent in documents of older releases. */
  preflight?: PreflightSummary | null;
  /** After the end: whether the shard counters were closed, and what they said. */
  cleanup: 'none' | 'pending' | 'done';
  /** Digest of the request with its idempotency key; absent without a key. */
  requestDigest?: string;
  finalCounters: Record<string, number> | null;
  /** `traceparent` of the request that started it; absent while nothing is traced. */
  trace?: string;
}

/** Which agents of the group could load the config when the rollout was made. */
export interface PreflightSummary {
  /** Agents that take configs, connected or not. */
  agents: number;
  /** Of these: their build lacks a component, and the rollout passes them by. */
  unable: number;
  /** Their build has not told its components. */
  unknown: number;
  /** Hashes of the builds that have not told theirs, the first of them. */
  unknownBuilds: readonly string[];
  /** The whole in sentences. */
  lines: readonly string[];
  /** Components that some lack. */
  needs: readonly { kind: string; type: string }[];
}

/** What a new document is made of. */
export interface NewRollout {
  /** Digest of the request that came with an idempotency key. */
  requestDigest?: string | undefined;
  id: string;
  group: string;
  to: ConfigRef;
  from: ConfigRef | null;
  baseline: ConfigRef | null;
  strategy: Strategy;
  reason: string;
  createdBy: string;
  createdAtMs: number;
  revertOf: string | null;
  predecessor: string | null;
  trace?: string | undefined;
  preflight?: PreflightSummary | null;
}

/** A rollout that has been asked for and has done nothing yet: running, its first wave pending. */
export function createDocument(rollout: NewRollout): RolloutDocument {
  return {
    schema: DOCUMENT_SCHEMA,
    id: rollout.id,
    rev: 0,
    eventSeq: 0,
    group: rollout.group,
    to: rollout.to,
    from: rollout.from,
    baseline: rollout.baseline,
    salt: rollout.id,
    attempt: 1,
    createdAtMs: rollout.createdAtMs,
    createdBy: rollout.createdBy,
    reason: rollout.reason,
    strategy: rollout.strategy,
    phase: 'running',
    holds: [],
    waveIndex: 0,
    waves: rollout.strategy.waves.map(() => ({
      phase: 'pending',
      startedAtMs: null,
      startedActiveMs: null,
      members: null,
      target: null,
      soakActiveMs: null,
      passedAtMs: null,
      approvedBefore: false,
      approvedAfter: false,
      soakSkipped: false,
      gatesSkipped: false,
      gates: null,
      asked: [],
      approvals: [],
      awaiting: null,
    })),
    direction: 'forward',
    canary: [],
    canaryAssigned: 0,
    slices: ['', ...labelSelectors(rollout.strategy)].map((selector) => ({ selector, boundary: 0, end: 0 })),
    pacing: { atMs: rollout.createdAtMs, credit: 0, rate: 0 },
    clock: { heldMs: 0, heldSinceMs: null },
    startedAtMs: null,
    startedActiveMs: null,
    specChangedAtMs: rollout.createdAtMs,
    fleet: null,
    retrying: false,
    revertOf: rollout.revertOf,
    predecessor: rollout.predecessor,
    rollbackStartedAtMs: null,
    endedAtMs: null,
    outcome: '',
    warnings: [...(rollout.from === null ? ['no_way_back'] : []), ...((rollout.preflight?.unable ?? 0) > 0 ? ['agents_skipped'] : [])],
    preflight: rollout.preflight ?? null,
    cleanup: 'none',
    ...(rollout.requestDigest === undefined ? {} : { requestDigest: rollout.requestDigest }),
    finalCounters: null,
    ...(rollout.trace === undefined ? {} : { trace: rollout.trace }),
  };
}

/** Selectors of the `labels` waves in their order; the slice of the i-th stands at index i + 1. */
export function labelSelectors(strategy: Strategy): string[] {
  return strategy.waves.flatMap((wave) => (wave.size.kind === 'labels' ? [wave.size.selector] : []));
}

/** Index in `slices` of what a wave moves. */
export function sliceIndexOf(strategy: Strategy, waveIndex: number): number {
  if (strategy.waves[waveIndex]?.size.kind !== 'labels') return 0;
  return strategy.waves.slice(0, waveIndex + 1).filter((wave) => wave.size.kind === 'labels').length;
}

/** True when the rollout has ended. */
export function isTerminal(document: Pick<RolloutDocument, 'phase'>): boolean {
  return TERMINAL_PHASES.has(document.phase);
}

/** The wave that the rollout is in. */
export function currentWave(document: RolloutDocument): WaveDocument {
  const wave = document.waves[document.waveIndex];
  if (wave === undefined) throw new RangeError(`rollout ${document.id} has no wave ${document.waveIndex}`);
  return wave;
}

/** Strategy of the wave that the rollout is in. */
export function currentStrategy(document: RolloutDocument): Strategy['waves'][number] {
  const wave = document.strategy.waves[document.waveIndex];
  if (wave === undefined) throw new RangeError(`rollout ${document.id} has no wave ${document.waveIndex}`);
  return wave;
}

/** Time on the rollout's own clock, which stands still while it is held. */
export function activeMs(document: RolloutDocument, nowMs: number): number {
  const { heldMs, heldSinceMs } = document.clock;
  return nowMs - heldMs - (heldSinceMs === null ? 0 : Math.max(0, nowMs - heldSinceMs));
}

/** Where the rollout stands, as written into events. */
export function stateOf(document: RolloutDocument): RolloutState {
  return {
    phase: document.phase,
    waveIndex: document.waveIndex,
    wavePhase: currentWave(document).phase,
    holds: document.holds.map((hold) => hold.reason).toSorted(),
  };
}

/** True while the gateways are to know of the rollout: from its first wave to its end. */
function isInSpec(document: RolloutDocument): boolean {
  return document.startedAtMs !== null && !isTerminal(document);
}

/** What the gateways are told; null when nothing of this rollout is in the fleet spec. */
export function toRolloutSpec(document: RolloutDocument): RolloutSpec | null {
  if (!isInSpec(document)) return null;
  return {
    id: document.id,
    group: document.group,
    to: document.to,
    from: document.from,
    direction: document.direction,
    held: document.direction === 'forward' && document.holds.length > 0,
    wave: currentWave(document).phase === 'assigning' ? String(document.waveIndex) : LATE_WAVE,
    attempt: document.attempt,
    salt: document.salt,
    canary: document.canary.slice(0, document.canaryAssigned).map((canary) => canary.origin),
    slices: document.slices.filter((slice) => slice.boundary > 0).map(({ selector, boundary }) => ({ selector, boundary })),
    bucketBy: document.strategy.bucketBy,
    ackTimeoutMs: document.strategy.ackTimeoutMs,
    healthHoldMs: document.strategy.healthHoldMs,
    joinRate: document.pacing.rate,
    ...(document.strategy.offline === 'exclude' && document.startedAtMs !== null ? { passOverAwayAtMs: document.startedAtMs } : {}),
    ...(document.revertOf === null ? {} : { revert: true }),
    ...(document.trace === undefined ? {} : { trace: document.trace }),
  };
}

/** Text of the spec field for this document, null when there is none. */
export function toSpecField(document: RolloutDocument): string | null {
  const spec = toRolloutSpec(document);
  return spec === null ? null : formatRolloutField(spec);
}

/** What documents of earlier releases lack. */
const ADDED_STRATEGY = { maxInFlightPer: null };
const ADDED_WAVE = (): Pick<WaveDocument, 'asked' | 'approvals' | 'awaiting'> => ({ asked: [], approvals: [], awaiting: null });

/** Reads a stored document. Throws on one that a newer release wrote or that is damaged. */
export function parseDocument(text: string): RolloutDocument {
  const document = JSON.parse(text) as RolloutDocument;
  if (document.schema !== DOCUMENT_SCHEMA)
    throw new RangeError(`rollout document has schema ${String(document.schema)}, this release knows ${DOCUMENT_SCHEMA}`);
  return {
    ...document,
    strategy: { ...ADDED_STRATEGY, ...document.strategy },
    waves: document.waves.map((wave) => ({ ...ADDED_WAVE(), ...wave })),
  };
}
