import type {
  ConfigRef,
  Desired,
  DesiredInput,
  FailedHash,
  FleetSpec,
  GroupSpec,
  Pin,
  RolloutSpec,
} from '@opamp-gateway/shared/fleet-spec';
import { desired, EMPTY_SPEC } from '@opamp-gateway/shared/fleet-spec';
import type { Row, RowStatus } from '@opamp-gateway/shared/rollout-types';
import { describe, expect, it } from 'vitest';
import { applyStatusReport, reconcile, wasOffered } from './reconcile.ts';
import type { ReconcileState } from './reconcile.ts';

const A: ConfigRef = { name: 'base', version: 1, hash: 'aa' };
const B: ConfigRef = { name: 'base', version: 2, hash: 'bb' };
const FULL = 0x3847n;
const CANNOT_REPORT = 0x2847n;
const TAKES_NOTHING = 0x2845n;

function group(over: Partial<GroupSpec> = {}): GroupSpec {
  return { name: 'g', selector: '', priority: 0, mode: 'manage', stable: A, previous: null, trailingHeld: false, ...over };
}

function rollout(over: Partial<RolloutSpec> = {}): RolloutSpec {
  return {
    id: 'r1',
    group: 'g',
    to: B,
    from: A,
    direction: 'forward',
    held: false,
    wave: '0',
    attempt: 1,
    salt: 'r1',
    canary: [],
    slices: [{ selector: '', boundary: 2 ** 48 }],
    bucketBy: null,
    ackTimeoutMs: 10_000,
    healthHoldMs: 5_000,
    joinRate: null,
    ...over,
  };
}

function spec(groups: GroupSpec[], rollouts: RolloutSpec[] = []): FleetSpec {
  return { ...EMPTY_SPEC, groups, rollouts: new Map(rollouts.map((entry) => [entry.group, entry])) };
}

function row(status: RowStatus, over: Partial<Row> = {}): Row {
  return { wave: '0', status, attempt: 1, deadlineMs: 0, offeredAtMs: 0, ackTimeoutMs: 10_000, soft: false, ...over };
}

function state(over: Partial<ReconcileState> = {}): ReconcileState {
  return {
    capabilities: FULL,
    healthy: true,
    reportedHash: A.hash,
    reportedStatus: 'APPLIED',
    offered: A.hash,
    offerAnswered: true,
    offeredFor: undefined,
    failed: new Map<string, FailedHash>(),
    rows: new Map(),
    pin: null,
    ...over,
  };
}

function inputOf(agent: ReconcileState): DesiredInput {
  return {
    origin: '0190f000-0000-7000-8000-0000000000aa',
    attributes: {},
    pin: agent.pin,
    failed: agent.failed,
    wasOffered: (id) => wasOffered(agent.rows, id),
  };
}

function want(fleet: FleetSpec, agent: ReconcileState): Desired {
  return desired(fleet, inputOf(agent));
}

function run(fleet: FleetSpec, agent: ReconcileState) {
  return reconcile(fleet, agent, want(fleet, agent));
}

