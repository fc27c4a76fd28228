import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import { matches, parseSelector } from '@opamp-gateway/shared/selector';
import { toError } from '@opamp-gateway/shared/errors';
import { formatDuration } from './duration.ts';
import type { RolloutEngine } from './engine.ts';
import type { Gate } from './gate-strategy.ts';
import { MIN_HEALTH_SAMPLE } from './gates.ts';
import { chooseCanary, maxInFlightOf, shareOf } from './plan.ts';
import type { ConfigVerdict, FleetReader, GateAsker, RolloutStore } from './ports.ts';
import { RANKED_LIMIT } from './ranking.ts';
import type { RolloutRequest } from './request.ts';
import { isOpen, nextOpenMs } from './schedule.ts';
import type { PreviewDiff, RolloutPreview } from './service.ts';
import type { Strategy, WaveStrategy } from './strategy.ts';
import { toSizeView, toStrategyView } from './strategy-view.ts';

/** Time that one agent needs at least: collectors acknowledge no earlier than 5 s after the offer. */
const ACKNOWLEDGE_MS = 5_000;
/** Canaries that a preview names. */
const SHOWN_CANARIES = 20;
/** Versions, labels and strata that a preview counts. */
const MAX_COUNTED = 50;

/** Builds what answers `?dryRun=true`. */
export function createPreviewer({
  store,
  fleet,
  engine,
  asker,
}: {
  store: RolloutStore;
  fleet: FleetReader;
  engine: RolloutEngine;
  asker?: GateAsker;
}) {
  /** A query costs nothing and changes nothing, so it is made; a receiver or a person would take a question for a real one. */
  const askPreview = async (
    gate: Exclude<Gate, string>,
    request: RolloutRequest,
    resolved: { to: ConfigRef; from: ConfigRef | null },
    nowMs: number,
  ): Promise<RolloutPreview['gates'][number]> => {
    const { name } = gate;
    if (gate.type !== 'prometheus' || asker === undefined)
      return { name, outcome: 'notApplicable', detail: 'is asked when a wave has soaked' };
    const { from, to } = resolved;
    const rollout = { id: 'preview', group: request.group, from, to, attempt: 1, createdBy: '', reason: request.reason };
    const wave = { index: 0, of: request.strategy.waves.length, startedAtMs: nowMs, members: null, target: null, counts: {} };
    try {
      const question = { gate, ask: 1, key: 'preview', askedAtMs: nowMs, rollout, wave, counts: {} };
      const { outcome, detail } = await asker.ask(question, AbortSignal.timeout(2 * gate.timeoutMs));
      return { name, outcome: outcome === 'pass' || outcome === 'fail' ? outcome : 'inconclusive', detail };
    } catch (error) {
      return { name, outcome: 'inconclusive', detail: toError(error).message };
    }
  };

  return {
    /** Says what a rollout would do now; changes nothing. */
    async preview(
      request: RolloutRequest,
      resolved: { to: ConfigRef; from: ConfigRef | null },
      { verdict, diff, problems }: { verdict: ConfigVerdict | undefined; diff: PreviewDiff | undefined; problems: string[] },
    ): Promise<RolloutPreview> {
      const { strategy } = request;
      const [connected, away, pinned, members, conflict, nowMs] = await Promise.all([
        fleet.connected(request.group),
        fleet.away(request.group),
        fleet.pinned(request.group),
        fleet.members(request.group, RANKED_LIMIT),
        store.activeOf(request.group),
        fleet.nowMs(),
      ]);
      const takesConfig = members.kind === 'listed' ? members.members.length : members.connected;
      const candidates = await engine.candidates(
        request.group,
        request.group,
        strategy.spreadBy,
        members.kind === 'listed' ? members.members : [],
      );
      const [first] = strategy.waves;
      const choice = chooseCanary(candidates, {
        count: first?.canary === true && first.size.kind === 'share' && takesConfig > 0 ? shareOf(first.size, takesConfig) : 0,
        nowMs,
        minHealthyMs: strategy.canaryMinHealthyMs,
        builds: { lacks: verdict?.builds.unableBuilds ?? [], unknown: verdict?.builds.unknownBuilds ?? null },
      });
      const scale = candidates.length === 0 ? 0 : takesConfig / candidates.length;
      const count = (is: (candidate: (typeof candidates)[number]) => boolean): number => Math.round(scale * candidates.filter(is).length);
      const facts = await fleet.facts(candidates.map((candidate) => candidate.uid));
      const attributes = [...facts.values()].map((own) => own.attributes);
      const sizes = cumulativeSizes(strategy, takesConfig, attributes, scale);
      const byStratum = tally(candidates.map((candidate) => candidate.stratum));
      const startMs = nextOpenMs(strategy.windows, Math.max(nowMs, strategy.startAtMs ?? nowMs));
      const cohort = sizes.at(-2) ?? 0;
      return {
        group: request.group,
        from: resolved.from,
        to: resolved.to,
        strategy: toStrategyView(strategy),
        agents: {
          connected,
          takesConfig,
          unverified: count((candidate) => !candidate.canAcknowledge),
          unsupported: Math.max(0, connected - takesConfig - pinned),
          away,
          pinned,
          unhealthy: count((candidate) => candidate.healthy === false),
          alreadyThere: count((candidate) => candidate.reportedHash === resolved.to.hash),
          byVersion: tally(attributes.map((own) => own['service.version'] ?? '')).map(([version, agents]) => ({
            version,
            agents: Math.round(scale * agents),
          })),
          byLabel: tally(attributes.flatMap(labelsOf)).map(([label, agents]) => ({ label, agents: Math.round(scale * agents) })),
          byStratum:
            strategy.spreadBy.length === 0
              ? []
              : byStratum.map(([key, agents]) => ({ stratum: stratumView(strategy.spreadBy, key), agents: Math.round(scale * agents) })),
          sampled: candidates.length,
          estimated: candidates.length < takesConfig,
        },
        waves: strategy.waves.map((wave, index) => ({
          size: toSizeView(wave.size),
          agents: sizes[index] ?? 0,
          adds: Math.max(0, (sizes[index] ?? 0) - (sizes[index - 1] ?? 0)),
          soak: formatDuration(wave.soakMs),
          approval: wave.approval,
          onFailure: wave.onFailure,
        })),
        schedule: {
          startsAt: new Date(Number.isFinite(startMs) ? startMs : nowMs).toISOString(),
          windowOpen: strategy.windows.length === 0 ? null : strategy.windows.some((window) => isOpen(window, nowMs)),
        },
        canary: {
          agents: (first?.size.kind === 'agents' ? first.size.agents : choice.chosen.map((candidate) => candidate.uid)).slice(
            0,
            SHOWN_CANARIES,
          ),
          strata: choice.strata,
          strataCovered: choice.strataCovered,
        },
        eta: formatDuration(shortestMs(strategy, sizes, takesConfig)),
        preflight: verdict?.builds ?? null,
        diff: diff ?? null,
        validation: verdict?.validation ?? null,
        problems,
        gates: await Promise.all(
          strategy.gates.map(async (gate) => {
            if (gate === 'healthRegression') return healthPreview(cohort, takesConfig - cohort);
            return typeof gate === 'string'
              ? { name: gate, outcome: 'pass' as const, detail: '' }
              : await askPreview(gate, request, resolved, nowMs);
          }),
        ),
        conflict: conflict ?? null,
        warnings: [
          ...((verdict?.builds.unable ?? 0) > 0 ? ['agents_skipped'] : []),
          ...(resolved.from === null ? ['no_way_back'] : []),
          ...(takesConfig === 0 ? ['no_agents'] : []),
        ],
      };
    },
  };
}

