/**
 * What went wrong, for code that has to decide: a closed list. `internal` is a defect of ours, all others are expected in
 * a running system.
 */
export type ErrorCode = 'configuration' | 'unavailable' | 'timeout' | 'cancelled' | 'invalid' | 'not_found' | 'conflict' | 'internal';

/** How loudly an error is logged. */
export type ErrorLevel = 'debug' | 'info' | 'warn' | 'error';

/** Process exit codes: 78 is EX_CONFIG of sysexits.h, 70 EX_SOFTWARE. */
export const EXIT_CODES = Object.freeze({ ok: 0, failure: 1, software: 70, configuration: 78 });

const TRAITS: Readonly<Record<ErrorCode, { level: ErrorLevel; retryable: boolean }>> = Object.freeze({
  configuration: { level: 'error', retryable: false },
  unavailable: { level: 'warn', retryable: true },
  timeout: { level: 'warn', retryable: true },
  cancelled: { level: 'debug', retryable: false },
  invalid: { level: 'info', retryable: false },
  not_found: { level: 'info', retryable: false },
  conflict: { level: 'info', retryable: false },
  internal: { level: 'error', retryable: false },
});

/** An error that carries one of our codes; the code decides its log level and whether a retry can help. */
export class CodedError extends Error {
  override name = 'CodedError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The level to log this error at. */
  get level(): ErrorLevel {
    return TRAITS[this.code].level;
  }

  /** Whether the same call may succeed later without anything else being changed. */
  get retryable(): boolean {
    return TRAITS[this.code].retryable;
  }

  /** The exit code of a process that ends because of this error. */
  get exitCode(): number {
    if (this.code === 'configuration') return EXIT_CODES.configuration;
    return this.code === 'internal' ? EXIT_CODES.software : EXIT_CODES.failure;
  }
}

/** The process was set up wrongly. Lists every problem found, not only the first; exit code 78. */
export class ConfigurationError extends CodedError {
  override name = 'ConfigurationError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super('configuration', `configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`, options);
    this.problems = Object.freeze([...problems]);
  }
}

/** Something that we depend on (Redis, a peer) cannot be reached now; a later retry may succeed. */
export class UnavailableError extends CodedError {
  override name = 'UnavailableError';

  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options);
  }
}

/** Something did not finish in its time; what it was to do may have happened or not. */
export class TimeoutError extends CodedError {
  override name = 'TimeoutError';

  constructor(message: string, options?: ErrorOptions) {
    super('timeout', message, options);
  }
}

/** The work was given up because somebody asked for that (shutdown, an aborted request). */
export class CancelledError extends CodedError {
  override name = 'CancelledError';

  constructor(message = 'cancelled', options?: ErrorOptions) {
    super('cancelled', message, options);
  }
}

/** Any thrown value as an Error; Errors pass unchanged, everything else is wrapped with the value as `cause`. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return new CodedError('internal', `thrown value is no Error: ${describe(thrown)}`, { cause: thrown });
}

/** The level at which to log any thrown value; unknown errors are `error`. */
export function errorLevel(thrown: unknown): ErrorLevel {
  return thrown instanceof CodedError ? thrown.level : 'error';
}

/** Whether a retry can help; `false` for errors that are not ours. */
export function isRetryable(thrown: unknown): boolean {
  return thrown instanceof CodedError && thrown.retryable;
}

/** The exit code of a process that ends because of this value; 1 for errors that are not ours. */
export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof CodedError ? thrown.exitCode : EXIT_CODES.failure;
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value.slice(0, 200);
  return typeof value === 'object' && value !== null ? 'object' : String(value).slice(0, 200);
}
