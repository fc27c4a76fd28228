/** Plays the acts one after the other and judges each by the agents' own records. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FAILING_STATUSES, type RowStatus, TERMINAL_PHASES, UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';
import type { AgentRecord } from '../agent-record.ts';
import type { Swarm } from '../swarm-api.ts';
import { type Act, ACTS, CANARY, CONFIG_NAME } from './acts.ts';
import type { ApiClient, ConfigVersionView, RolloutView, WaveSizeView } from './api-client.ts';
import { REPOSITORY } from './config.ts';
import type { OutsideAgent } from './real-agents.ts';
import type { Terminal } from './terminal.ts';
import { compareWithApi, type Findings, judge } from './truth.ts';

const REFRESH_MS = 200;
const ACT_DEADLINE_MS = 120_000;
const TRUTH_DEADLINE_MS = 15_000;
const GOOD: readonly RowStatus[] = ['applied', 'restored'];
const BAD: readonly RowStatus[] = [...FAILING_STATUSES, 'restoreFailed'];

/** What the acts need. */
export interface Stage {
  readonly api: ApiClient;
  readonly swarm: Swarm;
  readonly terminal: Terminal;
  /** Agents that are not ours, in the group `edge`. */
  readonly outside: readonly OutsideAgent[];
  /** Throws when the user or a dead process ended the demo. */
  check(): void;
}

/** How one act went. */
export interface ActResult {
  readonly title: string;
  readonly version: number;
  readonly outcome: string;
  readonly findings: Findings;
  readonly problems: readonly string[];
  readonly seconds: number;
}

function sum(counts: RolloutView['counts'], statuses: readonly RowStatus[]): number {
  return statuses.reduce((total, status) => total + (counts[status] ?? 0), 0);
}

function sizeText({ count, percent }: WaveSizeView): string {
  return count === undefined ? `${percent ?? 100} %` : `${count} canaries`;
}

function describe(
  terminal: Terminal,
  name: string,
  version: number,
  members: number,
  rollout: RolloutView,
): { name: string; key: string; text: string } {
  const { counts, phase, waveIndex, waves, holds } = rollout;
  const wave = waves[waveIndex];
  const [good, bad, going] = [sum(counts, GOOD), sum(counts, BAD), sum(counts, [...UNSETTLED_STATUSES])];
  const stage =
    phase === 'running'
      ? `wave ${waveIndex + 1}/${waves.length} (${sizeText(wave?.size ?? {})}) ${wave?.phase ?? ''}`
      : phase.replace('_', ' ');
  const styled = phase === 'succeeded' ? terminal.paint('green', stage) : phase === 'running' ? stage : terminal.paint('yellow', stage);
  const held = holds.length > 0 ? terminal.paint('yellow', `  held: ${holds.join(', ')}`) : '';
  const verb = phase === 'running' || phase === 'succeeded' ? 'applied' : 'back';
  const numbers = `${String(good).padStart(5)} ${verb}  ${String(going).padStart(4)} under way  ${String(bad).padStart(4)} failed`;
  return {
    name,
    key: `${phase}:${waveIndex}:${wave?.phase ?? ''}:${holds.join()}`,
    text: `  ${name.padEnd(5)} v${version}  ${terminal.bar(good, bad, members)} ${numbers}  ${styled}${held}`,
  };
}

