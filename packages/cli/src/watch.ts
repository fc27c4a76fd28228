import { ApiProblem } from './api-client.ts';
import type { Rollout, RolloutEvent, RolloutFailures } from './api-types.ts';
import { CliError } from './cli-error.ts';
import type { Context } from './context.ts';
import { readEvents } from './event-stream.ts';
import { EXIT, exitCodeOfPhase } from './exit-codes.ts';
import { formatCounts, FROZEN } from './rollout-text.ts';
import { oneLine } from './table.ts';

/** Holds that end by themselves; the others wait for a person. */
const PASSING_HOLDS = new Set(['not_started', 'predecessor', 'window_closed', 'lagging_gateway', 'fleet_breaker']);

/** What an operator does about a hold. */
const ADVICE: Record<string, string> = {
  approval: '`opampctl rollout promote ID` approves it',
  manual: '`opampctl rollout resume ID` goes on',
  threshold: '`opampctl rollout failures ID` shows what failed; then resume or abort',
  deadline: '`opampctl rollout get ID` shows where it got stuck; then resume or abort',
  gate_inconclusive: '`opampctl rollout resume ID` asks again, `opampctl rollout promote ID` passes the gate',
  gate_error: '`opampctl rollout resume ID` asks again, `opampctl rollout promote ID` passes the gate',
  no_agents: 'no agent of the group is connected',
};

/** How {@link watchRollout} waits. */
export interface WatchOptions {
  /** Longest wait, undefined = until it ends. */
  timeoutMs: number | undefined;
  /** Go on waiting when the rollout waits for a person. */
  waitHeld: boolean;
  /** How long a hold must last before it counts; a promote on its way should not be mistaken for one. */
  holdGraceMs: number;
  /** Interval at which counts are looked at. */
  intervalMs: number;
}

export const WATCH_DEFAULTS: WatchOptions = Object.freeze({ timeoutMs: undefined, waitHeld: false, holdGraceMs: 3000, intervalMs: 2000 });

/** Breaks of the connection in a row after which watching is given up. */
const MAX_BREAKS = 30;

const RECONNECT_MS = 500;

/** How long the last events may lag behind the rollout's end. */
const LAST_EVENTS_MS = 2000;

/** How the watch ended. */
type WatchEnd =
  | { kind: 'ended'; code: number; rollout: Rollout }
  | { kind: 'held'; rollout: Rollout; waiting: string[] }
  | { kind: 'timeout' }
  | { kind: 'stopped' };

/**
 * Prints what happens in a rollout until it ends, and returns the exit code that says how: see exit-codes.ts. A rollout that
 * waits for a person ends the watch too (code 3), unless told otherwise. Broken connections are taken up where they broke.
 */
export async function watchRollout(context: Context, id: string, options: WatchOptions = WATCH_DEFAULTS): Promise<number> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, context.terminal.interrupted]);
  const alarm = new Alarm(signal);
  const following = followEvents(context, id, signal, alarm);
  // Its failure is met when it is awaited below.
  following.catch(() => stop.abort());
  try {
    const end = await pollUntilEnd(context, id, options, signal, alarm);
    if (end.kind === 'stopped') {
      await following;
      throw new CliError('watching was interrupted; the rollout goes on', `\`opampctl rollout watch ${id}\` takes it up again`);
    }
    if (end.kind === 'ended') await Promise.race([following, new Alarm(signal).sleep(LAST_EVENTS_MS)]);
    return await tell(context, id, end);
  } finally {
    stop.abort();
    await following.catch(() => {});
  }
}

/** A sleep that can be cut short. */
class Alarm {
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Ends the sleep in progress. */
  ring(): void {
    this.#wake?.();
  }

  async sleep(ms: number): Promise<void> {
    if (this.#signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#signal.removeEventListener('abort', end);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#wake = end;
      this.#signal.addEventListener('abort', end, { once: true });
    });
  }
}

/** Looks at the rollout again and again, at once when an event tells of a change. */
async function pollUntilEnd(context: Context, id: string, options: WatchOptions, signal: AbortSignal, alarm: Alarm): Promise<WatchEnd> {
  const { terminal } = context;
  const startMs = terminal.nowMs();
  let heldSinceMs: number | undefined;
  let counts = '';
  let isFrozen = false;
  let breaks = 0;
  for (;;) {
    let rollout: Rollout | undefined;
    try {
      rollout = await context.api.get<Rollout>(`/rollouts/${encodeURIComponent(id)}`);
      breaks = 0;
    } catch (error) {
      breaks += 1;
      if (!signal.aborted && ((error instanceof ApiProblem && error.status < 500) || breaks > MAX_BREAKS)) throw error;
    }
    if (signal.aborted) return { kind: 'stopped' };
    if (rollout !== undefined) {
      const code = exitCodeOfPhase(rollout.phase);
      if (code !== undefined) return { kind: 'ended', code, rollout };
      const text = formatCounts(rollout.counts);
      if (text !== counts && text !== '')
        say(context, `${clock(terminal.nowMs())}  ${rollout.phase}, wave ${rollout.waveIndex + 1}/${rollout.waves.length}: ${text}`);
      counts = text;
      if ((rollout.fleetFrozen ?? false) !== isFrozen) {
        isFrozen = !isFrozen;
        context.note(isFrozen ? `rollout ${id}: ${FROZEN}` : `rollout ${id}: the fleet is not frozen any more`);
      }
      const waiting = rollout.phase === 'running' ? rollout.holds.filter((reason) => !PASSING_HOLDS.has(reason)) : [];
      heldSinceMs = waiting.length === 0 ? undefined : (heldSinceMs ?? terminal.nowMs());
      if (heldSinceMs !== undefined && !options.waitHeld && terminal.nowMs() - heldSinceMs >= options.holdGraceMs)
        return { kind: 'held', rollout, waiting };
    }
    if (options.timeoutMs !== undefined && terminal.nowMs() - startMs >= options.timeoutMs) return { kind: 'timeout' };
    await alarm.sleep(options.intervalMs);
  }
}

