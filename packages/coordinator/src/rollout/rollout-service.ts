import { randomBytes } from 'node:crypto';
import type { Clock } from '@opamp-gateway/shared/clock';
import type { ConfigRef, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import type { PreflightReport } from '../validation/preflight.ts';
import { createDocument, isTerminal } from './document.ts';
import type { NewRollout, PreflightSummary, RolloutDocument } from './document.ts';
import { Draft } from './draft.ts';
import type { CommandOutcome, RolloutEngine } from './engine.ts';
import type { ConfigCheck, ConfigLookup, ConfigVerdict, FleetReader, GateAsker, RolloutStore, Waker } from './ports.ts';
import { createPreviewer } from './preview.ts';
import { RANKED_LIMIT } from './ranking.ts';
import { digestOfBody, parseRolloutRequest, problem } from './request.ts';
import type { RolloutRequest } from './request.ts';
import { finalCountersOf, toRolloutView } from './rollout-view.ts';
import type {
  ActOutcome,
  CreateOutcome,
  FieldProblem,
  RolloutEvent,
  RolloutBefore,
  RolloutProblem,
  RolloutService,
  RolloutView,
} from './service.ts';
import type { Strategy } from './strategy.ts';
import { toStrategyView } from './strategy-view.ts';
import { tuneStrategy } from './tune.ts';
import { transition } from './transition.ts';
import type { Command } from './view.ts';

export interface RolloutServiceOptions {
  store: RolloutStore;
  fleet: FleetReader;
  configs: ConfigLookup;
  engine: RolloutEngine;
  clock: Clock;
  waker: Waker;
  /** Without it no config is judged for a group. */
  check?: ConfigCheck;
  /** What the settings do not allow of a strategy. */
  refuseStrategy?(strategy: Strategy): FieldProblem[];
  /** Asks what gates say now, for previews. */
  asker?: GateAsker;
  /** How often a follower looks for new events. */
  followMs?: number;
  /** Ids of new rollouts; random unless a test wants them again. */
  newId?: () => string;
}

const FOLLOW_MS = 500;
/** Builds that a rollout passes by at most: every gateway holds the list. */
const MAX_LACKING_BUILDS = 500;
const SHOWN_BUILDS = 5;
const MAX_LINES = 50;
const EVENTS_LIMIT = 1_000;
/** Documents that one page of a filtered list reads at most. */
const LIST_SCAN = 10_000;

/** Builds the service that the API and the queue call. */
export function createRolloutService(options: RolloutServiceOptions): RolloutService {
  const { store, fleet, configs, engine, clock, waker } = options;
  const newId = options.newId ?? newRolloutId;
  const previewer = createPreviewer(options);

  const viewOf = async (document: RolloutDocument, isFrozen: boolean | Promise<boolean> = fleet.frozen()): Promise<RolloutView> => {
    const [counters, frozen] = await Promise.all([
      finalCountersOf(document) ?? (document.startedAtMs === null ? undefined : fleet.counters(document.id)),
      isFrozen,
    ]);
    return toRolloutView(document, counters, frozen);
  };

  const unknown = (id: string): RolloutProblem => problem('rollout-not-found', `there is no rollout ${id}`);

  /** The rollout that an idempotency key led to before, if that was with the same body. */
  const existing = async (id: string, digest: string | undefined): Promise<CreateOutcome> => {
    const known = (await store.load(id))?.requestDigest;
    return known === undefined || known === digest
      ? { kind: 'existing', id }
      : problem('idempotency-key-reused', `the key started rollout ${id}, with another body`);
  };

  /** Stores a new rollout; it is looked at right away. */
  const storeNew = async (
    rollout: NewRollout,
    how: { active: 'set' | { replace: string }; idempotencyKey: string | null },
  ): Promise<CreateOutcome> => {
    const draft = new Draft(createDocument(rollout), rollout.createdAtMs);
    draft.actor = rollout.createdBy;
    draft.emit('rollout.created', rollout.reason, { to: rollout.to, from: rollout.from });
    draft.document.rev = 1;
    const outcome = await store.commit({
      document: draft.document,
      events: draft.events,
      specSet: {},
      specDel: [],
      nextEvalAtMs: rollout.createdAtMs,
      active: how.active,
      idempotencyKey: how.idempotencyKey,
    });
    switch (outcome.kind) {
      case 'ok':
        waker.wake(rollout.id);
        return { kind: 'created', id: rollout.id, rev: 1, view: toRolloutView(draft.document) };
      case 'exists':
        return await existing(outcome.id, rollout.requestDigest);
      case 'active':
        return problem(
          'rollout-active',
          `rollout ${outcome.id} of group ${rollout.group} has not ended; "supersede": true aborts it first`,
        );
      case 'no-group':
        return problem('group-not-found', `there is no group ${rollout.group}`);
      case 'stale':
        throw new Error(`the id ${rollout.id} of a new rollout is taken`);
    }
  };

  /** What the names in a request stand for. */
  const resolve = async (
    request: RolloutRequest,
  ): Promise<
    RolloutProblem | { to: ConfigRef; from: ConfigRef | null; baseline: ConfigRef | null; stable: ConfigRef | null; group: GroupSpec }
  > => {
    const [{ spec }, to, baseline] = await Promise.all([
      fleet.spec(),
      configs.find(request.config.name, request.config.version),
      request.baseline === null ? null : configs.find(request.baseline.name, request.baseline.version),
    ]);
    const group = spec.groups.find((candidate) => candidate.name === request.group);
    if (group === undefined) return problem('group-not-found', `there is no group ${request.group}`);
    if (group.mode === 'observe')
      return problem('group-observed', `group ${request.group} is in mode observe, in which nothing is offered`);
    const missing: FieldProblem[] = [];
    const name = (path: string, ref: { name: string; version: number } | null): void => {
      if (ref !== null) missing.push({ path, message: `config ${ref.name} has no version ${ref.version}` });
    };
    if (to === undefined) name('config', request.config);
    if (baseline === undefined) name('baseline', request.baseline);
    if (to === undefined || baseline === undefined)
      return problem('config-not-found', missing.map((entry) => entry.message).join('; '), missing);
    if (baseline !== null && group.stable !== null) {
      return problem('invalid-rollout', 'one field is wrong', [
        { path: 'baseline', message: `goes with the first rollout of a group only; ${request.group} has a proven version` },
      ]);
    }
    const { maxInFlightPer, offline } = request.strategy;
    const counted = [...(maxInFlightPer === null ? [] : ['maxInFlightPer']), ...(offline === 'wait' ? ['offline'] : [])];
    if (counted.length > 0 && (await fleet.connected(request.group)) > RANKED_LIMIT) {
      const message = `is for groups of up to ${RANKED_LIMIT} agents`;
      return problem(
        'invalid-rollout',
        `group ${request.group} is too large`,
        counted.map((field) => ({ path: `strategy.${field}`, message })),
      );
    }
    return { to, from: group.stable ?? baseline, baseline, stable: group.stable, group };
  };

  /** The problem that the config makes in this group, or the config as it may be offered. */
  const admit = (request: RolloutRequest, to: ConfigRef, verdict: ConfigVerdict | undefined): RolloutProblem | ConfigRef => {
    if (verdict === undefined) return to;
    const { refused, builds } = verdict;
    if (refused.length > 0) {
      const errors = refused.map((message) => ({ path: 'config', message }));
      return problem('invalid-rollout', `the switches of group ${request.group} do not allow this config`, errors);
    }
    if (builds.unable === 0) return to;
    const reason =
      request.strategy.missingComponents === 'refuse'
        ? '"missingComponents": "skip" passes these agents by'
        : builds.able + builds.unknown === 0
          ? 'no agent of the group could load it'
          : builds.unableBuilds.length > MAX_LACKING_BUILDS
            ? `more than ${MAX_LACKING_BUILDS} builds lack something`
            : null;
    if (reason === null) return { ...to, lacks: builds.unableBuilds };
    const errors = builds.missing.map(({ text, builds: hashes }) => ({ path: 'config', message: `${text}: ${shownBuilds(hashes)}` }));
    return problem('invalid-rollout', `some agents lack components that the config needs; ${reason}`, errors);
  };

  const create: RolloutService['create'] = async (body, { actor, idempotencyKey, dryRun, expectedRev, trace }) => {
    const { request, problems } = parseRolloutRequest(body);
    if (problems.length === 0) problems.push(...(options.refuseStrategy?.(request.strategy) ?? []));
    if (idempotencyKey !== undefined && dryRun !== true) {
      const known = await store.findIdempotent(idempotencyKey);
      if (known !== undefined) return await existing(known, digestOfBody(body));
    }
    if (problems.length > 0)
      return problem('invalid-rollout', problems.length === 1 ? 'one field is wrong' : `${problems.length} fields are wrong`, problems);
    const resolved = await resolve(request);
    if ('kind' in resolved) return resolved;
    const verdict = await options.check?.check(resolved.group, resolved.to);
    const to = admit(request, resolved.to, verdict);
    if (dryRun === true) {
      const found = 'kind' in to ? to.errors.map(({ message }) => message) : [];
      const diff = resolved.from === null ? undefined : await options.check?.diff(resolved.from, resolved.to);
      return { kind: 'preview', preview: await previewer.preview(request, resolved, { verdict, diff, problems: found }) };
    }
    if ('kind' in to) return to;
    const former = request.supersede ? await store.activeOf(request.group) : undefined;
    if (former !== undefined && expectedRev !== undefined) {
      const active = await store.load(former);
      if (active !== undefined && active.rev !== expectedRev)
        return problem('stale-revision', `rollout ${former} has revision ${active.rev}`);
    }
    const outcome = await storeNew(
      {
        id: newId(),
        group: request.group,
        to,
        from: resolved.from,
        baseline: resolved.baseline,
        strategy: request.strategy,
        reason: request.reason,
        createdBy: actor,
        createdAtMs: await fleet.nowMs(),
        revertOf: null,
        predecessor: former ?? null,
        trace: trace === '' ? undefined : trace,
        requestDigest: idempotencyKey === undefined ? undefined : digestOfBody(body),
        preflight: verdict === undefined ? null : summaryOf(verdict.builds),
      },
      { active: former === undefined ? 'set' : { replace: former }, idempotencyKey: idempotencyKey ?? null },
    );
    if (outcome.kind === 'created' && former !== undefined) {
      await engine.command(former, { action: 'abort', actor, reason: `superseded by rollout ${outcome.id}` });
      waker.wake(former);
    }
    return outcome;
  };

  /** Takes back a rollout that succeeded, by a new one to the version before: one wave, no gates, no ramp. */
  const revert = async (document: RolloutDocument, { actor, reason }: { actor: string; reason: string }): Promise<ActOutcome> => {
    const nowMs = await fleet.nowMs();
    const { revertWithinMs } = document.strategy;
    if (document.from === null)
      return problem('action-forbidden', 'there is no version to go back to: it was the first rollout of its group');
    if (document.endedAtMs !== null && nowMs - document.endedAtMs > revertWithinMs)
      return problem('action-forbidden', 'it succeeded longer ago than revertWithin allows');
    const { spec } = await fleet.spec();
    const stable = spec.groups.find((group) => group.name === document.group)?.stable;
    if (stable?.hash !== document.to.hash)
      return problem('action-forbidden', `another version has been proven in group ${document.group} since`);
    const outcome = await storeNew(
      {
        id: newId(),
        group: document.group,
        to: document.from,
        from: document.to,
        baseline: null,
        strategy: revertStrategy(document.strategy),
        reason: reason === '' ? `takes back rollout ${document.id}` : reason,
        createdBy: actor,
        createdAtMs: nowMs,
        revertOf: document.id,
        predecessor: null,
        preflight: null,
      },
      { active: 'set', idempotencyKey: null },
    );
    if (outcome.kind === 'preview' || outcome.kind === 'existing') throw new Error('a rollout without a key was not created');
    return outcome;
  };

  const answer = async (id: string, outcome: CommandOutcome): Promise<ActOutcome> => {
    switch (outcome.kind) {
      case 'unknown':
        return unknown(id);
      case 'stale':
        return problem('stale-revision', `rollout ${id} has revision ${outcome.document.rev}`);
      case 'refused':
        return problem('action-forbidden', outcome.detail);
      case 'forbidden':
        return problem(outcome.type, outcome.detail);
      case 'done':
        waker.wake(id);
        return { kind: 'ok', view: await viewOf(outcome.document), before: toBefore(outcome.before) };
    }
  };

  return {
    create,

    async get(id) {
      const document = await store.load(id);
      return document === undefined ? undefined : await viewOf(document);
    },

    async list({ group, groups, phase, limit, cursor }) {
      const items: RolloutDocument[] = [];
      let at = cursor;
      for (let scanned = 0; scanned < LIST_SCAN; scanned += limit) {
        const page = await store.page(at, limit - items.length);
        const documents = await store.loadMany(page.ids);
        items.push(
          ...documents.filter(
            (document) =>
              (group === undefined || document.group === group) &&
              (groups === undefined || groups.has(document.group)) &&
              (phase === undefined || document.phase === phase),
          ),
        );
        at = page.cursor ?? undefined;
        if (at === undefined || items.length >= limit) break;
      }
      const isFrozen = items.some((document) => !isTerminal(document)) && (await fleet.frozen());
      return { items: await Promise.all(items.map(async (document) => await viewOf(document, isFrozen))), nextCursor: at ?? null };
    },

    async act(id, action, { actor, rights, reason, expectedRev }) {
      if (action !== 'rollback') {
        const command: Command = { action, actor, rights, reason: reason ?? '' };
        return answer(id, await engine.command(id, command, expectedRev));
      }
      const document = await store.load(id);
      if (document === undefined) return unknown(id);
      if (expectedRev !== undefined && document.rev !== expectedRev)
        return problem('stale-revision', `rollout ${id} has revision ${document.rev}`);
      const allowed = transition(document.phase, 'rollback');
      return 'refused' in allowed ? problem('action-forbidden', allowed.refused) : revert(document, { actor, reason: reason ?? '' });
    },

    async tune(id, patch, { actor, reason, expectedRev }) {
      const problems: FieldProblem[] = [];
      const outcome = await engine.update(
        id,
        (document, nowMs) => {
          problems.length = 0;
          if (isTerminal(document) || document.phase === 'rolling_back') return { refused: `it is ${document.phase}` };
          const strategy = tuneStrategy(document, patch, problems);
          if (problems.length > 0) return { refused: 'the patch is not valid' };
          const draft = new Draft(document, nowMs);
          draft.actor = actor;
          draft.document.strategy = strategy;
          draft.document.rev += 1;
          draft.emit('strategy.tuned', reason ?? '', { patch: patch as Record<string, unknown> });
          return { document: draft.document, events: draft.events };
        },
        expectedRev,
      );
      if (problems.length > 0)
        return problem('invalid-rollout', problems.length === 1 ? 'one field is wrong' : `${problems.length} fields are wrong`, problems);
      return answer(id, outcome);
    },

    async failures(id, limit) {
      if ((await store.load(id)) === undefined) return undefined;
      const [{ items, total }, groups] = await Promise.all([fleet.failures(id, limit), fleet.failureGroups(id)]);
      return { items, total, groups };
    },

    async events(id, afterSeq, limit = EVENTS_LIMIT) {
      return (await store.load(id)) === undefined ? undefined : await store.events(id, afterSeq, Math.min(limit, EVENTS_LIMIT));
    },

    follow: (id, afterSeq, signal) => followEvents({ store, clock, followMs: options.followMs ?? FOLLOW_MS }, id, afterSeq, signal),
  };
}

function toBefore({ rev, phase, waveIndex, holds, strategy }: RolloutDocument): RolloutBefore {
  return { rev, phase, waveIndex, holds: holds.map(({ reason }) => reason), strategy: toStrategyView(strategy) };
}

/** Yields events as they are committed. The document is read before the events, so that an ended one has shown them all. */
async function* followEvents(
  { store, clock, followMs }: { store: RolloutStore; clock: Clock; followMs: number },
  id: string,
  afterSeq: number,
  signal: AbortSignal,
): AsyncGenerator<RolloutEvent> {
  let seq = afterSeq;
  while (!signal.aborted) {
    const document = await store.load(id);
    if (document === undefined) return;
    for (;;) {
      const events = await store.events(id, seq, EVENTS_LIMIT);
      for (const event of events) {
        if (signal.aborted) return;
        seq = event.seq;
        yield event;
      }
      if (events.length < EVENTS_LIMIT) break;
    }
    if (isTerminal(document)) return;
    // An aborted wait ends the stream like an aborted read does.
    await clock.sleep(followMs, signal).catch(() => undefined);
  }
}

/** What the document keeps of a preflight. */
function summaryOf({ agents, unable, unknown, unknownBuilds, lines, missing }: PreflightReport): PreflightSummary {
  return {
    agents,
    unable,
    unknown,
    unknownBuilds: unknownBuilds.slice(0, MAX_LACKING_BUILDS),
    lines: lines.slice(0, MAX_LINES),
    needs: missing.map(({ kind, type }) => ({ kind, type })).slice(0, MAX_LINES),
  };
}

function shownBuilds(hashes: readonly string[]): string {
  const more = hashes.length > SHOWN_BUILDS ? ` and ${hashes.length - SHOWN_BUILDS} more` : '';
  const shown = hashes.slice(0, SHOWN_BUILDS).map((hash) => hash.slice(0, 12));
  return `${hashes.length === 1 ? 'build' : 'builds'} ${shown.join(', ')}${more}`;
}

const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** 16 characters, 80 random bits. Starts with a letter, so that it is a job id and a label as it stands. */
export function newRolloutId(): string {
  return `r${Array.from(randomBytes(16), (byte) => ID_ALPHABET[byte % 32]).join('')}`;
}

function revertStrategy(strategy: Strategy): Strategy {
  const [wave] = strategy.waves;
  if (wave === undefined) throw new RangeError('a strategy without waves');
  return {
    ...strategy,
    waves: [
      {
        ...wave,
        size: { kind: 'share', count: null, percent: 100 },
        canary: false,
        soakMs: 0,
        approval: 'none',
        failure: { maxCount: null, maxPercent: null, minDecided: 50 },
        success: { minRatio: null, minReached: wave.success.minReached },
        unverifiedMaxRatio: 1,
        onFailure: 'pause',
      },
    ],
    rate: 'unlimited',
    maxInFlight: 10_000_000,
    maxInFlightPer: null,
    offline: 'defer',
    gates: [],
    startAtMs: null,
    windows: [],
    spreadBy: [],
  };
}
