/** One rollout through the API and the engine: canary, then the fleet. */
import { toError } from '@opamp-gateway/shared/errors';
import type { AgentRecord } from '../agent-record.ts';
import type { Mark, RolloutFigures } from '../report/results.ts';
import { ApiError, type ConfigRef, isEnded, type RolloutView } from './api.ts';
import { failingProfiles } from './behaviours.ts';
import { configText } from './config-text.ts';
import { defaultAckTimeout } from './defaults.ts';
import { repeatedOffers } from './oracle.ts';
import { completion, describe, remainingCurve } from './quantiles.ts';
import { askOracle, type OracleVerdict, type Run } from './run.ts';
import { cpuBetween, redisBetween, type Snapshot } from './sampler.ts';
import { pause } from './wait-for.ts';
import { defaultWaves, durationMs, type WaveSize } from './waves.ts';

const POLL_MS = 100;

/** What is rolled out, and what happens meanwhile. */
export interface RolloutPlan {
  readonly label: string;
  readonly configBytes: number;
  /** All in one wave, for a first config. Default false: canaries, then everybody. */
  readonly oneWave?: boolean;
  /** Profiles that cannot answer, or always fail; the rollout then tolerates as many failures. */
  readonly mute?: readonly string[];
  /** How long an agent may take to answer. Default: 2 min, more for very large fleets. */
  readonly ackTimeout?: string;
  /** Spreads the offers of the last wave over about this time, so that something can happen meanwhile. */
  readonly paceMs?: number;
  /** Called once, when at least this share of the fleet has applied. */
  readonly at?: { readonly share: number; do(mark: (text: string) => void): Promise<void> };
}

/** A measured rollout. */
export interface RolloutOutcome {
  readonly figures: RolloutFigures;
  readonly marks: readonly Mark[];
  readonly oracle: OracleVerdict;
  readonly view: RolloutView;
}

let nextMarker = 1;

/** Stores a new config of this size for the run's group. */
export async function putConfig(run: Run, label: string, bytes: number): Promise<ConfigRef> {
  const text = configText(`${run.group} ${nextMarker}`, bytes);
  nextMarker += 1;
  return run.api.putConfig(run.group, text, label);
}

/** Waves of a rollout, as run and plan want them. */
export function wavesOf({ fleet, settings }: Run, { oneWave = false }: Pick<RolloutPlan, 'oneWave'> = {}): readonly WaveSize[] {
  return oneWave ? [{ percent: 100 }] : (settings.waves ?? defaultWaves(fleet.size));
}

/** The same as a strategy has them: with a pause after every wave but the last. */
export function wavesWithSoaks(
  run: Run,
  plan?: Pick<RolloutPlan, 'oneWave'>,
): readonly { readonly size: WaveSize; readonly soak: string }[] {
  const waves = wavesOf(run, plan);
  return waves.map((size, index) => ({ size, soak: index === waves.length - 1 ? '0s' : run.settings.soak }));
}

function strategyOf(run: Run, plan: RolloutPlan): object {
  const agents = run.fleet.size;
  const { mute = [], ackTimeout = defaultAckTimeout(agents), paceMs = 0 } = plan;
  const tolerant = mute.length > 0;
  const perSecond = Math.max(1, Math.ceil((agents * 1_000) / Math.max(1, paceMs)));
  return {
    waves: wavesWithSoaks(run, plan),
    maxInFlight: Math.max(1_000, agents),
    rate: paceMs === 0 ? 'unlimited' : { start: perSecond, max: perSecond },
    ackTimeout,
    healthHold: '0s',
    canaryMinHealthy: '0s',
    failure: tolerant ? { maxCount: null, maxPercent: 50 } : { maxCount: Math.ceil(agents / 100) },
    ...(tolerant ? { success: { minRatio: 0.5 }, gates: [] } : {}),
    onFailure: 'pause',
  };
}

function appliedCount(view: RolloutView): number {
  return view.counts['applied'] ?? 0;
}

/** Reads the rollout; undefined while the API is out of reach, which a restart of Redis brings about. */
async function tryToRead(run: Run, id: string): Promise<RolloutView | undefined> {
  try {
    return await run.api.getRollout(id);
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) throw error;
    return undefined;
  }
}

/** Waits for the end of a rollout, whatever it is. Throws when it is held or takes too long. */
export async function follow(
  run: Run,
  id: string,
  plan: Pick<RolloutPlan, 'label' | 'at'>,
  mark: (text: string) => void,
): Promise<RolloutView> {
  const deadlineMs = Date.now() + run.settings.deadlineMs;
  const { size } = run.fleet;
  let event: Promise<void> | undefined;
  let broken: Error | undefined;
  for (;;) {
    run.check();
    if (broken !== undefined) throw broken;
    const view = await tryToRead(run, id);
    if (view !== undefined) {
      const applied = appliedCount(view);
      run.terminal.live([
        {
          name: 'rollout',
          key: `${view.phase} ${view.waveIndex} ${Math.floor((applied * 4) / size)} ${view.holds.join()}`,
          text: `  ${plan.label}: ${run.terminal.bar(applied, 0, size)} wave ${view.waveIndex + 1}, ${applied} of ${size} applied, ${view.phase}${view.holds.length > 0 ? `, held: ${view.holds.join(', ')}` : ''}`,
        },
      ]);
      if (plan.at !== undefined && event === undefined && applied >= plan.at.share * size) {
        event = plan.at.do(mark);
        // Also told where it is waited for; here it ends the run while that goes on.
        event.catch((error: unknown) => {
          broken = toError(error);
        });
      }
      if (isEnded(view)) {
        await event;
        if (plan.at !== undefined && event === undefined) throw new Error(`${plan.label}: the rollout ended before its event took place`);
        return view;
      }
      if (view.holds.length > 0 && Date.now() > deadlineMs - run.settings.deadlineMs / 2) {
        throw new Error(`${plan.label}: the rollout is held: ${view.holds.join(', ')}`);
      }
    }
    if (Date.now() > deadlineMs) throw new Error(`${plan.label}: the rollout did not end in ${run.settings.deadlineMs / 1_000} s`);
    await pause(POLL_MS, () => run.check());
  }
}

