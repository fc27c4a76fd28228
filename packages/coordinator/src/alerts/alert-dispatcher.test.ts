import { createManualClock } from '@opamp-gateway/shared/clock';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { TakenAlert } from '@opamp-gateway/shared/redis/alert-scripts';
import { describe, expect, it, vi } from 'vitest';
import type { Alert } from './alert.ts';
import { createAlertDispatcher } from './alert-dispatcher.ts';
import type { AlertTarget } from './alert-targets.ts';
import { delayAfter } from './backoff.ts';
import type { AlertStore } from './ports.ts';
import type { SendOutcome, WebhookSender } from './webhook-sender.ts';

const alert: Alert = {
  type: 'rollout.held',
  severity: 'warning',
  at: '2026-01-01T00:00:00Z',
  summary: 'held',
  group: null,
  rollout: null,
  data: {},
};
const message = JSON.stringify(alert);
const target: AlertTarget = {
  name: 'ops',
  url: 'https://x.example',
  secrets: [],
  headers: {},
  minSeverity: 'warning',
  types: undefined,
  timeoutMs: 1_000,
  attempts: 3,
  backoff: { firstMs: 100, maxMs: 1_000 },
};

function lab(answer: SendOutcome, due: TakenAlert[], options: { held?: boolean; messages?: string[]; known?: string[] } = {}) {
  const settled: Parameters<AlertStore['settle']>[0][] = [];
  const admitted: string[][] = [];
  const messages = (options.messages ?? []).map((text, index) => ({ id: `${index}-0`, message: text }));
  const asked: Parameters<AlertStore['take']>[0][] = [];
  const send = vi.fn<WebhookSender>(async () => answer);
  const dispatcher = createAlertDispatcher({
    store: {
      outbox: async () => messages.splice(0),
      async admit(given) {
        admitted.push(...given.map(({ targets }) => [...targets]));
        return { givenUp: 0, dropped: 0 };
      },
      knownTargets: async () => options.known ?? ['ops'],
      async take(query) {
        asked.push(query);
        return { held: options.held ?? true, holder: 'me', due: due.splice(0) };
      },
      async settle(attempt) {
        settled.push(attempt);
        return true;
      },
    },
    targets: { list: () => [target], refresh: () => false },
    send,
    clock: createManualClock(),
    logger: createSilentLogger(),
    tickMs: 100,
    chance: () => 0,
  });
  return { dispatcher, settled, admitted, asked, send };
}

const first: TakenAlert = { id: '1-0', target: 'ops', attempts: 0, message };

describe('alert dispatcher', () => {
  it('notes a delivery', async () => {
    const { dispatcher, settled, send } = lab({ kind: 'delivered' }, [first]);
    await dispatcher.tick();
    await vi.waitUntil(() => settled.length === 1);
    expect(settled).toEqual([{ id: '1-0', target: 'ops', outcome: 'delivered', attempts: 1, delayMs: 100, error: '' }]);
    expect(send).toHaveBeenCalledWith(
      target,
      expect.objectContaining({ id: '1-0', body: expect.stringContaining('"id":"1-0"') as string }),
      expect.anything(),
    );
  });

  it('tries again later, later still, and gives up after the last attempt', async () => {
    const failed: SendOutcome = { kind: 'failed', error: 'answered 500', retryAfterMs: undefined };
    const outcomes = [];
    for (const attempts of [0, 1, 2]) {
      const { dispatcher, settled } = lab(failed, [{ ...first, attempts }]);
      await dispatcher.tick();
      await vi.waitUntil(() => settled.length === 1);
      outcomes.push([settled[0]?.outcome, settled[0]?.delayMs]);
    }
    expect(outcomes).toEqual([
      ['retry', 100],
      ['retry', 200],
      ['dead', 400],
    ]);
  });

  it('waits as long as the receiver asks', async () => {
    const { dispatcher, settled } = lab({ kind: 'failed', error: 'answered 429', retryAfterMs: 60_000 }, [first]);
    await dispatcher.tick();
    await vi.waitUntil(() => settled.length === 1);
    expect(settled[0]?.delayMs).toBe(60_000);
  });

  it('hands messages to the targets that want them, and one that cannot be read to none', async () => {
    const quiet = JSON.stringify({ ...alert, severity: 'info' });
    const { dispatcher, admitted } = lab({ kind: 'delivered' }, [], { messages: [message, quiet, 'nonsense'] });
    await dispatcher.tick();
    expect(admitted).toEqual([['ops'], [], []]);
  });

  it('hands out nothing without the lease', async () => {
    const { dispatcher, admitted } = lab({ kind: 'delivered' }, [], { held: false, messages: [message] });
    await dispatcher.tick();
    expect(admitted).toEqual([]);
  });

  it('gives up what waits for a target that is gone', async () => {
    const { dispatcher, settled, send, asked } = lab({ kind: 'delivered' }, [{ ...first, target: 'old' }], { known: ['ops', 'old'] });
    await dispatcher.tick();
    expect(asked[0]?.targets.map(({ name }) => name)).toEqual(['ops', 'old']);
    expect(settled).toMatchObject([{ target: 'old', outcome: 'dead' }]);
    expect(send).not.toHaveBeenCalled();
  });
});

describe('delayAfter', () => {
  it('doubles up to its maximum and takes off a random half at most', () => {
    const backoff = { firstMs: 1_000, maxMs: 10_000 };
    expect([1, 2, 3, 4, 5, 50].map((attempts) => delayAfter(attempts, backoff, 0))).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    expect(delayAfter(1, backoff, 0.998)).toBe(501);
  });
});
