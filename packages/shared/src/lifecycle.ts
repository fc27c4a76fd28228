import { CancelledError, CodedError, ConfigurationError, EXIT_CODES, exitCodeOf, toError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Something that lives: a listener, a lease, a client, a whole process object. */
export interface Service {
  readonly name: string;
  /** Resolves when the service does its work. Calling it again returns the same promise. */
  start(): Promise<void>;
  /** Says goodbye while everything else still runs (not ready, agents sent away). Optional; called before any `stop`. */
  drain?(): Promise<void>;
  /** Releases everything, also what a failed start left behind. Calling it again returns the same promise. */
  stop(): Promise<void>;
}

/** What a service does, without the bookkeeping. `stop` is called once, after `start` has settled, unless nothing was started. */
export interface ServiceHooks {
  readonly name: string;
  start(): Promise<void>;
  drain?(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Makes a Service of its hooks: concurrent and repeated calls share one promise, `stop` waits for a start in flight and
 * cleans up after a failed one, and a service that was stopped cannot be started again (CancelledError).
 */
export function createService(hooks: ServiceHooks): Service {
  let starting: Promise<void> | undefined;
  let draining: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    if (starting === undefined) return;
    await Promise.allSettled([starting, draining]);
    await hooks.stop();
  };
  const drain = async (): Promise<void> => {
    if (starting === undefined) return;
    await starting;
    await hooks.drain?.();
  };
  return {
    name: hooks.name,
    start() {
      if (stopping !== undefined) return Promise.reject(new CancelledError(`${hooks.name} was stopped`));
      starting ??= hooks.start();
      return starting;
    },
    drain() {
      if (stopping !== undefined) return Promise.resolve();
      draining ??= drain();
      return draining;
    },
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

/** Undoes, in reverse order, what was opened. */
export class ReleaserStack {
  readonly #releasers: { name: string; release: () => Promise<void> | void }[] = [];
  #releasing: Promise<void> | undefined;

  /** Registers how to release something that was just opened. */
  push(name: string, release: () => Promise<void> | void): void {
    if (this.#releasing !== undefined) throw new CancelledError(`${name} was opened while everything is being released`);
    this.#releasers.push({ name, release });
  }

  /**
   * Releases everything, last opened first, each once; a failure does not keep the others from being released. Rejects with
   * an AggregateError of all failures. Calling it again returns the same promise.
   */
  releaseAll(): Promise<void> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  async #release(): Promise<void> {
    const failures: Error[] = [];
    for (const { name, release } of this.#releasers.toReversed()) {
      try {
        // One at a time: the order is the point.
        await release();
      } catch (error) {
        failures.push(new Error(`could not release ${name}`, { cause: error }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(({ message }) => message).join('; '));
  }
}

/** Signals that end a process. */
export type EndSignal = 'SIGTERM' | 'SIGINT';

/** Where signals come from and how a process ends at once; `process` fits, tests pass their own. */
export interface ProcessPort {
  on(signal: EndSignal, listener: (signal: EndSignal) => void): unknown;
  off(signal: EndSignal, listener: (signal: EndSignal) => void): unknown;
  exit(code: number): void;
}

/** Options of `runUntilSignal`. */
export interface RunOptions {
  /** Longest shutdown, in ms; when it is over the process exits with code 1. */
  readonly deadlineMs: number;
  readonly logger: Logger;
  /** Ends the run like a signal; its reason is the error that decides the exit code. */
  readonly fatal?: AbortSignal;
  /** Called once everything is started. */
  readonly onStarted?: () => void;
  readonly process?: ProcessPort;
  /** Where it says why a start failed, one line; standard error when unset. */
  readonly say?: (line: string) => void;
}

const SIGNAL_NUMBERS: Readonly<Record<EndSignal, number>> = { SIGINT: 2, SIGTERM: 15 };

/**
 * Starts the services in order, waits for SIGTERM, SIGINT or `fatal`, then drains and stops them in reverse order. Resolves
 * with the exit code: 0 after a clean end, that of the error when a start failed or `fatal` fired, 1 when a stop failed. A
 * second signal ends the process at once with 128 + its number, a missed deadline with 1. A signal during the start ends it too.
 */
export async function runUntilSignal(services: readonly Service[], options: RunOptions): Promise<number> {
  const { logger, deadlineMs, fatal } = options;
  const port: ProcessPort = options.process ?? process;
  const say = options.say ?? ((line: string) => void process.stderr.write(`${line}\n`));
  let resolveEnd: (cause: Error | undefined) => void;
  const ended = new Promise<Error | undefined>((resolve) => {
    resolveEnd = resolve;
  });
  let ending = false;
  let deadline: NodeJS.Timeout | undefined;

  const beginEnd = (cause: Error | undefined): void => {
    if (ending) return;
    ending = true;
    deadline = setTimeout(() => {
      logger.error({ deadlineMs }, 'shutdown deadline missed');
      port.exit(EXIT_CODES.failure);
    }, deadlineMs);
    // The timer must not be what keeps a finished process alive.
    deadline.unref();
    resolveEnd(cause);
  };
  const onSignal = (signal: EndSignal): void => {
    if (ending) {
      logger.warn({ signal }, 'second signal, ending at once');
      port.exit(128 + SIGNAL_NUMBERS[signal]);
      return;
    }
    logger.info({ signal }, 'shutting down');
    beginEnd(undefined);
  };
  const onFatal = (): void => {
    const error = toError(fatal?.reason);
    logger.error({ err: error }, 'fatal error, shutting down');
    beginEnd(error);
  };

  port.on('SIGTERM', onSignal);
  port.on('SIGINT', onSignal);
  fatal?.addEventListener('abort', onFatal, { once: true });
  if (fatal?.aborted === true) onFatal();
  try {
    const begun: Service[] = [];
    const failed = await startAll(services, begun, () => ending);
    if (failed !== undefined) {
      say(`${failed.service}: cannot start: ${describeFailure(failed.error)}`);
      beginEnd(failed.error);
    } else if (!ending) options.onStarted?.();
    const cause = await ended;
    const clean = await stopAll(begun.toReversed(), failed?.service, logger);
    if (cause !== undefined) return exitCodeOf(cause);
    return clean ? EXIT_CODES.ok : EXIT_CODES.failure;
  } finally {
    clearTimeout(deadline);
    fatal?.removeEventListener('abort', onFatal);
    port.off('SIGTERM', onSignal);
    port.off('SIGINT', onSignal);
  }
}

async function startAll(
  services: readonly Service[],
  begun: Service[],
  isEnding: () => boolean,
): Promise<{ service: string; error: Error } | undefined> {
  for (const service of services) {
    if (isEnding()) return undefined;
    begun.push(service);
    try {
      // One at a time: each may need the ones before it.
      await service.start();
    } catch (error) {
      if (isEnding()) return undefined;
      return { service: service.name, error: toError(error) };
    }
  }
  return undefined;
}

/** What to do about an expected error stands in its message, so that is all; of a defect everything is told. */
function describeFailure(error: Error): string {
  if (error instanceof ConfigurationError) return error.problems.join('; ');
  const isExpected = error instanceof CodedError && error.code !== 'internal';
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, '; ') : (error.stack ?? error.message);
}

/** `failed` never came up: it cannot say goodbye. */
async function stopAll(services: readonly Service[], failed: string | undefined, logger: Logger): Promise<boolean> {
  let clean = true;
  for (const step of ['drain', 'stop'] as const) {
    for (const service of services) {
      if (step === 'drain' && service.name === failed) continue;
      try {
        // One at a time, in the reverse order of the start.
        await service[step]?.();
      } catch (error) {
        if (step === 'stop') clean = false;
        logger.error({ err: error, service: service.name, step }, 'shutdown step failed');
      }
    }
  }
  return clean;
}
