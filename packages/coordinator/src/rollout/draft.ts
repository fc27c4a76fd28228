import { HOLD_REASONS } from '@opamp-gateway/shared/rollout-types';
import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import { activeMs, currentWave, stateOf, toSpecField } from './document.ts';
import type { RolloutDocument, WaveDocument } from './document.ts';
import type { GateQuestion } from './ports.ts';
import type { CountsView, RolloutEvent, RolloutState } from './service.ts';
import { transition, waveTransition } from './transition.ts';
import type { RolloutTrigger, WaveTrigger } from './transition.ts';

/** Actor of what a rollout does by itself. */
export const SYSTEM_ACTOR = 'system';

/** One step in the making: a copy of the document, and the events that explain how it changed. */
export class Draft {
  readonly document: RolloutDocument;
  readonly nowMs: number;
  readonly events: RolloutEvent[] = [];
  /** Questions of gates that leave once this step is stored. */
  readonly questions: GateQuestion[] = [];
  readonly #specBefore: string | null;
  #state: RolloutState | null;
  #changed = false;
  actor = SYSTEM_ACTOR;
  /** How many agents stood in each status when the step was decided; goes with events that somebody may ask the reason of. */
  counts: CountsView | undefined;

  /** `isNew`: the document has no event yet, so its first one comes from nowhere. */
  constructor(document: RolloutDocument, nowMs: number) {
    this.document = structuredClone(document);
    this.nowMs = nowMs;
    this.#specBefore = toSpecField(document);
    this.#state = document.eventSeq === 0 ? null : stateOf(document);
  }

  get wave(): WaveDocument {
    return currentWave(this.document);
  }

  get activeMs(): number {
    return activeMs(this.document, this.nowMs);
  }

  get changed(): boolean {
    return this.#changed;
  }

  /** True when gateways have to be told something that they were not told before this step. */
  get specChanged(): boolean {
    return toSpecField(this.document) !== this.#specBefore;
  }

  /** What an event rests on, for its `data`. */
  get evidence(): { counts: CountsView } | undefined {
    return this.counts === undefined ? undefined : { counts: this.counts };
  }

  /** Notes a change that no event tells of. */
  touch(): void {
    this.#changed = true;
  }

  /** Appends an event that leads from the last state to the present one. */
  emit(type: string, detail = '', data?: Record<string, unknown>): void {
    const { document } = this;
    document.eventSeq += 1;
    const to = stateOf(document);
    this.events.push({
      seq: document.eventSeq,
      rollout: document.id,
      group: document.group,
      at: new Date(this.nowMs).toISOString(),
      type,
      from: this.#state,
      to,
      actor: this.actor,
      detail,
      ...(data === undefined ? {} : { data }),
    });
    this.#state = to;
    this.#changed = true;
  }

  /** Moves the rollout to its next phase. Throws when the table refuses: guards are asked before. */
  moveRollout(trigger: RolloutTrigger): void {
    const next = transition(this.document.phase, trigger);
    if ('refused' in next) throw new RangeError(`rollout ${this.document.id}: ${trigger} is refused, ${next.refused}`);
    this.document.phase = next.phase;
    this.#changed = true;
  }

  moveWave(trigger: WaveTrigger): void {
    this.wave.phase = waveTransition(this.wave.phase, trigger);
    this.#changed = true;
  }

  isHeldBy(reason: HoldReason): boolean {
    return this.document.holds.some((hold) => hold.reason === reason);
  }

  /** Adds a hold; one that stands already keeps its time. The rollout's clock stops with the first. */
  hold(reason: HoldReason, detail: string): void {
    const { document } = this;
    if (this.isHeldBy(reason)) return;
    if (document.holds.length === 0) document.clock.heldSinceMs = this.nowMs;
    document.holds.push({ reason, sinceMs: this.nowMs, detail });
    document.holds.sort((a, b) => HOLD_REASONS.indexOf(a.reason) - HOLD_REASONS.indexOf(b.reason));
    this.emit('hold.added', detail, { hold: reason, ...this.evidence });
  }

  /** Lifts a hold; the rollout's clock goes on with the last. */
  release(reason: HoldReason, detail = ''): void {
    const { document } = this;
    if (!this.isHeldBy(reason)) return;
    document.holds = document.holds.filter((hold) => hold.reason !== reason);
    if (document.holds.length === 0) this.#resumeClock();
    this.emit('hold.removed', detail, { hold: reason });
  }

  /** Drops all holds without an event each: the rollout ends or turns back. */
  dropHolds(): void {
    if (this.document.holds.length === 0) return;
    this.document.holds = [];
    this.#resumeClock();
    this.#changed = true;
  }

  #resumeClock(): void {
    const { clock } = this.document;
    if (clock.heldSinceMs !== null) clock.heldMs += Math.max(0, this.nowMs - clock.heldSinceMs);
    clock.heldSinceMs = null;
  }
}