describe('offers', () => {
  it('offers nothing to an agent that was last sent what it should run', () => {
    expect(run(spec([group()]), state())).toEqual({ rows: [], offer: null });
  });

  it('offers the stable version to an agent that reports another one and was never offered anything', () => {
    const { offer } = run(spec([group()]), state({ offered: '', reportedHash: 'old' }));
    expect(offer).toMatchObject({ config: A, kind: 'trailing', row: null });
  });

  it('does not offer again while an offer has no answer, nor when it was refused', () => {
    const waiting = state({ reportedHash: 'old', offered: A.hash, offerAnswered: false });
    expect(run(spec([group()]), waiting).offer).toBeNull();
    const refused = state({ reportedHash: A.hash, reportedStatus: 'FAILED', offered: '' });
    expect(run(spec([group()]), refused).offer).toBeNull();
  });

  it('offers nothing without AcceptsRemoteConfig and books the agent as skipped', () => {
    const outcome = run(spec([group()], [rollout()]), state({ capabilities: TAKES_NOTHING }));
    expect(outcome.offer).toBeNull();
    expect(outcome.rows).toMatchObject([{ rollout: 'r1', status: 'skipped' }]);
  });

  it('passes an agent by whose build lacks a component of the config, in the rollout and ever after', () => {
    const lacking = { ...B, lacks: ['b1'] };
    const judge = (fleet: FleetSpec, componentsHash: string, agent = state()) => {
      const wanted = desired(fleet, { ...inputOf(agent), componentsHash });
      return { wanted, ...reconcile(fleet, agent, wanted) };
    };
    const during = spec([group()], [rollout({ to: lacking })]);
    const passed = judge(during, 'b1');
    expect(passed.wanted).toMatchObject({ lacking: true, config: A, source: 'stable' });
    expect(passed).toMatchObject({ offer: null, rows: [{ rollout: 'r1', status: 'skipped' }] });
    expect(judge(during, 'b2').offer).toMatchObject({ config: lacking, kind: 'rollout' });
    expect(judge(during, '').offer).toMatchObject({ config: lacking, kind: 'rollout' });
    // A new build of the agent has the component: now it is offered the config.
    expect(judge(during, 'b2', state({ rows: new Map([['r1', row('skipped')]]) })).offer).toMatchObject({ row: { status: 'offered' } });
    // Whoever was offered it before anybody knew stays in the rollout.
    expect(judge(during, 'b1', state({ rows: new Map([['r1', row('applied')]]) })).wanted).toMatchObject({ lacking: false });

    const after = spec([group({ stable: lacking, previous: A })]);
    expect(judge(after, 'b1')).toMatchObject({ offer: null, wanted: { config: A, source: 'previous' } });
    expect(judge(after, 'b2').offer).toMatchObject({ config: lacking });
  });

  it('offers nothing in a group that is only observed', () => {
    expect(run(spec([group({ mode: 'observe' })]), state({ offered: '', reportedHash: 'x' })).offer).toBeNull();
  });

  it('offers the version of the rollout with a row, inside the cohort only', () => {
    const inside = run(spec([group()], [rollout()]), state());
    expect(inside.offer).toMatchObject({
      config: B,
      kind: 'rollout',
      row: { rollout: 'r1', wave: '0', status: 'offered', deadlineInMs: 10_000 },
    });
    const outside = run(spec([group()], [rollout({ slices: [{ selector: '', boundary: 0 }] })]), state());
    expect(outside.offer).toBeNull();
  });

  it('moves nobody new while the rollout is held', () => {
    const held = spec([group()], [rollout({ held: true })]);
    expect(run(held, state()).offer).toBeNull();
    const offered = state({ offered: B.hash, offerAnswered: false, rows: new Map([['r1', row('offered')]]) });
    expect(run(held, offered)).toEqual({ rows: [], offer: null });
  });

  it('books an agent that runs the version already as applied, without an offer', () => {
    const agent = state({ reportedHash: B.hash, offered: '' });
    expect(run(spec([group()], [rollout()]), agent)).toMatchObject({ offer: null, rows: [{ status: 'applied' }] });
  });

  it('takes a FAILED agent back at once and keeps its row', () => {
    const failed = new Map([[B.hash, { by: 'r1', attempt: 1 }]]);
    const agent = state({
      offered: B.hash,
      reportedHash: B.hash,
      reportedStatus: 'FAILED',
      failed,
      rows: new Map([['r1', row('failed')]]),
    });
    expect(run(spec([group()], [rollout()]), agent)).toMatchObject({ rows: [], offer: { config: A, kind: 'takeBack', row: null } });
  });

  it('offers a FAILED version again only in a higher attempt', () => {
    const failed = new Map([[B.hash, { by: 'r1', attempt: 1 }]]);
    const agent = state({ failed, rows: new Map([['r1', row('failed')]]) });
    expect(run(spec([group()], [rollout()]), agent).offer).toBeNull();
    const again = run(spec([group()], [rollout({ attempt: 2 })]), agent);
    expect(again.offer).toMatchObject({ config: B, row: { status: 'offered', attempt: 2 } });
  });

  it('opens a row again in a higher attempt that Redis may have judged meanwhile', () => {
    const agent = state({ offered: B.hash, offerAnswered: false, rows: new Map([['r1', row('offered')]]) });
    expect(run(spec([group()], [rollout({ attempt: 2 })]), agent).rows).toMatchObject([{ status: 'offered', attempt: 2 }]);
  });

  it('leaves settled rows of a rollout that goes forward to an agent that has moved', () => {
    const fleet = spec([group({ name: 'other', priority: 1 }), group()], [rollout()]);
    expect(run(fleet, state({ rows: new Map([['r1', row('applied')]]) })).rows).toEqual([]);
  });

  it('never offers a version as stable that the agent has FAILED: it gets the one before', () => {
    const agent = state({ offered: 'zz', reportedHash: 'zz', failed: new Map([[B.hash, { by: 'r0', attempt: 1 }]]) });
    expect(run(spec([group({ stable: B, previous: A })]), agent).offer?.config).toEqual(A);
  });

  it('prefers the pin, until the agent has FAILED it', () => {
    const pin: Pin = { id: 'p1', config: { name: 'own', version: 1, hash: 'cc' } };
    expect(run(spec([group()], [rollout()]), state({ pin })).offer?.config.hash).toBe('cc');
    const refused = state({ pin, failed: new Map([['cc', { by: 'pin:p1', attempt: 1 }]]), offered: 'cc' });
    expect(run(spec([group()]), refused).offer?.config).toEqual(A);
  });

  it('lets an unsettled row of a rollout go that the agent no longer belongs to', () => {
    const fleet = spec([group({ name: 'other', priority: 1 }), group()], [rollout()]);
    const agent = state({ offered: B.hash, rows: new Map([['r1', row('applying')]]) });
    expect(run(fleet, agent).rows).toMatchObject([{ rollout: 'r1', status: 'left' }]);
  });
});