/** Whether the last comparison that a rollout makes has enough agents on either side. */
function healthPreview(cohort: number, control: number): RolloutPreview['gates'][number] {
  const enough = cohort >= MIN_HEALTH_SAMPLE && control >= MIN_HEALTH_SAMPLE;
  return {
    name: 'healthRegression',
    outcome: enough ? 'pass' : 'notApplicable',
    detail: `${cohort} agents with the new config and ${control} without before the last wave`,
  };
}

/** Counts of equal texts, the most frequent first, at most 50. */
function tally(texts: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].toSorted(([left, a], [right, b]) => b - a || (left < right ? -1 : 1)).slice(0, MAX_COUNTED);
}

function labelsOf(attributes: Readonly<Record<string, string>>): string[] {
  return Object.entries(attributes).flatMap(([name, value]) =>
    name.startsWith('label.') ? [`${name.slice('label.'.length)}=${value}`] : [],
  );
}

function stratumView(spreadBy: readonly string[], key: string): Record<string, string> {
  const values = key.split('\n');
  return Object.fromEntries(spreadBy.map((name, index) => [name, values[index] ?? '']));
}

/**
 * Agents that are inside after each wave. A wave of `labels` adds its share of whom its selector matches and who was not inside
 * before; how many were is not known exactly, so the shares are taken for independent of each other.
 */
function cumulativeSizes(
  strategy: Strategy,
  members: number,
  attributes: readonly Readonly<Record<string, string>>[],
  scale: number,
): number[] {
  let inside = 0;
  return strategy.waves.map((wave) => {
    if (wave.size.kind === 'labels') {
      const selector = parseSelector(wave.size.selector);
      const matching = scale * attributes.filter((own) => matches(selector, own)).length;
      const share = wave.size.percent / 100;
      inside += Math.round(matching * share * (members === 0 ? 0 : 1 - inside / members));
    } else inside = Math.max(inside, agentsOf(wave, members));
    return Math.min(members, inside);
  });
}

/** Agents that a wave reaches in all, of `members`. */
function agentsOf(wave: WaveStrategy, members: number): number {
  if (members === 0) return 0;
  switch (wave.size.kind) {
    case 'agents':
      return wave.size.agents.length;
    case 'labels':
      return 0;
    case 'share':
      return shareOf(wave.size, members);
  }
}

/** All soaks, every wave's acknowledgement, and the offers at the pace of the ramp. */
function shortestMs(strategy: Strategy, sizes: readonly number[], members: number): number {
  const soaksMs = strategy.waves.reduce((sum, wave) => sum + wave.soakMs, 0);
  const waitsMs = strategy.waves.length * (ACKNOWLEDGE_MS + strategy.healthHoldMs);
  const inFlight = maxInFlightOf(strategy, members);
  let offersMs = 0;
  let done = 0;
  for (const size of sizes) {
    while (done < size) {
      const ramp = strategy.rate === 'unlimited' ? Number.POSITIVE_INFINITY : rampAt(strategy.rate, done);
      const perSecond = Math.min(ramp, inFlight / (ACKNOWLEDGE_MS / 1_000));
      const next = Math.min(size, strategy.rate === 'unlimited' ? size : (Math.floor(done / strategy.rate.per) + 1) * strategy.rate.per);
      offersMs += (1_000 * (next - done)) / perSecond;
      done = next;
    }
  }
  return Math.ceil((soaksMs + waitsMs + offersMs) / 1_000) * 1_000;
}

function rampAt(ramp: Exclude<Strategy['rate'], 'unlimited'>, successes: number): number {
  return Math.min(ramp.max, ramp.start * ramp.factor ** Math.floor(successes / ramp.per));
}
