/** The collector below a supervisor: starts, becomes healthy, crashes in a loop, turns unhealthy. */
import type { SimConfig } from './sim-config.ts';

/** What the collector's own extension last said, or the supervisor about it. */
export interface CollectorHealth {
  readonly healthy: boolean;
  readonly lastError: string;
  /** `StatusOK` and its like. */
  readonly status: string;
  /** Unix milliseconds; 0 = not running. */
  readonly startedAtMs: number;
}

/** How one start goes. Times are scaled already. */
export interface CollectorPlan {
  /** Exits with code 1 after `startMs`, is started again after `restartMs`, and so on. */
  readonly crashes: boolean;
  readonly startMs: number;
  readonly restartMs: number;
  /** Extra time until the first healthy report. */
  readonly unhealthyForMs: number;
}

/** Callbacks of a collector. */
export interface CollectorEvents {
  /** Extensions are up; the pipelines start next. */
  onStarted(config: SimConfig | undefined): void;
  onHealth(): void;
  onExit(): void;
}

/** Health before the first start. */
const NOT_STARTED: CollectorHealth = { healthy: false, lastError: '', status: '', startedAtMs: 0 };

let nextPid = 1_000;

/** One simulated collector process and the restart loop around it. */
export class SimCollector {
  /** What it runs; undefined: nothing, or the supervisor's own parts only. */
  running: SimConfig | undefined;
  health: CollectorHealth = NOT_STARTED;
  crashes = 0;
  readonly #events: CollectorEvents;
  #timer: NodeJS.Timeout | undefined;
  #next: { readonly dueAtMs: number; readonly run: () => void } | undefined;

  constructor(events: CollectorEvents) {
    this.#events = events;
  }

  /** Replaces whatever runs. The health is forgotten, as a supervisor does. */
  start(config: SimConfig | undefined, plan: CollectorPlan): void {
    this.kill();
    this.#schedule(plan.startMs, () => this.#startNow(config, plan));
  }

  /**
   * Does what was due until a time on the monotonic clock and has not happened yet: a busy event loop fires a long timer
   * before a short one that was set later and is overdue as well.
   */
  catchUp(untilMs: number): void {
    while (this.#next !== undefined && this.#next.dueAtMs <= untilMs) {
      const { run } = this.#next;
      this.#clearTimer();
      run();
    }
  }

  /** Ends the process without a report. */
  kill(): void {
    this.#clearTimer();
    this.running = undefined;
    this.health = NOT_STARTED;
  }

  /** Stops it on an empty config: healthy, and running nothing. */
  stopForEmptyConfig(): void {
    this.kill();
    this.setHealth(true, '');
  }

  /** What it was given starts nothing: unhealthy from now on. */
  neverStart(): void {
    this.kill();
    this.setHealth(false, 'the collector does not run');
  }

  /** Reports another health; the process runs on. */
  setHealth(healthy: boolean, lastError: string): void {
    const startedAtMs = this.health.startedAtMs === 0 ? Date.now() : this.health.startedAtMs;
    this.health = { healthy, lastError, status: healthy ? 'StatusOK' : 'StatusRecoverableError', startedAtMs };
    this.#events.onHealth();
  }

  /** Turns unhealthy after a time, and healthy again after another one (0 = never). */
  becomeUnhealthy(afterMs: number, recoverAfterMs: number, error: string): void {
    this.#schedule(afterMs, () => {
      this.setHealth(false, error);
      if (recoverAfterMs > 0) this.#schedule(recoverAfterMs, () => this.setHealth(true, error));
    });
  }

  #startNow(config: SimConfig | undefined, plan: CollectorPlan): void {
    if (plan.crashes) {
      this.#crash(plan);
      return;
    }
    this.running = config;
    this.#events.onStarted(config);
    if (plan.unhealthyForMs === 0) {
      this.#becomeHealthy();
      return;
    }
    this.#schedule(plan.unhealthyForMs, () => this.#becomeHealthy());
  }

  #becomeHealthy(): void {
    this.health = { healthy: true, lastError: '', status: 'StatusOK', startedAtMs: Date.now() };
    this.#events.onHealth();
  }

  #crash(plan: CollectorPlan): void {
    this.crashes += 1;
    nextPid += 1;
    this.health = {
      healthy: false,
      lastError: `Agent process PID=${nextPid} exited unexpectedly, exit code=1. Will restart in a bit...`,
      status: '',
      startedAtMs: 0,
    };
    // The loop goes on before anybody hears of the exit: a listener may replace the process.
    this.#schedule(plan.restartMs + plan.startMs, () => this.#crash(plan));
    this.#events.onExit();
  }

  #schedule(delayMs: number, run: () => void): void {
    this.#clearTimer();
    this.#next = { dueAtMs: performance.now() + delayMs, run };
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#next = undefined;
      run();
    }, delayMs);
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#next = undefined;
  }
}
