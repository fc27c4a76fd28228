import { hash48 } from '@opamp-gateway/shared/bucket';
import { desired, formatGroupField, formatRolloutField, formatStableField, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { ConfigRef, FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { formatRow, ROW_STATUSES } from '@opamp-gateway/shared/rollout-types';
import { describe, expect, it } from 'vitest';
import { createLiveSession, NEW, OLD, ROLLOUT, UID } from '../../test-support/live-session.ts';
import { reconcile } from '../reconciler/reconcile.ts';
import type { AgentSession } from './agent-session.ts';
import { carriedOver, shapeOf } from './carried-over.ts';

const OLDER: ConfigRef = { name: 'base', version: 0, hash: '99' };
const PLACE = hash48(ROLLOUT.salt, UID);
const AGENTS = 20_000;

let generation = 0;
function specWith(rollout: Partial<RolloutSpec>, other: { stable?: ConfigRef; frozen?: boolean } = {}): FleetSpec {
  generation += 1;
  return parseSpec({
    [specField.generation]: String(generation),
    [specField.frozen]: other.frozen === true ? '1' : '0',
    [specField.group('g')]: formatGroupField({ selector: '', priority: 0, mode: 'manage' }),
    [specField.stable('g')]: formatStableField({ stable: other.stable ?? OLD, previous: OLDER }),
    [specField.rollout('r1')]: formatRolloutField({ ...ROLLOUT, ...rollout }),
  });
}

const inside = { slices: [{ selector: '', boundary: PLACE + 1 }] };
const outside = { slices: [{ selector: '', boundary: PLACE }] };

/** As the offer desk does for an agent that it looks at in full. */
function evaluate(session: AgentSession, spec: FleetSpec): void {
  session.desired = desired(spec, session.desiredInput);
  session.shape = shapeOf(spec);
}

function rowText(status: (typeof ROW_STATUSES)[number], attempt = 1): string {
  return formatRow({ wave: '0', status, attempt, deadlineMs: 0, offeredAtMs: 0, ackTimeoutMs: 10_000, soft: false });
}

describe('what an agent should run, carried over to a spec with other boundaries', () => {
  it('is carried over for who stays outside, and for who stays inside and has applied it', () => {
    const out = createLiveSession();
    evaluate(out, specWith({ slices: [{ selector: '', boundary: 1 }] }));
    expect(carriedOver(out, specWith(outside))).toMatchObject({ config: OLD, source: 'stable', inCohort: false });

    const applied = createLiveSession(UID, { reportedHash: NEW.hash, offered: NEW.hash, 'r:r1': rowText('applied') });
    evaluate(applied, specWith(inside));
    const far = specWith({ slices: [{ selector: '', boundary: 2 ** 47 }] });
    const carried = carriedOver(applied, far);
    expect(carried).toMatchObject({ config: NEW, source: 'rollout', inCohort: true });
    // Nothing of an old spec is held on to.
    expect(carried?.rollout).toBe(far.rollouts.get('g'));
    expect(carried?.group).toBe(far.groups[0]);
  });

  it('is worked out anew for whom the boundary passes, either way', () => {
    const session = createLiveSession();
    evaluate(session, specWith(outside));
    expect(carriedOver(session, specWith(inside))).toBeUndefined();
    evaluate(session, specWith(inside));
    expect(carriedOver(session, specWith(outside))).toBeUndefined();
  });

  it.each([
    ['wave', specWith({ ...outside, wave: '1' })],
    ['attempt', specWith({ ...outside, attempt: 2 })],
    ['direction', specWith({ ...outside, direction: 'back' })],
    ['hold', specWith({ ...outside, held: true })],
    ['canaries', specWith({ ...outside, canary: [UID] })],
    ['selector of a slice', specWith({ slices: [{ selector: 'a=b', boundary: PLACE }] })],
    ['proven version', specWith(outside, { stable: OLDER })],
    ['freeze', specWith(outside, { frozen: true })],
  ])('is worked out anew when something else changes as well: %s', (_what, next) => {
    const session = createLiveSession();
    evaluate(session, specWith(outside));
    expect(carriedOver(session, specWith(outside))).toBeDefined();
    expect(carriedOver(session, next)).toBeUndefined();
  });

  it('only where working it out anew would change nothing: agents in any state', () => {
    const pick = <Value>(values: readonly Value[], seed: number): Value => values[seed % values.length] as Value;
    let carriedCount = 0;
    for (let agent = 0; agent < AGENTS; agent += 1) {
      // Digits of a number to as many bases: every combination comes up.
      let rest = agent * 7_919;
      const draw = <Value>(values: readonly Value[]): Value => {
        const value = pick(values, rest);
        rest = Math.floor(rest / values.length);
        return value;
      };
      const session = createLiveSession(UID, {
        reportedHash: draw([OLD.hash, NEW.hash, OLDER.hash]),
        reportedStatus: draw(['APPLIED', 'APPLIED', 'FAILED', 'APPLYING']),
        offered: draw([OLD.hash, NEW.hash, '']),
        capabilities: String(draw([0x3847, 0x3847, 0x2847, 0x1])),
        ...draw([{}, { 'r:r1': rowText(draw(ROW_STATUSES), draw([1, 2])) }]),
        ...draw([{}, {}, { failed: JSON.stringify({ [NEW.hash]: { by: 'r1', attempt: 1 } }) }]),
        ...draw([{}, {}, { pin: JSON.stringify({ id: 'p', config: OLDER }) }]),
      });
      const common = {
        direction: draw(['forward', 'forward', 'forward', 'back'] as const),
        held: draw([false, false, true]),
        attempt: draw([1, 2]),
      };
      evaluate(session, specWith({ ...common, ...draw([inside, outside]) }));
      const next = specWith({ ...common, ...draw([inside, outside]) });
      const carried = carriedOver(session, next);
      if (carried === undefined) continue;
      carriedCount += 1;
      const anew = desired(next, session.desiredInput);
      expect(carried).toEqual(anew);
      expect(reconcile(next, session.record, anew)).toEqual({ rows: [], offer: null });
    }
    expect(carriedCount).toBeGreaterThan(100);
  });

  it.each([
    ['an offer is being recorded', (session: AgentSession) => void (session.offer = {} as NonNullable<AgentSession['offer']>)],
    ['an offer waits', (session: AgentSession) => void (session.waiting = 'r1')],
    ['a report is awaited', (session: AgentSession) => void (session.awaitingReportUntilMs = 1)],
  ])('is worked out anew while %s', (_what, change) => {
    const session = createLiveSession();
    evaluate(session, specWith(outside));
    change(session);
    expect(carriedOver(session, specWith(outside))).toBeUndefined();
  });
});
