import { EventEmitter } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { CancelledError, ConfigurationError } from './errors.ts';
import { type ProcessPort, ReleaserStack, type Service, createService, runUntilSignal } from './lifecycle.ts';
import { createSilentLogger } from './logger.ts';

const logger = createSilentLogger();

/** A process whose signals the test sends and whose exits are only noted. */
class FakeProcess extends EventEmitter implements ProcessPort {
  readonly exits: number[] = [];

  exit(code: number): void {
    this.exits.push(code);
  }
}

function gate() {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, passed };
}

function noting(name: string, seen: string[], overrides: Partial<Service> = {}): Service {
  return createService({
    name,
    start: async () => void seen.push(`start ${name}`),
    drain: async () => void seen.push(`drain ${name}`),
    stop: async () => void seen.push(`stop ${name}`),
    ...overrides,
  });
}

describe('createService', () => {
  it('shares the promise of concurrent and repeated calls', async () => {
    const seen: string[] = [];
    const service = noting('a', seen);
    const started = service.start();
    expect(service.start()).toBe(started);
    await started;
    const stopped = service.stop();
    expect(service.stop()).toBe(stopped);
    await stopped;
    expect(seen).toEqual(['start a', 'stop a']);
  });

  it('stops only after a start in flight has settled', async () => {
    const seen: string[] = [];
    const starting = gate();
    const service = noting('a', seen, { start: () => starting.passed.then(() => void seen.push('started')) });
    const started = service.start();
    const stopped = service.stop();
    starting.open();
    await Promise.all([started, stopped]);
    expect(seen).toEqual(['started', 'stop a']);
  });

  it('cleans up after a failed start, and does nothing for one that never was', async () => {
    const seen: string[] = [];
    const failing = noting('a', seen, { start: () => Promise.reject(new Error('port in use')) });
    await expect(failing.start()).rejects.toThrow('port in use');
    await failing.stop();
    await noting('b', seen).stop();
    expect(seen).toEqual(['stop a']);
  });

  it('does not start again after a stop', async () => {
    const service = noting('a', []);
    await service.stop();
    await expect(service.start()).rejects.toBeInstanceOf(CancelledError);
    await expect(service.drain?.()).resolves.toBeUndefined();
  });
});

describe('ReleaserStack', () => {
  it('releases in reverse order, once, whatever fails', async () => {
    const seen: string[] = [];
    const stack = new ReleaserStack();
    stack.push('a', () => void seen.push('a'));
    stack.push('b', () => Promise.reject(new Error('stuck')));
    stack.push('c', async () => void seen.push('c'));
    const first = stack.releaseAll();
    expect(stack.releaseAll()).toBe(first);
    await expect(first).rejects.toThrow('could not release b');
    expect(seen).toEqual(['c', 'a']);
    expect(() => stack.push('d', () => undefined)).toThrow(CancelledError);
  });
});

describe('runUntilSignal', () => {
  const options = (process: ProcessPort, more = {}) => ({ deadlineMs: 600_000, logger, process, ...more });

  it('starts in order, drains and then stops in reverse order, and ends with 0', async () => {
    const seen: string[] = [];
    const process = new FakeProcess();
    const running = runUntilSignal(
      [noting('a', seen), noting('b', seen)],
      options(process, { onStarted: () => process.emit('SIGTERM', 'SIGTERM') }),
    );
    await expect(running).resolves.toBe(0);
    expect(seen).toEqual(['start a', 'start b', 'drain b', 'drain a', 'stop b', 'stop a']);
    expect(process.exits).toEqual([]);
    expect(process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')).toBe(0);
  });

  it('stops what was started when a start fails, with the exit code of the error', async () => {
    const seen: string[] = [];
    const failing = noting('b', seen, { start: () => Promise.reject(new ConfigurationError(['x', 'y'])), drain: async () => undefined });
    const said: string[] = [];
    const running = runUntilSignal(
      [noting('a', seen), failing, noting('c', seen)],
      options(new FakeProcess(), { say: (line: string) => void said.push(line) }),
    );
    await expect(running).resolves.toBe(78);
    expect(seen).toEqual(['start a', 'drain a', 'stop b', 'stop a']);
    expect(said).toEqual(['b: cannot start: x; y']);
  });

  it('gives up the start on a signal', async () => {
    const seen: string[] = [];
    const process = new FakeProcess();
    const signalling = noting('a', seen, { start: async () => void process.emit('SIGINT', 'SIGINT') });
    const onStarted = vi.fn<() => void>();
    await expect(runUntilSignal([signalling, noting('b', seen)], options(process, { onStarted }))).resolves.toBe(0);
    expect(seen).toEqual(['drain a', 'stop a']);
    expect(onStarted).not.toHaveBeenCalled();
  });

  it('ends at once on a second signal', async () => {
    const process = new FakeProcess();
    const stopping = gate();
    const stuck = noting('a', [], {
      stop: async () => {
        process.emit('SIGINT', 'SIGINT');
        await stopping.passed;
      },
    });
    const running = runUntilSignal([stuck], options(process, { onStarted: () => process.emit('SIGTERM', 'SIGTERM') }));
    await vi.waitFor(() => expect(process.exits).toEqual([130]), 10_000);
    stopping.open();
    await running;
  });

  it('ends with 1 when the deadline is missed', async () => {
    const process = new FakeProcess();
    const stopping = gate();
    const stuck = noting('a', [], { stop: () => stopping.passed });
    const running = runUntilSignal([stuck], options(process, { deadlineMs: 1, onStarted: () => process.emit('SIGTERM', 'SIGTERM') }));
    await vi.waitFor(() => expect(process.exits).toEqual([1]), 10_000);
    stopping.open();
    await running;
  });

  it('ends with 1 when a stop fails, and still stops the others', async () => {
    const seen: string[] = [];
    const process = new FakeProcess();
    const failing = noting('b', seen, { stop: () => Promise.reject(new Error('stuck')) });
    const running = runUntilSignal([noting('a', seen), failing], options(process, { onStarted: () => process.emit('SIGTERM', 'SIGTERM') }));
    await expect(running).resolves.toBe(1);
    expect(seen).toContain('stop a');
  });

  it('ends with the code of a fatal error', async () => {
    const seen: string[] = [];
    const controller = new AbortController();
    const running = runUntilSignal(
      [noting('a', seen)],
      options(new FakeProcess(), { fatal: controller.signal, onStarted: () => controller.abort(new ConfigurationError(['newer schema'])) }),
    );
    await expect(running).resolves.toBe(78);
    expect(seen).toEqual(['start a', 'drain a', 'stop a']);
  });
});
