/** What a run measured, as it stands in results.json. Times in a name's unit; NaN becomes null in the file: not measured, or never happened. */
import type { Completion, Distribution } from '../harness/quantiles.ts';

/** One number of a scenario. `id` is stable, so that two runs can be compared. */
export interface Figure {
  readonly id: string;
  readonly label: string;
  readonly value: number | null;
  readonly unit: '' | 's' | 'ms' | 'µs' | '%' | 'KB' | 'MB' | '/s' | 'agents';
}

/** One rollout through the engine, measured by the agents' own records. */
export interface RolloutFigures {
  readonly label: string;
  readonly configBytes: number;
  readonly agents: number;
  readonly phase: string;
  /** Server's counts by status at the end. */
  readonly counts: Readonly<Record<string, number>>;
  /** Seconds after the rollout was created. */
  readonly waves: readonly { readonly name: string; readonly atS: number }[];
  /** Seconds after creation, and agents that had not reported APPLIED by then. */
  readonly remaining: readonly (readonly [number, number])[];
  /** From the start of the last wave, in milliseconds, over the agents of all waves but the ones before. */
  readonly lastWave: Completion;
  /** From creation, over all agents, in milliseconds. */
  readonly whole: Completion;
  /** From creation until all have applied, less the soaks that were asked for, in milliseconds; absent in older files. */
  readonly withoutSoaksMs?: number;
  /** From the offer's arrival to the departure of APPLIED, in milliseconds; contains the simulated time of applying. */
  readonly offerToAckMs: Distribution | undefined;
  /** Offers of this config beyond one to each agent. */
  readonly repeatedOffers: number;
  /** Commands that Redis executed, those inside scripts included. */
  readonly redisCommandsPerAgent: number | null;
  /** Scripts that clients called: the round trips that matter. */
  readonly redisScriptsPerAgent: number | null;
  readonly gatewayCpuUsPerAgent: number | null;
}

/** One second of one process. */
export interface ProcessSample {
  readonly rssMb: number;
  /** Share of one CPU since the sample before. */
  readonly cpuPercent: number;
  /** Delay of the event loop since the sample before; absent for processes without the metric. */
  readonly loopP99Ms?: number;
  readonly loopMaxMs?: number;
}

/** All processes at one time. */
export interface Sample {
  /** Seconds after the start of the scenario. */
  readonly atS: number;
  readonly processes: Readonly<Record<string, ProcessSample>>;
  readonly redisCommandsPerS?: number;
  /** Open connections by the gateways' own metric. */
  readonly connections?: number;
}

/** A mark in the plots. */
export interface Mark {
  readonly atS: number;
  readonly text: string;
}

/** A table of a scenario that goes in steps or compares. Cells are text. */
export interface ResultTable {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One scenario. */
export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly startedAt: string;
  readonly seconds: number;
  /** What the oracle found; empty = the server's record equals the agents'. */
  readonly differences: readonly string[];
  /** Agents that the oracle compared, one by one. */
  readonly comparedAgents: number;
  readonly figures: readonly Figure[];
  readonly rollouts: readonly RolloutFigures[];
  readonly samples: readonly Sample[];
  readonly marks: readonly Mark[];
  /** What numbers do not say. */
  readonly notes?: readonly string[];
  readonly tables?: readonly ResultTable[];
}

/** Where a run took place. */
export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryGb: number;
  readonly os: string;
  readonly loadAverage: number;
  readonly node: string;
  readonly redis: string;
  readonly product: string;
}

/** A whole run. */
export interface RunResults {
  readonly format: 1;
  readonly startedAt: string;
  readonly command: string;
  readonly machine: Machine;
  readonly setup: Readonly<Record<string, string | number | boolean>>;
  readonly scenarios: readonly ScenarioResult[];
  /** Why the run ended before its end. */
  readonly error?: string;
}

/** True when every scenario agreed with the oracle and the run came to its end. */
export function isGood({ scenarios, error }: RunResults): boolean {
  return error === undefined && scenarios.length > 0 && scenarios.every(({ differences }) => differences.length === 0);
}
