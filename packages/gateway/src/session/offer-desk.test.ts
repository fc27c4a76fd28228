import { createManualClock } from '@opamp-gateway/shared/clock';
import type { FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { EMPTY_SPEC } from '@opamp-gateway/shared/fleet-spec';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { describe, expect, it } from 'vitest';
import { GatewayEvents } from '../events.ts';
import { createLiveSession, NEW, OLD, ROLLOUT } from '../../test-support/live-session.ts';
import { OfferDesk } from './offer-desk.ts';

const CONFIG_BYTES = 1_000;

function specWith(rollout: RolloutSpec): FleetSpec {
  const group = { name: 'g', selector: '', priority: 0, mode: 'manage' as const, stable: OLD, previous: null, trailingHeld: false };
  return { ...EMPTY_SPEC, groups: [group], rollouts: new Map([[rollout.group, rollout]]) };
}

/** A desk whose writes are never acknowledged, unless the test calls `offerRecorded`. */
function createDesk(window: { offers: number; bytes: number } = { offers: 100, bytes: 1e9 }, keepEffective = true) {
  const clock = createManualClock();
  const source = { spec: specWith(ROLLOUT), remoteConfig: () => new Uint8Array(CONFIG_BYTES) };
  const sent: string[] = [];
  const lease = { held: true };
  const desk = new OfferDesk({
    clock,
    events: new GatewayEvents(createSilentLogger()),
    spec: source,
    writer: { markDirty: () => undefined, settled: () => Promise.resolve() },
    offerRate: 1_000,
    windowOffers: window.offers,
    windowBytes: window.bytes,
    maxMessageBytes: 1e6,
    keepEffective,
    mayOffer: () => lease.held,
    liveGateways: () => 1,
    sendWithOffer: (session) => {
      sent.push(session.uid);
      return true;
    },
  });
  return { clock, source, desk, sent, lease };
}

describe('an offer that is being recorded', () => {
  it('is called off when its rollout turns back, and the agent counts as restored without another offer', () => {
    const { source, desk, sent } = createDesk();
    const session = createLiveSession();
    desk.evaluate(session, 'spec');
    expect(session.offer?.config.hash).toBe(NEW.hash);

    source.spec = specWith({ ...ROLLOUT, direction: 'back' });
    desk.evaluate(session, 'spec');
    expect(session.offer).toBeUndefined();
    expect(session.record).toMatchObject({ offered: OLD.hash, offerAnswered: true });
    expect(session.pending?.rows.map(({ status }) => status)).toEqual(['offered', 'restoring', 'restored']);
    expect(session.pending?.set).toMatchObject({ offered: OLD.hash, offerAnswered: '1' });
    expect(desk.backlog()).toEqual({});
    desk.offerRecorded(session);
    expect(sent).toEqual([]);
  });

  it('is followed by the former version once its bytes have left', () => {
    const { source, desk, sent } = createDesk();
    const session = createLiveSession();
    desk.evaluate(session, 'spec');
    desk.offerRecorded(session);
    expect(sent).toEqual([session.uid]);

    source.spec = specWith({ ...ROLLOUT, direction: 'back' });
    desk.evaluate(session, 'spec');
    expect(session.offer).toMatchObject({ kind: 'back', config: OLD });
    expect(session.record).toMatchObject({ offered: OLD.hash, offerAnswered: false });
  });
});

describe('an agent that cannot report and tells its effective config', () => {
  it.each([
    [true, 'offered'],
    [false, 'unverified'],
  ])('where these are kept: %s, is %s once its offer was sent, and so when it had the version already', (keepEffective, status) => {
    const { desk } = createDesk(undefined, keepEffective);
    const [asked, had] = [createLiveSession(), createLiveSession('0190f000-0000-7000-8000-000000000002')];
    for (const session of [asked, had]) session.record.capabilities = 0x6n;
    had.record.offered = NEW.hash;
    for (const session of [asked, had]) desk.evaluate(session, 'spec');
    desk.offerRecorded(asked);
    expect([asked, had].map((session) => session.record.rows.get(ROLLOUT.id)?.status)).toEqual([status, status]);
  });
});

describe('the credit window', () => {
  const sessions = Array.from({ length: 12 }, (_, index) => createLiveSession(`0190f000-0000-7000-8000-0000000000${10 + index}`));
  const offered = (): number => sessions.filter((session) => session.offer !== undefined).length;

  it('lets others pass agents that do not answer, within a second window of half the size', () => {
    const { clock, desk } = createDesk({ offers: 4, bytes: 1e9 });
    for (const session of sessions) desk.evaluate(session, 'spec');
    expect(offered()).toBe(4);
    clock.advance(1_900);
    desk.tick();
    expect(offered()).toBe(4);
    clock.advance(200);
    desk.tick();
    expect(offered()).toBe(6);
    // Both windows are full of agents that say nothing.
    clock.advance(10_000);
    desk.tick();
    expect(offered()).toBe(6);
    // One of the slow ones answers: the oldest of the others takes its place, and one more is offered the config.
    desk.returnCredit(sessions[0]!);
    desk.tick();
    expect(offered()).toBe(7);
    clock.advance(30_000);
    desk.tick();
    expect(offered()).toBe(11);
  });

  it('counts bytes, and every offer once', () => {
    const { clock, desk } = createDesk({ offers: 100, bytes: 2 * CONFIG_BYTES });
    const agents = Array.from({ length: 6 }, (_, index) => createLiveSession(`0190f000-0000-7000-8000-0000000000${30 + index}`));
    const count = (): number => agents.filter((session) => session.offer !== undefined).length;
    for (const session of agents) desk.evaluate(session, 'spec');
    expect(count()).toBe(2);
    clock.advance(2_000);
    desk.tick();
    expect(count()).toBe(3);
    for (const session of agents.slice(0, 3)) {
      desk.returnCredit(session);
      desk.returnCredit(session);
    }
    desk.tick();
    expect(count()).toBe(5);
  });
});

describe('offers that wait', () => {
  it('are those of a rollout while the fleet is frozen, but not of one that takes another one back', () => {
    const { source, desk } = createDesk();
    source.spec = { ...specWith(ROLLOUT), frozen: true };
    const session = createLiveSession();
    desk.evaluate(session, 'spec');
    expect([session.offer, desk.backlog()]).toEqual([undefined, { r1: 1 }]);

    source.spec = { ...specWith({ ...ROLLOUT, revert: true }), frozen: true };
    desk.evaluate(session, 'spec');
    expect(session.offer).toMatchObject({ kind: 'rollout', config: NEW, rolloutId: 'r1' });
  });

  it('are not looked at without a lease, nor ten times a second while the fleet is frozen', () => {
    const { clock, source, desk, lease } = createDesk({ offers: 1_000, bytes: 1e9 });
    const agents = Array.from({ length: 300 }, (_, index) => createLiveSession(`0190f000-0000-7000-8000-000000000${100 + index}`));
    const begun = (): number => agents.filter((session) => session.offer !== undefined).length;
    let looks = 0;
    const evaluate = desk.evaluate.bind(desk);
    desk.evaluate = (session, cause) => {
      looks += 1;
      evaluate(session, cause);
    };

    lease.held = false;
    for (const session of agents) evaluate(session, 'spec');
    desk.tick();
    expect(looks).toBe(0);

    lease.held = true;
    source.spec = { ...source.spec, frozen: true };
    for (let tick = 0; tick < 10; tick += 1) {
      desk.tick();
      clock.advance(100);
    }
    expect([looks, begun()]).toEqual([300, 0]);

    source.spec = { ...source.spec, frozen: false };
    desk.tick();
    expect(begun()).toBe(300);
  });
});

describe('the account of offers outside rollouts', () => {
  const groupOf = (over: object = {}) => ({
    name: 'g',
    selector: '',
    priority: 0,
    mode: 'manage' as const,
    stable: NEW,
    previous: null,
    trailingHeld: false,
    ...over,
  });

  it('is of the proven version and the present round alone', () => {
    const { source, desk } = createDesk();
    source.spec = { ...EMPTY_SPEC, groups: [groupOf()] };
    const session = createLiveSession();
    desk.evaluate(session, 'session');
    desk.offerRecorded(session);
    desk.trailingFailed('g', NEW.hash);
    desk.trailingFailed('g', OLD.hash);
    expect(desk.trailing()).toEqual({ g: { hash: NEW.hash, round: 0, offers: 1, failures: 1 } });

    source.spec = { ...EMPTY_SPEC, groups: [groupOf({ trailingRound: 1 })] };
    expect(desk.trailing()).toEqual({});
    desk.trailingFailed('g', NEW.hash);
    expect(desk.trailing()).toEqual({ g: { hash: NEW.hash, round: 1, offers: 0, failures: 1 } });

    source.spec = { ...EMPTY_SPEC, groups: [groupOf({ stable: OLD, trailingRound: 1 })] };
    expect(desk.trailing()).toEqual({});
  });
});
