import { sumCounters } from '../src/rollout/counters.ts';
import { decide } from '../src/rollout/decide.ts';
import type { Decision } from '../src/rollout/decide.ts';
import { createDocument } from '../src/rollout/document.ts';
import type { RolloutDocument } from '../src/rollout/document.ts';
import { Draft } from '../src/rollout/draft.ts';
import type { CanaryCandidate, Members } from '../src/rollout/plan.ts';
import { parseStrategy } from '../src/rollout/strategy-parser.ts';
import type { Command, FleetView } from '../src/rollout/view.ts';

export const START_MS = 1_700_000_000_000;
export const STABLE = { name: 'c', version: 1, hash: 'a1' };
export const TO = { name: 'c', version: 2, hash: 'b2' };
export const QUICK = {
  waves: [
    { size: { count: 1 }, soak: '10s' },
    { size: { percent: 50 }, soak: '10s' },
    { size: { percent: 100 }, soak: '10s' },
  ],
  rate: 'unlimited',
  maxInFlight: 1_000,
  gates: ['ackRatio'],
};

export function members(count: number, over: Partial<Extract<Members, { kind: 'ranked' }>['members'][number]> = {}): Members {
  return {
    kind: 'ranked',
    members: Array.from({ length: count }, (_, index) => ({
      origin: `u${index}`,
      hash: index * 1_000,
      canary: index === 0 ? 0 : -1,
      labels: [],
      http: false,
      domain: null,
      ...over,
    })),
  };
}

export function candidate(index: number, over: Partial<CanaryCandidate> = {}): CanaryCandidate {
  return {
    uid: `u${index}`,
    origin: `u${index}`,
    hash: index,
    canAcknowledge: true,
    healthy: true,
    healthSinceMs: 0,
    connectedAtMs: 0,
    pinned: false,
    reportedHash: '',
    stratum: '',
    ...over,
  };
}

export function candidates(count: number): CanaryCandidate[] {
  return Array.from({ length: count }, (_, index) => candidate(index));
}

export function gateway(over: Partial<FleetView['gateways'][number]> = {}): FleetView['gateways'][number] {
  return { id: 'gw', observed: true, evaluated: true, backlog: 0, draining: false, connected: 100, unhealthy: 0, ...over };
}

/** A rollout under the hand of a test: the view is what the test says, each step is applied. */
export class Bench {
  document: RolloutDocument;
  view: FleetView;
  last: Decision | undefined;

  constructor(strategy: unknown, over: Partial<RolloutDocument> = {}) {
    const problems: { path: string; message: string }[] = [];
    const draft = new Draft(
      createDocument({
        id: 'r1',
        group: 'g',
        to: TO,
        from: STABLE,
        baseline: null,
        strategy: parseStrategy(strategy, problems),
        reason: '',
        createdBy: 'me',
        createdAtMs: START_MS,
        revertOf: null,
        predecessor: null,
      }),
      START_MS,
    );
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    draft.emit('rollout.created');
    this.document = { ...draft.document, rev: 1, ...over };
    this.view = {
      nowMs: START_MS,
      gateways: [gateway()],
      counters: sumCounters([]),
      overdue: 0,
      members: members(10),
      predecessorEnded: true,
      stable: STABLE,
      fleetBefore: { connected: 100, unhealthy: 0 },
      lagHoldMs: 30_000,
      fleetBreakerMs: 30_000,
      openElsewhere: 0,
      candidates: candidates(10),
    };
  }

  /** Time passes, and the world is now like this; then a step. */
  step(over: Partial<FleetView> & { rows?: Record<string, number>; afterMs?: number } = {}, command?: Partial<Command>): Decision {
    const { rows, afterMs, ...view } = over;
    this.view = {
      ...this.view,
      nowMs: this.view.nowMs + (afterMs ?? 1_000),
      ...view,
      ...(rows === undefined ? {} : { counters: sumCounters([rows]) }),
    };
    const decision = decide(
      this.document,
      this.view,
      command === undefined ? undefined : ({ actor: 'me', reason: '', ...command } as Command),
    );
    if (decision.kind === 'step') this.document = decision.document;
    this.last = decision;
    return decision;
  }

  act(action: Command['action'], over: Parameters<Bench['step']>[0] = {}): Decision {
    return this.step(over, { action });
  }

  get holds(): string[] {
    return this.document.holds.map((hold) => hold.reason);
  }

  get wave(): string | undefined {
    return this.document.waves[this.document.waveIndex]?.phase;
  }

  get eventTypes(): string[] {
    return this.last?.kind === 'step' ? this.last.events.map((event) => event.type) : [];
  }
}
