import { bookAnswer, refuseAnswer } from '@opamp-gateway/coordinator/rollout/asked-gates';
import { stateOf } from '@opamp-gateway/coordinator/rollout/document';
import type { RolloutDocument } from '@opamp-gateway/coordinator/rollout/document';
import { Draft } from '@opamp-gateway/coordinator/rollout/draft';
import { RolloutEngine } from '@opamp-gateway/coordinator/rollout/engine';
import { maxInFlightOf } from '@opamp-gateway/coordinator/rollout/plan';
import type { GateAnswer, GateQuestion } from '@opamp-gateway/coordinator/rollout/ports';
import { createRolloutService } from '@opamp-gateway/coordinator/rollout/rollout-service';
import type { RolloutAction, RolloutService } from '@opamp-gateway/coordinator/rollout/service';
import { systemClock } from '@opamp-gateway/shared/clock';
import { hash48 } from '@opamp-gateway/shared/bucket';
import { desired, formatGroupField, formatRolloutField, formatStableField, specField } from '@opamp-gateway/shared/fleet-spec';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { FAILING_STATUSES, TERMINAL_PHASES, UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokenConnectionError, SimFleet } from './sim-fleet.ts';

const GATEWAYS = 2;
const STABLE = { name: 'base', version: 1, hash: 'aa' };
const TO = { name: 'base', version: 2, hash: 'bb' };

/** One thing that happens. `pick` chooses the agent or gateway it happens to. */
type Op =
  | { kind: 'reconcile'; engine: number }
  | { kind: 'follow' | 'join' | 'disconnect' | 'poll' | 'degrade'; pick: number }
  | { kind: 'answer'; pick: number; verdict: 'applied' | 'failed' }
  | { kind: 'time'; ms: number }
  | { kind: 'gate'; pick: number; outcome: GateAnswer['outcome'] }
  | { kind: 'act'; action: RolloutAction }
  | { kind: 'crash' | 'everybodyFollows' | 'everybodyAnswers' };

