/** What scenarios work with. */
import type { Terminal } from '../demo/terminal.ts';
import type { AgentRecord } from '../agent-record.ts';
import type { Figure, Mark, ResultTable, RolloutFigures, ScenarioResult } from '../report/results.ts';
import { type BehaviourFractions, failingProfiles, steadyAgents } from './behaviours.ts';
import type { ConfigRef, LoadApi, RolloutView } from './api.ts';
import type { Fleet } from './fleet.ts';
import type { LocalInstallation } from './local-installation.ts';
import { atMost, compareAgents, compareCounts, type Expectation } from './oracle.ts';
import type { Sampler } from './sampler.ts';
import { waitFor } from './wait-for.ts';
import type { WaveSize } from './waves.ts';

/** Name of the attribute that tells the agents of one run from everybody else's. */
export const RUN_ATTRIBUTE = 'loadtest.run';

/** How long reports may be under way before a difference counts, at least; a large fleet takes longer to be read. */
const SHORTEST_LAG_MS = 90_000;
const LAG_MS_PER_AGENT = 1;

/** Agents, gateways and workers that each step of `million` adds. */
export interface Steps {
  readonly agents: number;
  readonly gateways: number;
  readonly workers: number;
}

/** Settings that scenarios read. */
export interface ScenarioSettings {
  readonly agents: number;
  /** How `million` goes. */
  readonly steps: Steps;
  readonly holdMs: number;
  /** How long `soak` goes on. */
  readonly soakMs: number;
  /** Time between waves, as the API takes it: `1s`. */
  readonly soak: string;
  /** Sizes of waves; undefined: canaries, then everybody. */
  readonly waves: readonly WaveSize[] | undefined;
  readonly configBytes: readonly number[];
  /** How long anything may take before the run fails. */
  readonly deadlineMs: number;
  /** Share of agents that `stuck` freezes. */
  readonly stuckFraction: number;
  /** Share of agents that refuse the version of `refuse`. */
  readonly refuseFraction: number;
  /** Agents that behave otherwise from the start. */
  readonly behaviours: BehaviourFractions;
  /** Fixes who they are. */
  readonly seed: number;
}

/** The stage of a run: one deployment, one fleet, one group. */
export interface Run {
  readonly settings: ScenarioSettings;
  readonly api: LoadApi;
  readonly fleet: Fleet;
  /** Undefined for somebody else's deployment. */
  readonly local: LocalInstallation | undefined;
  readonly sampler: Sampler;
  readonly terminal: Terminal;
  readonly group: string;
  readonly selector: string;
  /** What all agents run by now. */
  current: ConfigRef | undefined;
  /** Throws when the run has to end: Ctrl-C, a process that died, or MemoryLimitError when the machine is nearly full. */
  check(): void;
  /** The same without a look at the memory. */
  checkProcesses(): void;
}

/** What a scenario hands back; the harness adds name and times. */
export interface Outcome {
  readonly figures: readonly Figure[];
  readonly rollouts: readonly RolloutFigures[];
  readonly marks: readonly Mark[];
  readonly oracle: OracleVerdict;
  /** What numbers do not say. */
  readonly notes?: readonly string[];
  readonly tables?: readonly ResultTable[];
}

/** One thing to put a deployment through. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Ends or freezes processes, which only a local run may do. */
  readonly needsLocal: boolean;
  run(run: Run): Promise<Outcome>;
}

/** What the oracle found. */
export interface OracleVerdict {
  readonly differences: readonly string[];
  readonly compared: number;
  readonly records: readonly AgentRecord[];
}

/** The local installation of a scenario that needs one. */
export function localOf({ local }: Run): LocalInstallation {
  if (local === undefined) throw new Error('this scenario needs --local');
  return local;
}

/**
 * Compares the whole fleet with the server, again and again until they agree or the deadline has passed: reports may be
 * under way. What still differs then is the verdict.
 */
export async function askOracle(run: Run, { hash, mute = [] }: Expectation, rollout?: RolloutView): Promise<OracleVerdict> {
  const expectation = { hash, mute: [...mute, ...failingProfiles(run.settings.behaviours)] };
  const lagMs = Math.max(SHORTEST_LAG_MS, run.fleet.size * LAG_MS_PER_AGENT);
  const deadlineMs = Date.now() + Math.min(run.settings.deadlineMs, lagMs);
  for (let attempt = 1; ; attempt += 1) {
    run.check();
    let records: readonly AgentRecord[] = [];
    let differences: readonly string[];
    try {
      records = await run.fleet.records();
      const [listed, group] = [await run.api.listAgents(run.selector), await run.api.groupCounts(run.group)];
      differences = [
        ...compareAgents(records, listed, expectation),
        ...compareCounts(records, { group, ...(rollout === undefined ? {} : { rollout }) }, expectation),
      ];
    } catch (error) {
      differences = [`the comparison failed: ${error instanceof Error ? error.message : String(error)}`];
    }
    if (differences.length === 0 || (attempt > 1 && Date.now() > deadlineMs)) {
      return { differences: atMost(differences), compared: records.length, records };
    }
    run.terminal.live([{ name: 'oracle', key: 'waiting', text: `  oracle: ${differences.length} differences, waiting` }]);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** How many agents have to be connected at a time for the fleet to be complete: all that do not flap. */
export function steadyFleet({ fleet, settings }: Run): number {
  return steadyAgents(fleet.size, fleet.pids.length, settings.behaviours);
}

/** Waits until this many agents (default: all that do not flap) are connected, by their own account and the server's. */
export async function untilConnected(run: Run, wanted: number = steadyFleet(run)): Promise<void> {
  await waitFor(
    `${wanted} agents to be connected`,
    async () => {
      const { connected } = await run.fleet.counts();
      const { connected: known } = await run.api.groupCounts(run.group).catch(() => ({ connected: 0 }));
      run.terminal.live([
        {
          name: 'agents',
          key: String(Math.floor((connected * 10) / run.fleet.size)),
          text: `  ${connected} of ${run.fleet.size} agents are connected, the server knows ${known}`,
        },
      ]);
      return connected >= wanted && known >= wanted;
    },
    run,
  );
}

/** A number for the report; NaN and undefined become null. */
export function figure(id: string, label: string, value: number | undefined, unit: Figure['unit'] = ''): Figure {
  return { id, label, value: value === undefined || !Number.isFinite(value) ? null : value, unit };
}

/** A finished scenario with its name and times. */
export function toResult(scenario: Scenario, outcome: Outcome, startedMs: number, samples: ScenarioResult['samples']): ScenarioResult {
  return {
    name: scenario.name,
    title: scenario.title,
    startedAt: new Date(startedMs).toISOString(),
    seconds: (Date.now() - startedMs) / 1_000,
    differences: outcome.oracle.differences,
    comparedAgents: outcome.oracle.compared,
    figures: outcome.figures,
    rollouts: outcome.rollouts,
    samples,
    marks: outcome.marks,
    ...(outcome.notes === undefined ? {} : { notes: outcome.notes }),
    ...(outcome.tables === undefined ? {} : { tables: outcome.tables }),
  };
}