/** When each agent first reported APPLIED of a hash, and how long after the offer that was. */
function timesOf(records: readonly AgentRecord[], hash: string): { readonly appliedAtMs: number[]; readonly ackMs: number[] } {
  const appliedAtMs: number[] = [];
  const ackMs: number[] = [];
  for (const { everApplied, appliedAtMs: times = [], offers } of records) {
    const atMs = times[everApplied.indexOf(hash)];
    if (atMs === undefined) continue;
    appliedAtMs.push(atMs);
    const offeredMs = offers.find((offer) => offer.hash === hash)?.atMs;
    if (offeredMs !== undefined) ackMs.push(atMs - offeredMs);
  }
  return { appliedAtMs, ackMs };
}

function perAgent(value: number | undefined, agents: number): number | null {
  return value === undefined ? null : value / agents;
}

interface Measured {
  readonly createdMs: number;
  readonly config: ConfigRef;
  readonly view: RolloutView;
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly records: readonly AgentRecord[];
}

function waveName(index: number, count: number): string {
  if (index === count - 1) return 'fleet';
  return index === 0 ? 'canary' : `wave ${index + 1}`;
}

function figuresOf(run: Run, plan: RolloutPlan, measured: Measured): RolloutFigures {
  const { label, configBytes, mute = [] } = plan;
  const { createdMs, config, view, before, after, records } = measured;
  const { appliedAtMs, ackMs } = timesOf(records, config.hash);
  const able = records.filter(({ profile }) => !mute.includes(profile)).length;
  const waves = view.waves.map(({ startedAt }, index) => ({
    name: waveName(index, view.waves.length),
    atS: startedAt === null ? Number.NaN : (Date.parse(startedAt) - createdMs) / 1_000,
  }));
  const sinceCreation = appliedAtMs.map((atMs) => atMs - createdMs);
  const lastStartMs = (waves.at(-1)?.atS ?? 0) * 1_000;
  const inLastWave = sinceCreation.filter((atMs) => atMs >= lastStartMs).map((atMs) => atMs - lastStartMs);
  const cpuMs = cpuBetween(before, after, 'gateway');
  const whole = completion(sinceCreation, able);
  return {
    label,
    configBytes,
    agents: run.fleet.size,
    phase: view.phase,
    counts: view.counts,
    waves,
    remaining: remainingCurve(
      sinceCreation.map((atMs) => atMs / 1_000),
      able,
    ),
    lastWave: completion(inLastWave, able - (sinceCreation.length - inLastWave.length)),
    whole,
    withoutSoaksMs: whole.t100 - durationMs(run.settings.soak) * (wavesOf(run, plan).length - 1),
    offerToAckMs: describe(ackMs),
    repeatedOffers: repeatedOffers(records, config.hash),
    redisCommandsPerAgent: perAgent(redisBetween(before, after), run.fleet.size),
    redisScriptsPerAgent: perAgent(redisBetween(before, after, 'scripts'), run.fleet.size),
    gatewayCpuUsPerAgent: perAgent(cpuMs === undefined ? undefined : cpuMs * 1_000, run.fleet.size),
  };
}

/** Rolls a new config of this size out, measures it, and asks the oracle. Throws when the rollout does not succeed. */
export async function rollOut(run: Run, asked: RolloutPlan, startedMs: number): Promise<RolloutOutcome> {
  const plan = { ...asked, mute: [...(asked.mute ?? []), ...failingProfiles(run.settings.behaviours)] };
  const config = await putConfig(run, plan.label, plan.configBytes);
  const marks: Mark[] = [];
  const mark = (what: string): void => void marks.push({ atS: (Date.now() - startedMs) / 1_000, text: what });
  const before = await run.sampler.snapshot();
  const createdMs = Date.now();
  mark(plan.label);
  const id = await run.api.createRollout(run.group, config, strategyOf(run, plan), plan.label);
  let view: RolloutView;
  try {
    view = await follow(run, id, plan, mark);
  } catch (error) {
    await run.api.abortRollout(id).catch(() => undefined);
    throw error;
  }
  const after = await run.sampler.snapshot();
  if (view.phase !== 'succeeded') throw new Error(`${plan.label}: the rollout ended as ${view.phase}: ${view.outcome}`);
  run.current = config;
  const oracle = await askOracle(run, { hash: config.hash, mute: asked.mute ?? [] }, view);
  const figures = figuresOf(run, plan, { createdMs, config, view, before, after, records: oracle.records });
  return { figures, marks, oracle, view };
}
