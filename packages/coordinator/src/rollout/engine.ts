import { hash48 } from '@opamp-gateway/shared/bucket';
import type { Logger } from '@opamp-gateway/shared/logger';
import { NO_TRACER } from '@opamp-gateway/shared/tracing';
import type { Tracer } from '@opamp-gateway/shared/tracing';
import { formatStableField, specField } from '@opamp-gateway/shared/fleet-spec';
import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { Forbidden } from './approval.ts';
import { NO_COUNTERS, verdictsOf } from './counters.ts';
import { decide, nextEvaluation, specPatch } from './decide.ts';
import type { Decision } from './decide.ts';
import { isTerminal } from './document.ts';
import type { RolloutDocument } from './document.ts';
import { SYSTEM_ACTOR } from './draft.ts';
import { fleetSum } from './fleet-breaker.ts';
import { Headcount } from './headcount.ts';
import { ObservedSpecs } from './observed-specs.ts';
import type { ConnectedMember, FleetReader, GateQuestion, LiveGateway, Observer, RolloutStore } from './ports.ts';
import { Ranking } from './ranking.ts';
import type { RolloutEvent } from './service.ts';
import type { Command, FleetView, Need } from './view.ts';

export interface RolloutEngineOptions {
  store: RolloutStore;
  fleet: FleetReader;
  logger: Logger;
  /** How long a gateway may lag before the rollout is held. */
  lagHoldMs?: number;
  /** How long too many agents must be unhealthy before the breaker of the fleet holds. */
  fleetBreakerMs?: number;
  /** Makes a span of every step of a rollout that has a trace. */
  tracer?: Pick<Tracer, 'enabled' | 'start'>;
  /** Puts questions of gates, which were stored just before; must not wait for the answers. */
  ask?(questions: readonly GateQuestion[]): void;
  /** Judges agents that cannot report; without one they end as unverified. */
  observer?: Observer;
}

/** Outcome of {@link RolloutEngine.command}. */
export type CommandOutcome =
  | { kind: 'done'; document: RolloutDocument; before: RolloutDocument }
  | { kind: 'refused'; document: RolloutDocument; detail: string }
  | ({ kind: 'forbidden'; document: RolloutDocument } & Forbidden)
  | { kind: 'stale'; document: RolloutDocument }
  | { kind: 'unknown' };

/** Steps that one call makes at most before it leaves the rest to the next. */
const MAX_STEPS = 25;
/** How often a step is decided anew because somebody else committed first. */
const MAX_RACES = 50;
/** Agents that the health comparison reads of either side. */
const HEALTH_SAMPLE = 1_000;
/** How old the count of agents under way in other rollouts may be. */
const OPEN_MAX_AGE_MS = 1_000;
/** Candidates that are read when nothing has to be spread. */
const CANDIDATE_SAMPLE = 2_000;
/** Candidates that are read to find one of each stratum. */
const STRATIFIED_SAMPLE = 20_000;

interface Loaded {
  document: RolloutDocument;
  view: FleetView;
  spec: FleetSpec;
  stored: string | undefined;
  listed: readonly ConnectedMember[];
  predecessor: RolloutDocument | null;
  /** When reading began, by this machine's clock. */
  readAtMs: number;
}

/**
 * Makes the steps of rollouts: read, decide, commit. Any number of engines may work on the same rollout; the revision
 * decides whose step counts, and the other one reads again.
 */
export class RolloutEngine {
  readonly #store: RolloutStore;
  readonly #fleet: FleetReader;
  readonly #logger: Logger;
  readonly #lagHoldMs: number;
  readonly #fleetBreakerMs: number;
  readonly #tracer: Pick<Tracer, 'enabled' | 'start'>;
  readonly #ask: (questions: readonly GateQuestion[]) => void;
  readonly #observer: Observer;
  readonly #ranking: Ranking;
  readonly #headcount: Headcount;
  readonly #observed = new ObservedSpecs();
  /** Agents under way by rollout. */
  #open: { atMs: number; byRollout: ReadonlyMap<string, number> } | undefined;

  constructor(options: RolloutEngineOptions) {
    this.#store = options.store;
    this.#fleet = options.fleet;
    this.#logger = options.logger;
    this.#lagHoldMs = options.lagHoldMs ?? 30_000;
    this.#fleetBreakerMs = options.fleetBreakerMs ?? 30_000;
    this.#tracer = options.tracer ?? NO_TRACER;
    this.#ask = options.ask ?? (() => undefined);
    this.#observer = options.observer ?? { observe: () => undefined };
    this.#ranking = new Ranking(options.fleet);
    this.#headcount = new Headcount(options.fleet, this.#ranking);
  }