describe('direction back', () => {
  const back = spec([group()], [rollout({ direction: 'back' })]);

  it('offers the stable version to every touched agent, also to one that runs it but was sent the other', () => {
    const agent = state({ reportedHash: A.hash, offered: B.hash, offerAnswered: false, rows: new Map([['r1', row('offered')]]) });
    expect(run(back, agent).offer).toMatchObject({ config: A, kind: 'back', row: { status: 'restoring' } });
  });

  it('counts an agent as restored only when it has acknowledged an offer made after the bad one', () => {
    const waiting = state({ offered: A.hash, offerAnswered: false, reportedHash: B.hash, rows: new Map([['r1', row('restoring')]]) });
    expect(run(back, waiting)).toEqual({ rows: [], offer: null });
    const answered = state({ rows: new Map([['r1', row('restoring')]]) });
    expect(run(back, answered).rows).toMatchObject([{ status: 'restored' }]);
  });

  it('offers the old version to an agent whose offer was forgotten, whatever it reports: it may have taken the bad one', () => {
    const agent = state({ offered: '', reportedHash: A.hash, rows: new Map([['r1', row('offered')]]) });
    expect(run(back, agent).offer).toMatchObject({ config: A, kind: 'back', row: { status: 'restoring' } });
    const done = state({ offered: '', reportedHash: A.hash, rows: new Map([['r1', row('restored')]]) });
    expect(run(back, done)).toEqual({ rows: [], offer: null });
  });

  it('passes through restoring for an agent that was taken back before', () => {
    const agent = state({ rows: new Map([['r1', row('failed')]]) });
    expect(run(back, agent).rows.map((entry) => entry.status)).toEqual(['restoring', 'restored']);
  });

  it('says when there is nothing to go back to', () => {
    const fleet = spec([group({ stable: null })], [rollout({ direction: 'back', from: null })]);
    const agent = state({ offered: B.hash, reportedHash: B.hash, rows: new Map([['r1', row('applied')]]) });
    const outcome = run(fleet, agent);
    expect(outcome.offer).toBeNull();
    expect(outcome.rows.map((entry) => entry.status)).toEqual(['restoring', 'restoreFailed']);
  });

  it('counts an agent that cannot report as restored once the old version was sent', () => {
    const agent = state({ capabilities: CANNOT_REPORT, reportedHash: '', rows: new Map([['r1', row('restoring')]]) });
    expect(run(back, agent).rows).toMatchObject([{ status: 'restored' }]);
  });

  it.each<RowStatus>(['applied', 'failed', 'restoring', 'offered'])(
    'has nothing more to do for a %s agent that got a pin or another group',
    (status) => {
      const pin: Pin = { id: 'p1', config: { name: 'own', version: 1, hash: 'cc' } };
      expect(run(back, state({ pin, offered: 'cc', rows: new Map([['r1', row(status)]]) })).rows).toMatchObject([
        { rollout: 'r1', status: 'left' },
      ]);
      const moved = spec([group({ name: 'other', priority: 1 }), group()], [rollout({ direction: 'back' })]);
      expect(run(moved, state({ rows: new Map([['r1', row(status)]]) })).rows).toMatchObject([{ rollout: 'r1', status: 'left' }]);
    },
  );

  it('leaves untouched agents alone', () => {
    expect(run(back, state())).toEqual({ rows: [], offer: null });
    expect(run(back, state({ rows: new Map([['r1', row('skipped')]]) })).rows).toEqual([]);
  });
});

