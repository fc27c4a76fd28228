import type { Clock, ClockTimer } from '@opamp-gateway/shared/clock';
import { errorLevel } from '@opamp-gateway/shared/errors';
import { createService } from '@opamp-gateway/shared/lifecycle';
import type { Service } from '@opamp-gateway/shared/lifecycle';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { RolloutStore, Waker } from './ports.ts';

export interface RolloutRunnerOptions {
  engine: { reconcile(id: string): Promise<number | null> };
  store: Pick<RolloutStore, 'takeDue'>;
  clock: Clock;
  logger: Logger;
  /** Period of the sweep for due rollouts. */
  sweepMs: number;
  /** How far a taken rollout is pushed ahead: if this coordinator dies, another one takes it then. */
  pushMs?: number;
  /** Told of every evaluation. */
  onLook?: ((seconds: number, failed: boolean) => void) | undefined;
}

/** Rollouts that one coordinator works on at a time. */
const CONCURRENCY = 8;
/** Rollouts taken by one call of the sweep. */
const BATCH = 100;

/** Works on rollouts: those that are due, those that were woken, and again those that asked to be looked at soon. */
export interface RolloutRunner extends Service, Waker {
  /** Looks at one rollout now; resolves when that is done. Never rejects: what fails is left to the next sweep. */
  run(id: string): Promise<void>;
}

interface Task {
  again: boolean;
  done: Promise<void>;
}

/** Builds the runner of one coordinator. */
export function createRolloutRunner(options: RolloutRunnerOptions): RolloutRunner {
  const { engine, store, clock, logger, sweepMs } = options;
  const pushMs = options.pushMs ?? 3_000;
  const tasks = new Map<string, Task>();
  const timers = new Map<string, ClockTimer>();
  const waiting: (() => void)[] = [];
  let running = 0;
  let stopped = false;
  let sweeping: Promise<void> | undefined;
  let sweepTimer: ClockTimer | undefined;

  const enter = async (): Promise<void> => {
    if (running >= CONCURRENCY) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };

  const work = async (id: string, task: Task): Promise<void> => {
    await enter();
    try {
      for (let first = true; !stopped && (first || task.again); first = false) {
        task.again = false;
        const fromMs = clock.monotonicMs();
        let failed = true;
        let delayMs: number | null;
        try {
          delayMs = await engine.reconcile(id);
          failed = false;
        } finally {
          options.onLook?.((clock.monotonicMs() - fromMs) / 1000, failed);
        }
        // Whatever lies further away is left to the sweep, which every coordinator makes.
        if (delayMs !== null && delayMs < sweepMs) later(id, delayMs);
      }
    } catch (error) {
      logger[errorLevel(error)]({ rollout: id, err: error }, 'rollout could not be looked at, the sweep will try again');
    } finally {
      tasks.delete(id);
      leave();
    }
  };

  const run = (id: string): Promise<void> => {
    if (stopped) return Promise.resolve();
    timers.get(id)?.cancel();
    timers.delete(id);
    const known = tasks.get(id);
    if (known !== undefined) {
      known.again = true;
      return known.done;
    }
    const task: Task = { again: false, done: Promise.resolve() };
    tasks.set(id, task);
    task.done = work(id, task);
    return task.done;
  };

  const later = (id: string, delayMs: number): void => {
    timers.get(id)?.cancel();
    timers.set(
      id,
      clock.after(delayMs, () => {
        void run(id);
      }),
    );
  };

  const sweep = async (): Promise<void> => {
    try {
      for (let more = true; more && !stopped;) {
        const ids = await store.takeDue(pushMs, BATCH);
        await Promise.all(ids.map((id) => run(id)));
        more = ids.length === BATCH;
      }
    } catch (error) {
      logger.debug({ err: error }, 'due rollouts could not be read');
    }
  };

  const service = createService({
    name: 'rollout runner',
    async start() {
      sweepTimer = clock.every(sweepMs, () => {
        sweeping ??= sweep().finally(() => {
          sweeping = undefined;
        });
      });
    },
    async stop() {
      stopped = true;
      sweepTimer?.cancel();
      for (const timer of timers.values()) timer.cancel();
      timers.clear();
      await sweeping;
      await Promise.all([...tasks.values()].map((task) => task.done));
    },
  });

  return {
    ...service,
    run,
    wake(id) {
      void run(id);
    },
  };
}