  /**
   * Makes steps until one changes nothing. Returns when to look again, in ms from now; null = never (ended, or unknown).
   * Rejects when Redis cannot be reached; the stored state is then before or after a step, never inside one.
   */
  async reconcile(id: string): Promise<number | null> {
    let races = 0;
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const loaded = await this.#load(id);
      if (loaded === undefined) return null;
      const { document, view } = loaded;
      if (isTerminal(document)) {
        this.#forget(id);
        if (document.cleanup !== 'pending' || (await this.#cleanUp(document))) return null;
        continue;
      }
      const { predecessor } = loaded;
      if (predecessor?.phase === 'running') {
        // The coordinator that stored this rollout died before it turned back the one it replaces.
        await this.command(predecessor.id, { action: 'abort', actor: SYSTEM_ACTOR, reason: `superseded by rollout ${id}` });
        continue;
      }
      const decision = await this.#decide(loaded);
      if (decision.kind === 'idle') {
        if (decision.nextEvalAtMs === null) return null;
        const patch = specPatch(document, loaded.stored);
        if (Object.keys(patch.set).length + patch.del.length === 0) {
          await this.#store.postpone(id, decision.nextEvalAtMs);
          return Math.max(0, decision.nextEvalAtMs - view.nowMs);
        }
        // The spec lost what the document says: write it again with a revision of its own.
        await this.#commit({ ...document, rev: document.rev + 1 }, [], loaded, {
          succeeded: false,
          ended: false,
          nextEvalAtMs: view.nowMs,
        });
      } else if (decision.kind === 'step') {
        const committed = await this.#commit(decision.document, decision.events, loaded, decision);
        if (!committed && (races += 1) > MAX_RACES) throw new Error(`rollout ${id} is changed by others all the time`);
      }
    }
    return 0;
  }

  /** Carries out an action of a person. Done when it returns. `stale` when the document is not the one the person has seen. */
  async command(id: string, command: Command, expectedRev?: number): Promise<CommandOutcome> {
    for (let race = 0; race <= MAX_RACES; race += 1) {
      const loaded = await this.#load(id);
      if (loaded === undefined) return { kind: 'unknown' };
      const { document } = loaded;
      if (expectedRev !== undefined && document.rev !== expectedRev) return { kind: 'stale', document };
      const decision = await this.#decide(loaded, command);
      if (decision.kind === 'refused' || decision.kind === 'forbidden') return { ...decision, document };
      if (decision.kind !== 'step') return { kind: 'done', document, before: document };
      if (await this.#commit(decision.document, decision.events, loaded, decision))
        return { kind: 'done', document: decision.document, before: document };
    }
    throw new Error(`rollout ${id} is changed by others all the time`);
  }

  /** Changes a document in a way that no step decides on; `change` gives the document with its new revision, or why not. */
  async update(
    id: string,
    change: (document: RolloutDocument, nowMs: number) => { document: RolloutDocument; events: RolloutEvent[] } | { refused: string },
    expectedRev?: number,
  ): Promise<CommandOutcome> {
    for (let race = 0; race <= MAX_RACES; race += 1) {
      const loaded = await this.#load(id);
      if (loaded === undefined) return { kind: 'unknown' };
      const { document, view } = loaded;
      if (expectedRev !== undefined && document.rev !== expectedRev) return { kind: 'stale', document };
      const changed = change(document, view.nowMs);
      if ('refused' in changed) return { kind: 'refused', document, detail: changed.refused };
      const step = { succeeded: false, ended: false, nextEvalAtMs: view.nowMs };
      if (await this.#commit(changed.document, changed.events, loaded, step))
        return { kind: 'done', document: changed.document, before: document };
    }
    throw new Error(`rollout ${id} is changed by others all the time`);
  }

  /** Candidates for canaries of a group, placed in the order of `salt`. */
  async candidates(
    group: string,
    salt: string,
    spreadBy: readonly string[],
    listed: readonly ConnectedMember[],
  ): Promise<NonNullable<FleetView['candidates']>> {
    const limit = spreadBy.length > 0 ? STRATIFIED_SAMPLE : CANDIDATE_SAMPLE;
    const pool = listed.length > 0 ? listed : await this.#fleet.sampleMembers(group, limit);
    const placed = pool.map((member) => ({ member, hash: hash48(salt, member.origin) })).toSorted((a, b) => a.hash - b.hash);
    const chosen = placed.slice(0, limit).map(({ member }) => member);
    const found = await this.#fleet.candidates(chosen, spreadBy);
    return found.map((candidate) => ({ ...candidate, hash: hash48(salt, candidate.origin) }));
  }

  /** Gateways first, then the document, then the counters: what a gateway has observed is in what is read after it. */
  async #load(id: string): Promise<Loaded | undefined> {
    const readAtMs = Date.now();
    const gateways = await this.#fleet.gateways();
    const document = await this.#store.load(id);
    if (document === undefined) return undefined;
    const ended = isTerminal(document);
    const [{ spec, fields }, { counters, overdue, observe }, ranked, predecessor, nowMs] = await Promise.all([
      this.#fleet.spec(),
      ended || document.startedAtMs === null ? { counters: NO_COUNTERS, overdue: 0, observe: [] } : this.#fleet.settle(id),
      document.phase === 'running'
        ? this.#ranking.members(document)
        : { members: { kind: 'counted', connected: 0, http: 0 } as const, listed: [] },
      document.startedAtMs === null ? this.#openPredecessor(document.predecessor) : null,
      this.#fleet.nowMs(),
    ]);
    if (observe.length > 0) this.#observer.observe({ id, to: document.to, healthHoldMs: document.strategy.healthHoldMs }, observe);
    const generation = this.#observed.generationOf(document, spec.generation);
    const view: FleetView = {
      nowMs,
      gateways: gateways.map((gateway) => ({
        id: gateway.id,
        observed: this.#observed.hasObserved(gateway.observed, generation, spec),
        evaluated: this.#observed.hasObserved(gateway.evaluated, generation, spec),
        backlog: gateway.backlog[id] ?? 0,
        draining: gateway.draining,
        connected: gateway.connected,
        unhealthy: gateway.unhealthy,
      })),
      counters,
      overdue,
      members: ranked.members,
      predecessorEnded: predecessor === null,
      stable: spec.groups.find((group) => group.name === document.group)?.stable ?? null,
      fleetBefore: document.startedAtMs === null ? await this.#fleetBefore(id, gateways) : fleetSum(gateways),
      lagHoldMs: this.#lagHoldMs,
      fleetBreakerMs: this.#fleetBreakerMs,
    };
    return { document, view, spec, stored: fields[specField.rollout(id)], listed: ranked.listed, predecessor, readAtMs };
  }

  /** The fleet's health before the oldest running rollout, so that what that one did is not taken for usual. */
  async #fleetBefore(id: string, gateways: readonly LiveGateway[]): Promise<FleetView['fleetBefore']> {
    const active = await this.#store.activeIds();
    this.#ranking.keepOnly([...active, id]);
    const others = await this.#store.loadMany(active.filter((other) => other !== id));
    const running = others.filter((other) => other.phase === 'running' && other.fleet !== null);
    const oldest = running.toSorted((a, b) => (a.startedAtMs ?? 0) - (b.startedAtMs ?? 0))[0];
    return oldest?.fleet?.before ?? fleetSum(gateways);
  }

  /** The rollout that must end before this one starts: the one it replaces, or one that that one was waiting for. */
  async #openPredecessor(id: string | null): Promise<RolloutDocument | null> {
    for (let next = id, depth = 0; next !== null && depth < 20; depth += 1) {
      const predecessor = await this.#store.load(next);
      if (predecessor === undefined) return null;
      if (!isTerminal(predecessor)) return predecessor;
      // One that never started leaves the group to its own predecessor.
      next = predecessor.startedAtMs === null ? predecessor.predecessor : null;
    }
    return null;
  }

  /** Decides, filling the view up as often as the step asks for it. */
  async #decide(loaded: Loaded, command?: Command): Promise<Exclude<Decision, { kind: 'need' }>> {
    for (let round = 0; round < 8; round += 1) {
      const decision = decide(loaded.document, loaded.view, command);
      if (decision.kind !== 'need') return decision;
      await this.#fill(loaded, decision.need);
    }
    return { kind: 'idle', nextEvalAtMs: nextEvaluation(loaded.document, loaded.view.nowMs) };
  }

  async #fill(loaded: Loaded, need: Need): Promise<void> {
    const { document, view, listed } = loaded;
    switch (need) {
      case 'candidates':
        view.candidates = await this.candidates(document.group, document.salt, document.strategy.spreadBy, listed);
        return;
      case 'canaryStates':
        view.canaryStates = await this.#fleet.canaryStates(
          document.id,
          document.canary.map((canary) => canary.uid),
        );
        return;
      case 'healthSamples':
        view.healthSamples = await this.#healthSamples(document, listed);
        return;
      case 'domains': {
        const observed = view.gateways.length > 0 && view.gateways.every((gateway) => gateway.observed && gateway.backlog === 0);
        view.domains = await this.#headcount.domains(document, listed, observed);
        return;
      }
      case 'awaited':
        view.awaited = await this.#headcount.awaited(document, view.nowMs);
        return;
      case 'openElsewhere':
        view.openElsewhere = await this.#openElsewhere(document.id);
        return;
    }
  }

  /** Agents under way in all rollouts but this one. One count serves all rollouts for a second: an uneasy fleet makes each of them ask. */
  async #openElsewhere(id: string): Promise<number> {
    const nowMs = Date.now();
    if (this.#open === undefined || nowMs - this.#open.atMs >= OPEN_MAX_AGE_MS) {
      const active = await this.#store.activeIds();
      const counts = await Promise.all(active.map(async (other) => verdictsOf((await this.#fleet.counters(other)).total).unsettled));
      this.#open = { atMs: nowMs, byRollout: new Map(active.map((other, index) => [other, counts[index] ?? 0])) };
    }
    let sum = 0;
    for (const [other, open] of this.#open.byRollout) if (other !== id) sum += open;
    return sum;
  }

  async #healthSamples(document: RolloutDocument, listed: readonly ConnectedMember[]): Promise<NonNullable<FleetView['healthSamples']>> {
    const pool = listed.length > 0 ? listed : await this.#fleet.sampleMembers(document.group, 10 * HEALTH_SAMPLE);
    const inside = pool.filter((member) => this.#ranking.isInside(document, member));
    const outside = pool.filter((member) => !this.#ranking.isInside(document, member));
    return this.#fleet.healthSamples({
      rollout: document.id,
      toHash: document.to.hash,
      sinceMs: document.waves[document.waveIndex]?.startedAtMs ?? document.createdAtMs,
      spreadBy: document.strategy.spreadBy,
      cohort: inside.slice(0, HEALTH_SAMPLE),
      control: outside.slice(0, HEALTH_SAMPLE),
    });
  }

  /** Stores one step. False when somebody else was first. */
  async #commit(
    document: RolloutDocument,
    events: readonly RolloutEvent[],
    loaded: Loaded,
    step: { succeeded: boolean; ended: boolean; nextEvalAtMs: number | null; questions?: readonly GateQuestion[] },
  ): Promise<boolean> {
    const patch = specPatch(document, loaded.stored);
    if (step.succeeded) patch.set[specField.stable(document.group)] = provenField(document, loaded.spec);
    const { spreadBy } = document.strategy;
    if (loaded.document.startedAtMs === null && document.startedAtMs !== null && spreadBy.length > 0)
      await this.#fleet.countFailuresBy(document.id, spreadBy);
    const outcome = await this.#store.commit({
      document,
      events,
      specSet: patch.set,
      specDel: patch.del,
      nextEvalAtMs: step.nextEvalAtMs,
      active: step.ended ? 'clear' : 'keep',
      idempotencyKey: null,
    });
    if (outcome.kind !== 'ok') return false;
    if (step.questions !== undefined && step.questions.length > 0) this.#ask(step.questions);
    this.#traceStep(document, events, loaded.readAtMs);
    this.#observed.committed(document, outcome.generation, Object.keys(patch.set).length + patch.del.length > 0);
    for (const event of events) {
      this.#logger.info(
        {
          rollout: document.id,
          group: document.group,
          event: event.type,
          seq: event.seq,
          wave: event.to.waveIndex,
          actor: event.actor,
          detail: event.detail,
        },
        'rollout event',
      );
    }
    return true;
  }

  /** Closes the counters of an ended rollout and keeps their sums in the document. True when that is done. */
  async #cleanUp(document: RolloutDocument): Promise<boolean> {
    const finalCounters = await this.#fleet.finish(document.id);
    const outcome = await this.#store.commit({
      document: { ...document, rev: document.rev + 1, cleanup: 'done', finalCounters },
      events: [],
      specSet: {},
      specDel: [],
      nextEvalAtMs: null,
      active: 'clear',
      idempotencyKey: null,
    });
    return outcome.kind === 'ok';
  }

  #traceStep(document: RolloutDocument, events: readonly RolloutEvent[], startMs: number): void {
    if (!this.#tracer.enabled || document.trace === undefined) return;
    const span = this.#tracer.start('rollout.step', {
      parent: document.trace,
      startMs,
      attributes: {
        'opamp.rollout.id': document.id,
        'opamp.group': document.group,
        'opamp.rollout.rev': document.rev,
        'opamp.rollout.phase': document.phase,
        'opamp.rollout.wave': document.waveIndex,
        'opamp.rollout.events': events.map((event) => event.type).join(' '),
      },
    });
    span.end();
  }

  #forget(id: string): void {
    this.#ranking.forget(id);
    this.#headcount.forget(id);
    this.#observed.forget(id);
  }
}

/** The group's proven version after a success: `to`, and before it what was proven until now. */
function provenField(document: RolloutDocument, spec: FleetSpec): string {
  const group = spec.groups.find((candidate) => candidate.name === document.group);
  const same = document.from?.hash === document.to.hash;
  // A rollout that takes another one back leaves no way forward to what was taken back.
  const previous = document.revertOf !== null ? null : same ? (group?.previous ?? null) : document.from;
  const round = (group?.trailingRound ?? 0) + (group?.trailingHeld === true ? 1 : 0);
  return formatStableField({ stable: document.to, previous, trailingHeld: false, trailingRound: round });
}
