import { HOLD_REASONS } from '@opamp-gateway/shared/rollout-types';
import { describe, expect, it } from 'vitest';
import type { RolloutEvent, RolloutState } from '../rollout/service.ts';
import { parseAlert, toWebhookBody } from './alert.ts';
import { alertsOf } from './rollout-alerts.ts';

const to = { name: 'edge', version: 7, hash: 'aa' };
const document = { id: 'r1', group: 'prod', from: null, to };
const state: RolloutState = { phase: 'running', waveIndex: 1, wavePhase: 'soaking', holds: [] };

function event(type: string, more: Partial<RolloutEvent> = {}): RolloutEvent {
  return {
    seq: 4,
    rollout: 'r1',
    group: 'prod',
    at: '2026-01-01T00:00:00.000Z',
    type,
    from: state,
    to: state,
    actor: 'system',
    detail: 'why',
    ...more,
  };
}

describe('alertsOf', () => {
  it.each([
    ['rollback.started', {}, 'rollout.failed', 'critical'],
    ['rollback.started', { actor: 'ann' }, 'rollout.aborted', 'warning'],
    ['rollout.rolled_back', {}, 'rollout.rolled_back', 'warning'],
    ['rollout.cancelled', { actor: 'ann' }, 'rollout.cancelled', 'warning'],
    ['rollout.rollback_failed', {}, 'rollout.rollback_failed', 'critical'],
    ['rollout.succeeded', {}, 'rollout.succeeded', 'info'],
    ['hold.added', { data: { hold: 'threshold' } }, 'rollout.held', 'warning'],
    ['hold.added', { data: { hold: 'manual' } }, 'rollout.held', 'info'],
    ['hold.removed', { data: { hold: 'threshold' } }, 'rollout.resumed', 'info'],
  ] as const)('%s is told', (type, more, alert, severity) => {
    const [told, ...rest] = alertsOf(document, [event(type, more)]);
    expect(told).toMatchObject({ type: alert, severity, group: 'prod', rollout: 'r1', data: { to, event: 4, waveIndex: 1 } });
    expect(told?.summary).toContain('rollout r1 of group prod to edge@7');
    expect(told?.summary).toMatch(/: why$/);
    expect(rest).toEqual([]);
  });

  it.each([
    event('wave.passed'),
    event('rollout.created'),
    event('hold.added', { data: { hold: 'window_closed' } }),
    event('hold.removed', { data: { hold: 'window_closed' } }),
    event('hold.removed', { data: { hold: 'threshold' }, to: { ...state, holds: ['manual'] } }),
  ])('$type is nobody’s alert', (given) => {
    expect(alertsOf(document, [given])).toEqual([]);
  });

  it('has an opinion on every hold', () => {
    const told = HOLD_REASONS.filter((hold) => alertsOf(document, [event('hold.added', { data: { hold } })]).length > 0);
    expect(HOLD_REASONS.filter((hold) => !told.includes(hold))).toEqual(['not_started', 'predecessor', 'window_closed']);
  });

  it('survives the way through the outbox, and makes a body that names itself', () => {
    const [alert] = alertsOf(document, [event('rollback.started', { data: { failing: 3 } })]);
    const read = parseAlert(JSON.stringify(alert));
    expect(read).toEqual(alert);
    expect(JSON.parse(toWebhookBody('17-0', read as NonNullable<typeof read>))).toMatchObject({
      id: '17-0',
      type: 'rollout.failed',
      timestamp: '2026-01-01T00:00:00.000Z',
      data: { severity: 'critical', rollout: 'r1', evidence: { failing: 3 } },
    });
  });
});

describe('parseAlert', () => {
  it.each([
    '',
    '{',
    '[]',
    'null',
    '{"type":"other","severity":"info","at":"","summary":""}',
    '{"type":"test","severity":"loud","at":"","summary":""}',
  ])('takes no %s', (text) => {
    expect(parseAlert(text)).toBeUndefined();
  });
});