async function watch(
  stage: Stage,
  version: ConfigVersionView,
  rollouts: ReadonlyMap<string, string>,
  members: ReadonlyMap<string, number>,
): Promise<ReadonlyMap<string, RolloutView>> {
  const deadlineMs = Date.now() + ACT_DEADLINE_MS;
  for (;;) {
    stage.check();
    const views = new Map<string, RolloutView>();
    for (const [group, id] of rollouts) views.set(group, await stage.api.getRollout(id));
    stage.terminal.live([...views].map(([group, view]) => describe(stage.terminal, group, version.version, members.get(group) ?? 0, view)));
    if ([...views.values()].every(({ phase }) => TERMINAL_PHASES.has(phase)) || Date.now() > deadlineMs) return views;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

function problemsOfOutcome(act: Act, views: ReadonlyMap<string, RolloutView>, findings: Findings, members: number): string[] {
  const problems: string[] = [];
  for (const [group, { phase, waveIndex, outcome }] of views) {
    if (phase !== act.ends) problems.push(`the rollout of ${group} is ${phase}, not ${act.ends} (${outcome ?? ''})`);
    if (act.stoppedBy === 'canary' && waveIndex !== 0) problems.push(`the rollout of ${group} went beyond its canary`);
    if (act.stoppedBy === 'breaker' && waveIndex === 0) problems.push(`the rollout of ${group} did not pass its canary`);
  }
  if (act.ends === 'succeeded' && findings.applied !== members) problems.push(`${findings.applied} of ${members} agents acknowledged`);
  if (act.ends === 'rolled_back' && findings.failed === 0) problems.push('no agent failed');
  if (act.stoppedBy === 'canary' && findings.touched > CANARY)
    problems.push(`${findings.touched} agents were touched, more than the canary`);
  if (act.stoppedBy === 'breaker' && findings.touched >= members) problems.push('nobody was spared');
  return problems;
}

/** Reads the records until they are as they should be: the last acknowledgement may be on its way. */
async function settle(stage: Stage, inspect: () => Promise<Findings>): Promise<Findings> {
  const deadlineMs = Date.now() + TRUTH_DEADLINE_MS;
  for (;;) {
    stage.check();
    const findings = await inspect();
    if (findings.problems.length === 0 || Date.now() > deadlineMs) return findings;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

async function play(stage: Stage, act: Act, good: string | undefined): Promise<ActResult & { readonly good: string }> {
  const { api, swarm, terminal } = stage;
  const startedMs = Date.now();
  const yaml = await readFile(join(REPOSITORY, 'loadtest', 'configs', act.file), 'utf8');
  const version = await api.putConfig(CONFIG_NAME, yaml, act.title);
  const before = await swarm.records();
  const members = new Map(act.groups.map((group) => [group, before.filter(({ attributes }) => attributes['env'] === group).length]));
  const rollouts = new Map<string, string>();
  for (const group of act.groups) {
    const config = { name: version.name, version: version.version };
    rollouts.set(group, await api.createRollout({ group, config, strategy: act.strategy, reason: act.title }));
  }
  const views = await watch(stage, version, rollouts, members);
  const right = act.ends === 'succeeded' ? version.hash : (good ?? '');
  const findings = await settle(stage, async () => judge(await swarm.records(), { groups: act.groups, offered: version.hash, right }));
  const simulated = [...members.values()].reduce((total, count) => total + count, 0);
  const problems = [...findings.problems, ...problemsOfOutcome(act, views, findings, simulated)];
  if (act.groups.includes('edge')) {
    for (const agent of stage.outside) {
      const applied = agent.appliedHash();
      if (applied !== undefined && applied !== right) problems.push(`${agent.name} has ${applied.slice(0, 8)}`);
    }
  }
  const seconds = (Date.now() - startedMs) / 1_000;
  const mark = problems.length === 0 ? terminal.paint('green', '✓') : terminal.paint('red', '✗');
  terminal.line(`  ${mark} ${verdict(act, findings, simulated)} ${terminal.paint('dim', `(${seconds.toFixed(1)} s)`)}`);
  for (const problem of problems) terminal.line(`    ${terminal.paint('red', problem)}`);
  return {
    title: act.title,
    version: version.version,
    outcome: [...views.values()].map(({ phase }) => phase).join(', '),
    findings,
    problems,
    seconds,
    good: right,
  };
}

function verdict(act: Act, { touched, failed, right, applied }: Findings, members: number): string {
  if (act.ends === 'succeeded') return `${applied} of ${members} agents acknowledged, ${right} run it`;
  return `${touched} of ${members} agents were touched, ${failed} failed, ${right} of ${touched} are back on the good version`;
}

/** Plays the story. Rejects when the API refuses something or the demo is ended. */
export async function tell(stage: Stage): Promise<readonly ActResult[]> {
  const results: ActResult[] = [];
  let good: string | undefined;
  for (const [index, act] of ACTS.entries()) {
    stage.terminal.line();
    stage.terminal.line(stage.terminal.paint('bold', `${index + 1}. ${act.title}`));
    const result = await play(stage, act, good);
    good = result.good;
    results.push(result);
  }
  return results;
}

/** Compares the API's own list with the records, once it has caught up. */
export async function compareLists(stage: Stage): Promise<readonly string[]> {
  const deadlineMs = Date.now() + TRUTH_DEADLINE_MS;
  for (;;) {
    stage.check();
    const records: readonly AgentRecord[] = await stage.swarm.records();
    const problems = compareWithApi(records, await stage.api.listAgents());
    if (problems.length === 0 || Date.now() > deadlineMs) return problems;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}
