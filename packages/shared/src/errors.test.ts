import { describe, expect, it } from 'vitest';
import {
  CancelledError,
  CodedError,
  ConfigurationError,
  TimeoutError,
  UnavailableError,
  errorLevel,
  exitCodeOf,
  isRetryable,
  toError,
} from './errors.ts';

describe('errors', () => {
  it('derive level, retry and exit code from the code', () => {
    const rows: [CodedError, string, string, boolean, number][] = [
      [new ConfigurationError(['A is missing']), 'ConfigurationError', 'error', false, 78],
      [new UnavailableError('redis is away'), 'UnavailableError', 'warn', true, 1],
      [new TimeoutError('too slow'), 'TimeoutError', 'warn', true, 1],
      [new CancelledError(), 'CancelledError', 'debug', false, 1],
      [new CodedError('internal', 'defect'), 'CodedError', 'error', false, 70],
    ];
    for (const [error, name, level, retryable, exitCode] of rows) {
      expect(error).toBeInstanceOf(CodedError);
      expect([error.name, errorLevel(error), isRetryable(error), exitCodeOf(error)]).toEqual([name, level, retryable, exitCode]);
    }
  });

  it('lists every configuration problem', () => {
    const error = new ConfigurationError(['A is missing', 'B is no number']);
    expect(error.problems).toEqual(['A is missing', 'B is no number']);
    expect(error.message).toContain('A is missing');
    expect(error.message).toContain('B is no number');
  });

  it('keeps Errors and wraps everything else with its cause', () => {
    const error = new TypeError('x');
    expect(toError(error)).toBe(error);
    for (const thrown of ['text', undefined, null, 5, { a: 1 }, Symbol('s')]) {
      const wrapped = toError(thrown);
      expect(wrapped).toBeInstanceOf(CodedError);
      expect(wrapped.cause).toBe(thrown);
    }
    expect(toError('text').message).toContain('text');
  });

  it('treats foreign errors as loud and final', () => {
    expect([errorLevel(new Error('x')), isRetryable(new Error('x')), exitCodeOf('x')]).toEqual(['error', false, 1]);
  });
});