describe('status reports', () => {
  it('belongs to the rollout that made the offer when two roll out the same version', () => {
    const two = spec([group({ name: 'other', priority: 1 }), group()], [rollout(), rollout({ id: 'r2', group: 'other' })]);
    const agent = state({
      offered: B.hash,
      offerAnswered: false,
      offeredFor: { by: 'r2', attempt: 1 },
      rows: new Map([
        ['r1', row('applied')],
        ['r2', row('offered')],
      ]),
    });
    expect(applyStatusReport(two, agent, { hash: 'bb', status: 'APPLYING', error: '' }).rows).toMatchObject([
      { rollout: 'r2', status: 'applying' },
    ]);
  });

  const fleet = spec([group()], [rollout()]);
  const offeredB = (status: RowStatus): ReconcileState =>
    state({ offered: B.hash, offerAnswered: false, offeredFor: { by: 'r1', attempt: 1 }, rows: new Map([['r1', row(status)]]) });

  it('goes offered, applying, verifying', () => {
    expect(applyStatusReport(fleet, offeredB('offered'), { hash: 'bb', status: 'APPLYING', error: '' }).rows).toMatchObject([
      { status: 'applying' },
    ]);
    const applied = applyStatusReport(fleet, offeredB('applying'), { hash: 'bb', status: 'APPLIED', error: '' });
    expect(applied).toMatchObject({ answered: true, rows: [{ status: 'verifying', deadlineInMs: 5_000 }] });
  });

  it('is applied at once without a health hold', () => {
    const quick = spec([group()], [rollout({ healthHoldMs: 0 })]);
    expect(applyStatusReport(quick, offeredB('offered'), { hash: 'bb', status: 'APPLIED', error: '' }).rows).toMatchObject([
      { status: 'applied' },
    ]);
  });

  it('remembers a hard failure with the rollout and attempt that offered it', () => {
    const outcome = applyStatusReport(fleet, offeredB('applying'), { hash: 'bb', status: 'FAILED', error: 'yaml: line 1' });
    expect(outcome).toMatchObject({
      answered: true,
      failed: { by: 'r1', attempt: 1 },
      rows: [{ status: 'failed', error: 'yaml: line 1' }],
    });
  });

  it('lets a timed-out apply be judged by health', () => {
    const outcome = applyStatusReport(fleet, offeredB('applying'), {
      hash: 'bb',
      status: 'FAILED',
      error: 'Config apply timeout exceeded',
    });
    expect(outcome).toMatchObject({ answered: true, failed: null, rows: [{ status: 'verifying', soft: true, deadlineInMs: 60_000 }] });
  });

  it('counts a status for another hash as stale and books nothing', () => {
    expect(applyStatusReport(fleet, offeredB('offered'), { hash: 'aa', status: 'APPLIED', error: '' })).toMatchObject({
      stale: true,
      answered: false,
      rows: [],
    });
  });

  it('lets a late APPLIED count after the health hold, with no unsettled status between', () => {
    const outcome = applyStatusReport(fleet, offeredB('timedOut'), { hash: 'bb', status: 'APPLIED', error: '' });
    expect(outcome).toMatchObject({ rows: [], lateApplied: 'r1' });
  });
});