const pick = fc.nat(1_000);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('reconcile' as const), engine: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('follow' as const), pick }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      pick,
      verdict: fc.constantFrom('applied' as const, 'applied' as const, 'applied' as const, 'failed' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('join' as const, 'disconnect' as const, 'poll' as const, 'degrade' as const), pick }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(100, 400, 1_000, 6_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('gate' as const),
      pick: fc.nat(3),
      outcome: fc.constantFrom<GateAnswer['outcome']>('pass', 'pass', 'pass', 'pass', 'wait', 'inconclusive', 'error', 'fail'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('act' as const),
      action: fc.constantFrom<RolloutAction>('pause', 'resume', 'resume', 'promote', 'retry', 'retry', 'abort', 'cancel'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
  { weight: 4, arbitrary: fc.constantFrom({ kind: 'everybodyFollows' as const }, { kind: 'everybodyAnswers' as const }) },
);

const strategy = fc.record({
  waves: fc.constantFrom(
    [{ size: { count: 2 } }, { size: { percent: 50 } }, { size: { percent: 100 } }],
    [{ size: { count: 1 } }, { size: { percent: 100 }, approval: 'before' }],
    [{ size: { percent: 100 } }],
    [{ size: { percent: 20 } }, { size: { percent: 40 }, approval: 'after' }, { size: { percent: 100 } }],
  ),
  soak: fc.constantFrom('0s', '1s'),
  failure: fc.record({ maxCount: fc.constantFrom(0, 1, 3) }),
  onFailure: fc.constantFrom('rollback', 'pause'),
  maxInFlight: fc.constantFrom(1, 2, 5, 100),
  rate: fc.constantFrom('unlimited', { start: 2, factor: 1 }, { start: 50, factor: 2, per: 2 }),
  gates: fc.constantFrom<unknown[]>(
    ['ackRatio', 'healthRegression'],
    ['ackRatio', { type: 'prometheus', query: 'q', condition: 'value < 1', interval: '1s', timeout: '1s' }],
    [
      'ackRatio',
      { type: 'webhook', url: 'http://h/', interval: '1s', timeout: '1s', deadline: '2s' },
      { type: 'prometheus', query: 'q', condition: 'value < 1', interval: '1s', timeout: '1s' },
      { type: 'manual', expires: '30s' },
    ],
  ),
  offline: fc.constantFrom('defer', 'defer', 'wait', 'exclude'),
  maxInFlightPer: fc.constantFrom(null, { by: 'rack', max: 1 }, { by: 'rack', max: 2 }),
  ackTimeout: fc.constant('5s'),
  healthHold: fc.constant('0s'),
});

interface World {
  sim: SimFleet;
  service: RolloutService;
  engines: RolloutEngine[];
  id: string;
  uids: string[];
  /** Every question that left, oldest first. */
  questions: GateQuestion[];
  violations: unknown[];
}

async function build(agents: number, pollers: number, strategyInput: unknown): Promise<World> {
  const sim = new SimFleet(GATEWAYS);
  sim.fields[specField.group('g')] = formatGroupField({ selector: '', priority: 1, mode: 'manage' });
  sim.fields[specField.stable('g')] = formatStableField({ stable: STABLE, previous: null });
  for (let gateway = 0; gateway < GATEWAYS; gateway += 1) sim.follow(gateway);
  const uids = Array.from({ length: agents }, (_, index) => `agent-${index}`);
  uids.forEach((uid, index) => sim.join(uid, index % GATEWAYS, index < pollers));
  for (const agent of sim.agents.values()) agent.offered = STABLE.hash;
  // A violation inside a commit would look like a broken connection to the engine, so it is kept and thrown later.
  const violations: unknown[] = [];
  sim.onCommit = (step) => {
    try {
      checkCommit(sim, step.before, step.after);
      checkEvents(sim, step);
    } catch (error) {
      violations.push(error);
    }
  };
  const questions: GateQuestion[] = [];
  const ask = (put: readonly GateQuestion[]): void => {
    questions.push(...put);
  };
  const engines = [0, 1].map(() => new RolloutEngine({ store: sim, fleet: sim, logger: createSilentLogger(), ask }));
  const service = createRolloutService({
    store: sim,
    fleet: sim,
    configs: { find: async () => TO },
    engine: engines[0] as RolloutEngine,
    clock: systemClock,
    waker: { wake: () => undefined },
    newId: () => 'r1',
  });
  const outcome = await service.create({ group: 'g', config: { name: 'base', version: 2 }, strategy: strategyInput }, { actor: 'model' });
  if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
  return { sim, service, engines, id: outcome.id, uids, questions, violations };
}

const isHeld = (document: RolloutDocument): boolean => document.holds.length > 0 || TERMINAL_PHASES.has(document.phase);

/** Invariants of every stored step. */
function checkCommit(sim: SimFleet, before: RolloutDocument | undefined, after: RolloutDocument): void {
  const log = sim.eventLog.get(after.id) ?? [];
  // I3: no gap, and every event starts where the one before ended; replaying them gives the document's state.
  log.forEach((event, index) => {
    expect(event.seq).toBe(index + 1);
    expect(event.from).toEqual(index === 0 ? null : log[index - 1]?.to);
  });
  expect(log).toHaveLength(after.eventSeq);
  expect(log.at(-1)?.to).toEqual(stateOf(after));
  // I5: whoever has not ended has a time to be looked at.
  expect(sim.due.has(after.id)).toBe(!TERMINAL_PHASES.has(after.phase) || after.cleanup === 'pending');

  const spec = sim.currentSpec.rollouts.get(after.group);
  if (spec?.id === after.id) expect(spec.held).toBe(after.direction === 'forward' && after.holds.length > 0);
  else expect(after.startedAtMs === null || TERMINAL_PHASES.has(after.phase)).toBe(true);
  if (before === undefined) return;
  expect(TERMINAL_PHASES.has(before.phase) && after.phase !== before.phase, 'a terminal phase was left').toBe(false);

  const raised =
    after.canaryAssigned > before.canaryAssigned ||
    after.slices.some((slice, index) => slice.boundary > (before.slices[index]?.boundary ?? 0));
  after.slices.forEach((slice, index) => expect(slice.boundary).toBeGreaterThanOrEqual(before.slices[index]?.boundary ?? 0));
  // I4: nobody new is let in while held or after the end.
  if (isHeld(after)) expect(raised).toBe(false);
  // I8: and never more than may be under way.
  if (raised && spec !== undefined) {
    const connected = [...sim.agents.values()].filter((agent) => agent.connected).length;
    expect(sim.trulyInFlight(spec)).toBeLessThanOrEqual(maxInFlightOf(after.strategy, connected));
  }
  checkDomains(sim, before, after);
}

/** Whether the boundary of a document has let this agent in. */
function hasLetIn({ canary, canaryAssigned, slices, salt }: RolloutDocument, uid: string): boolean {
  return canary.slice(0, canaryAssigned).some((chosen) => chosen.uid === uid) || hash48(salt, uid) < (slices[0]?.boundary ?? 0);
}

/** Whoever is let in finds room in its rack, away agents with an open row counted. Joins and retries apart. */
function checkDomains(sim: SimFleet, before: RolloutDocument, after: RolloutDocument): void {
  const limit = after.strategy.maxInFlightPer;
  if (limit === null) return;
  const agents = [...sim.agents.values()];
  const counts = ({ passedOver }: { passedOver: string }): boolean => after.strategy.offline !== 'exclude' || passedOver === 'no';
  const admitted = agents.filter(({ uid, connected }) => connected && !hasLetIn(before, uid) && hasLetIn(after, uid));
  for (const rack of new Set(admitted.filter((agent) => !agent.rows.has(after.id) && counts(agent)).map((agent) => agent.rack))) {
    const underWay = agents.filter((agent) => {
      const row = agent.rows.get(after.id);
      if (agent.rack !== rack) return false;
      if (row !== undefined) return UNSETTLED_STATUSES.has(row.status);
      return agent.connected && hasLetIn(after, agent.uid) && counts(agent);
    });
    expect(underWay.length, `agents under way in ${rack}`).toBeLessThanOrEqual(limit.max);
  }
}

const RESTORED: ReadonlySet<RowStatus> = new Set<RowStatus>(['restored', 'restoreFailed', 'skipped', 'left']);

/** What must be the case when a step says that something has happened. */
function checkEvents(sim: SimFleet, { before, after, events, fieldBefore }: Parameters<SimFleet['onCommit']>[0]): void {
  const rows = [...sim.agents.values()].flatMap((agent) => {
    const row = agent.rows.get(after.id);
    return row === undefined ? [] : [{ agent, row }];
  });
  for (const event of events) {
    // A wave is assigned, and a rollback has ended, only when every gateway follows what was said before this step.
    const turnedBack = event.type === 'rollout.rolled_back' || (event.type === 'rollout.cancelled' && event.from?.phase === 'rolling_back');
    if (event.type === 'wave.assigned' || (turnedBack && fieldBefore !== undefined)) {
      for (const gateway of sim.gatewayList) {
        const followed = gateway.spec.rollouts.get(after.group);
        expect(followed === undefined ? undefined : formatRolloutField(followed), event.type).toBe(fieldBefore);
      }
    }
    if (event.type === 'rollout.rolled_back' || event.type === 'rollout.rollback_failed') {
      expect(rows.filter(({ agent, row }) => agent.connected && !RESTORED.has(row.status))).toEqual([]);
    }
    // Whoever was offered it keeps it from being called cancelled.
    if (event.type === 'rollout.cancelled') expect(rows.filter(({ row }) => row.status !== 'skipped')).toEqual([]);
    if (event.type === 'rollout.rolled_back') expect(rows.filter(({ row }) => row.status !== 'skipped')).not.toEqual([]);
    // A later wave of the same step may have moved the boundary on.
    if (event.type === 'wave.assigned' && after.strategy.offline === 'wait' && event.to.waveIndex === after.waveIndex) {
      expect(
        sim.awayOpen(after.id).filter(({ uid }) => hasLetIn(after, uid)),
        'away agents of the wave',
      ).toEqual([]);
    }
    if (event.type === 'wave.converged') {
      expect(rows.filter(({ row }) => row.wave === String(event.to.waveIndex) && UNSETTLED_STATUSES.has(row.status))).toEqual([]);
    }
    if (event.type === 'wave.passed') {
      const limit = before?.strategy.waves[event.from?.waveIndex ?? 0]?.failure.maxCount ?? Number.POSITIVE_INFINITY;
      expect(rows.filter(({ row }) => FAILING_STATUSES.has(row.status)).length).toBeLessThanOrEqual(limit);
      const wave = after.waves[event.from?.waveIndex ?? 0];
      const outcomes = wave?.gatesSkipped === true ? [] : (wave?.asked ?? []).map((state) => state.outcome);
      expect(
        outcomes.filter((outcome) => outcome !== 'pass'),
        'a wave passed without its gates',
      ).toEqual([]);
      const { gates } = after.strategy;
      const asked = gates.filter((gate) => typeof gate === 'object' && gate.type !== 'manual').length;
      expect(wave?.gatesSkipped === true ? asked : outcomes.length).toBe(asked);
      if (asked < gates.filter((gate) => typeof gate === 'object').length) expect(wave?.approvals.length).toBeGreaterThan(0);
    }
  }
}

/** Invariants of the offers that were made. */
function checkOffers({ sim, id, violations }: World): void {
  if (violations.length > 0) throw violations[0];
  const log = sim.eventLog.get(id) ?? [];
  const excludes = sim.documents.get(id)?.at(-1)?.strategy.offline === 'exclude';
  for (const offer of sim.offers) {
    // I4, as the gateways carry it out.
    if (offer.passedOver && offer.first && excludes) expect.fail(`${offer.uid} was away when the rollout started, and was offered it`);
    if (offer.held) expect(offer.first, `first offer to ${offer.uid} while held`).toBe(false);
    // I2: no offer in wave k + 1 before wave k has passed.
    const wave = Number(offer.wave);
    if (!Number.isInteger(wave) || wave === 0) continue;
    const passed = log.some(
      (event) => event.type === 'wave.passed' && event.data?.['wave'] === wave - 1 && Date.parse(event.at) <= offer.atMs,
    );
    expect(passed, `offer in wave ${wave} before wave ${wave - 1} passed`).toBe(true);
  }
}

function onlyCrashes(error: unknown): void {
  if (!(error instanceof BrokenConnectionError)) throw error;
}

async function happen(world: World, next: Op): Promise<void> {
  const { sim, uids } = world;
  const uid = 'pick' in next ? (uids[next.pick % uids.length] as string) : '';
  switch (next.kind) {
    case 'reconcile':
      await world.engines[next.engine]?.reconcile(world.id).catch(onlyCrashes);
      return;
    case 'follow':
      return sim.follow(next.pick % GATEWAYS);
    case 'everybodyFollows':
      for (let gateway = 0; gateway < GATEWAYS; gateway += 1) sim.follow(gateway);
      for (const each of uids) sim.poll(each);
      return;
    case 'everybodyAnswers':
      for (const each of uids) sim.answer(each, 'applied');
      return;
    case 'join':
      return sim.join(uid, next.pick % GATEWAYS, sim.agents.get(uid)?.http);
    case 'disconnect':
      return sim.disconnect(uid);
    case 'poll':
      return sim.poll(uid);
    case 'degrade':
      return sim.degrade(uid);
    case 'answer':
      return sim.answer(uid, next.verdict);
    case 'gate': {
      const question = world.questions.at(-1 - next.pick);
      if (question !== undefined) await answerGate(world, question, next.outcome).catch(onlyCrashes);
      return;
    }
    case 'time':
      sim.now += next.ms;
      return;
    case 'act':
      await world.service.act(world.id, next.action, { actor: 'model' }).catch(onlyCrashes);
      return;
    case 'crash':
      sim.failCommits = 1;
      return;
  }
}

/** An answer comes in, whatever happened since the question left. Only the one to the last question may count. */
async function answerGate(world: World, question: GateQuestion, outcome: GateAnswer['outcome']): Promise<void> {
  const { questions, engines, id, sim } = world;
  const isLast = questions.findLast(({ gate }) => gate.name === question.gate.name) === question;
  const answered = await engines[0]?.update(id, (document, nowMs) => {
    const refused = refuseAnswer(document, question);
    if (refused !== null) return { refused };
    const draft = new Draft(document, nowMs);
    bookAnswer(draft, question, { outcome, detail: outcome, evidence: '' });
    draft.document.rev += 1;
    return { document: draft.document, events: draft.events };
  });
  if (answered?.kind !== 'done') return;
  expect(isLast, 'an answer to an earlier question was taken').toBe(true);
  const document = await sim.load(id);
  expect(document?.waveIndex).toBe(question.wave.index);
  expect(document?.attempt).toBe(question.rollout.attempt);
}

/** From here on everything works: gateways follow, agents answer, and somebody decides about what is held. */
async function settleDown(world: World): Promise<RolloutDocument> {
  const { sim, id, service } = world;
  sim.failCommits = 0;
  for (let round = 0; round < 500; round += 1) {
    sim.now += 400;
    await world.engines[round % 2]?.reconcile(id);
    const document = await sim.load(id);
    if (document === undefined) throw new Error('the rollout is gone');
    if (TERMINAL_PHASES.has(document.phase) && document.cleanup === 'done') return document;
    for (const question of world.questions.slice(-3)) await answerGate(world, question, 'pass');
    for (let gateway = 0; gateway < GATEWAYS; gateway += 1) sim.follow(gateway);
    for (const uid of world.uids) {
      if (sim.agents.get(uid)?.connected !== true) sim.join(uid, round % GATEWAYS, sim.agents.get(uid)?.http);
      sim.poll(uid);
      sim.answer(uid, 'applied');
    }
    if (document.phase === 'running' && document.holds.length > 0) {
      const resumed = await service.act(id, 'resume', { actor: 'model' });
      const promoted = await service.act(id, 'promote', { actor: 'model' });
      if (resumed.kind === 'problem' && promoted.kind === 'problem' && document.holds.some((hold) => hold.reason === 'threshold')) {
        await service.act(id, 'abort', { actor: 'model' });
      }
    }
  }
  throw new Error(`it never ends: ${JSON.stringify(await service.get(id), undefined, 1)}`);
}

describe('a rollout under random histories', () => {
  it('keeps its invariants, ends, and leaves every agent on its desired config', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 14 }),
        fc.nat(3),
        strategy,
        fc.array(op, { minLength: 20, maxLength: 150, size: 'max' }),
        async (agents, pollers, input, ops) => {
          const world = await build(agents, Math.min(pollers, agents - 1), input);
          for (const next of ops) {
            await happen(world, next);
            checkOffers(world);
          }
          const document = await settleDown(world);
          checkOffers(world);
          const { sim } = world;
          expect(sim.currentSpec.rollouts.size).toBe(0);
          expect(sim.currentSpec.groups[0]?.stable).toEqual(document.phase === 'succeeded' ? TO : STABLE);
          // Whoever was away all the time comes back now.
          for (const uid of world.uids) sim.join(uid, sim.agents.get(uid)?.gateway ?? 0, sim.agents.get(uid)?.http);
          for (let gateway = 0; gateway < GATEWAYS; gateway += 1) sim.follow(gateway);
          for (const uid of world.uids) sim.poll(uid);
          for (const agent of sim.agents.values()) {
            const want = desired(sim.currentSpec, {
              origin: agent.uid,
              attributes: {},
              pin: null,
              failed: agent.failed,
              wasOffered: () => false,
            });
            if (want.config !== null) expect(agent.offered, `what ${agent.uid} has`).toBe(want.config.hash);
          }
          // Somebody proved it.
          if (document.phase === 'succeeded') {
            expect(Object.entries(document.finalCounters ?? {}).some(([field, count]) => field.includes(':applied:') && count > 0)).toBe(
              true,
            );
          }
        },
      ),
      { numRuns: 600 },
    );
  });
});