async function followEvents(context: Context, id: string, signal: AbortSignal, alarm: Alarm): Promise<void> {
  let last = 0;
  for (let breaks = 0; breaks <= MAX_BREAKS && !signal.aborted; breaks += 1) {
    try {
      const stream = await context.api.stream(`/rollouts/${encodeURIComponent(id)}/events`, last, signal);
      for await (const { type, data } of readEvents(stream)) {
        alarm.ring();
        if (type === 'end') return;
        const event = JSON.parse(data) as RolloutEvent;
        last = event.seq;
        breaks = 0;
        tellEvent(context, event);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiProblem && error.status < 500) throw error;
    }
    await new Alarm(signal).sleep(RECONNECT_MS);
  }
}

/** Prints how the watch ended; its exit code. */
async function tell(context: Context, id: string, end: Exclude<WatchEnd, { kind: 'stopped' }>): Promise<number> {
  switch (end.kind) {
    case 'ended':
      await tellEnd(context, end.rollout);
      return end.code;
    case 'held':
      tellHeld(context, end.rollout, end.waiting);
      return EXIT.heldOrTimedOut;
    case 'timeout':
      context.note(`rollout ${id} did not end in time; it goes on`);
      context.note(`next: \`opampctl rollout watch ${id}\` takes it up again, \`opampctl rollout abort ${id}\` takes it back`);
      return EXIT.heldOrTimedOut;
  }
}

function tellEvent(context: Context, event: RolloutEvent): void {
  if (context.json) {
    context.terminal.out(`${JSON.stringify({ event })}\n`);
    return;
  }
  const { phase, waveIndex, wavePhase, holds } = event.to;
  const held = holds.length === 0 ? '' : ` held: ${holds.join(', ')}`;
  const who = event.actor === 'system' ? '' : ` by ${event.actor}`;
  const detail = event.detail === '' ? '' : ` - ${event.detail}`;
  say(context, `${clock(Date.parse(event.at))}  ${event.type}${who}: ${phase}, wave ${waveIndex + 1} ${wavePhase}${held}${detail}`);
}

async function tellEnd(context: Context, rollout: Rollout): Promise<void> {
  if (context.json) {
    context.terminal.out(`${JSON.stringify({ rollout })}\n`);
    return;
  }
  const outcome = rollout.outcome === '' ? '' : `: ${rollout.outcome}`;
  say(context, `rollout ${rollout.id} ${rollout.phase}${outcome}  (${formatCounts(rollout.counts) || 'no agents touched'})`);
  if (rollout.phase === 'succeeded' || rollout.phase === 'cancelled') return;
  // A rollout that somebody aborted has failed nowhere.
  const failed = await hasFailures(context, rollout.id);
  const [command, shown] = failed ? ['failures', 'what failed, and on which agents'] : ['events', 'what happened, and who did it'];
  context.note(`next: \`opampctl rollout ${command} ${rollout.id}\` shows ${shown}`);
}

/** Whether there is something to show; true when that cannot be found out now. */
async function hasFailures(context: Context, id: string): Promise<boolean> {
  try {
    const { groups } = await context.api.get<RolloutFailures>(`/rollouts/${encodeURIComponent(id)}/failures`, { limit: 0 });
    return groups.total + groups.omitted > 0;
  } catch {
    return true;
  }
}

function tellHeld(context: Context, rollout: Rollout, waiting: readonly string[]): void {
  if (context.json) context.terminal.out(`${JSON.stringify({ rollout })}\n`);
  for (const reason of waiting) {
    const detail = rollout.holdDetails.find((hold) => hold.reason === reason)?.detail ?? '';
    context.note(`rollout ${rollout.id} is held: ${reason}${detail === '' ? '' : ` (${detail})`}`);
    const advice = ADVICE[reason];
    if (advice !== undefined) context.note(`next: ${advice.replace('ID', rollout.id)}`);
  }
}

function say(context: Context, text: string): void {
  if (!context.json) context.terminal.out(`${oneLine(text)}\n`);
}

function clock(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 19)}Z`;
}
