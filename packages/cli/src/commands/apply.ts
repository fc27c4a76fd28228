import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ConfigVersion, Fleet, Gateway } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { readDesiredState } from '../declarative/desired-state.ts';
import type { WantedConfig, WantedGroup } from '../declarative/desired-state.ts';
import { hasChanges, judgingGroup, makePlan, planLines } from '../declarative/plan.ts';
import type { GroupStep, Plan, PlanOptions, RolloutStep } from '../declarative/plan.ts';
import { EXIT } from '../exit-codes.ts';
import { plural, withFindings } from '../findings.ts';
import { watchRollout } from '../watch.ts';
import { fetchConfig } from './configs.ts';
import { toWatchOptions } from './rollouts.ts';
import type { WatchFlags } from './rollouts.ts';

interface ApplyOptions extends WatchFlags {
  file: string;
  dryRun?: boolean;
  prune?: boolean;
  wait?: boolean;
  supersede?: boolean;
  again?: boolean;
  message?: string;
  expectAgents: string[];
}

/** How long gateways may take to follow changed groups before a rollout is started all the same. */
const FOLLOW_MS = 30_000;
const FOLLOW_POLL_MS = 250;

/** `opampctl apply` */
export function addApplyCommand(program: Command, context: Context): void {
  program
    .command('apply')
    .description('bring configs, groups and their versions to what a directory says; applying it again changes nothing')
    .requiredOption('-f, --file <directory>', 'has configs/NAME.yaml, and groups.yaml or groups/NAME.yaml')
    .option('--dry-run', 'say what would happen, and change nothing')
    .option('--prune', 'delete groups that the directory does not have')
    .option('--wait', 'wait for the rollouts; the exit code says how they ended')
    .option('--supersede', 'abort other active rollouts of these groups first')
    .option('--again', 'try once more what was taken back or cancelled')
    .option('-m, --message <text>', 'why; kept with versions and rollouts')
    .option('--expect-agents <group=n>', 'how many agents change config at once when this group changes; repeatable', collect, [])
    .option('--timeout <duration>', 'with --wait: give up after this long (exit code 3), for example 30m')
    .option('--wait-held', 'with --wait: go on waiting when a rollout waits for a person')
    .option('--interval <duration>', 'with --wait: how often counts are looked at when nothing happens (default 2s)')
    .action(async (options: ApplyOptions) => {
      const watch = toWatchOptions(options);
      const desired = await readDesiredState(options.file);
      const plan = await makePlan(context, desired, toPlanOptions(options));
      if (!context.json || options.dryRun === true) showPlan(context, plan);
      for (const remark of plan.remarks) context.note(remark);
      if (plan.problems.length > 0) {
        for (const problem of plan.problems) context.note(problem);
        throw new CliError(`nothing was changed: ${plural(plan.problems.length, 'problem')}`);
      }
      if (options.dryRun === true) return;
      const started = await carryOut(context, plan, desired.groups, options);
      if (context.json) context.terminal.out(`${JSON.stringify({ plan: toJson(plan), started })}\n`);
      const codes = plan.rollouts.filter(({ action }) => action === 'failed').map(({ code }) => code);
      if (options.wait === true) {
        const running = plan.rollouts.flatMap(({ action, rollout }) => (action === 'running' && rollout !== null ? [rollout] : []));
        for (const id of [...running, ...started.map(({ id: created }) => created)]) codes.push(await watchRollout(context, id, watch));
      }
      context.exitCode = worst(codes);
    });
}

/** The worst of several exit codes: a rollback that failed, one that did not, somebody's cancel, a hold. */
function worst(codes: readonly number[]): number {
  const order: readonly number[] = [EXIT.rollbackFailed, EXIT.rolledBack, EXIT.error, EXIT.cancelled, EXIT.heldOrTimedOut];
  return order.find((code) => codes.includes(code)) ?? EXIT.ok;
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function toPlanOptions({ prune, supersede, again, expectAgents }: ApplyOptions): PlanOptions {
  const expected = expectAgents.map((text) => {
    const match = /^([^=\s]+)=(\d{1,9})$/.exec(text);
    if (match?.[1] === undefined) throw new CliError(`--expect-agents: expected GROUP=NUMBER, not ${JSON.stringify(text)}`);
    return [match[1], Number(match[2])] as const;
  });
  return { prune: prune === true, supersede: supersede === true, again: again === true, expectAgents: new Map(expected) };
}

function showPlan(context: Context, plan: Plan): void {
  const lines = planLines(plan);
  context.show(toJson(plan), () => `${[...lines, ...(hasChanges(plan) ? [] : ['no changes'])].join('\n')}\n`);
}

/** The plan without the texts of the directory. */
function toJson(plan: Plan): Record<string, unknown> {
  const strip = <Step extends { wanted: unknown }>({ wanted: _wanted, ...step }: Step): Omit<Step, 'wanted'> => step;
  return {
    ...plan,
    configs: plan.configs.map(strip),
    groups: plan.groups.map(strip),
    rollouts: plan.rollouts.map(strip),
    changes: hasChanges(plan),
  };
}

/**
 * Groups whose switches decide about configs, then configs, then the other groups, then rollouts: nothing names what does not exist.
 * Each step can be repeated.
 */
async function carryOut(
  context: Context,
  plan: Plan,
  desired: readonly WantedGroup[],
  options: ApplyOptions,
): Promise<{ group: string; id: string }[]> {
  const changed = plan.groups.filter(({ action }) => action !== 'none');
  const decides = ({ wanted }: GroupStep): boolean => wanted !== undefined && Object.keys(wanted.policy).length > 0;
  for (const step of changed.filter(decides)) await changeGroup(context, step);
  const pushed = new Map<string, number>();
  for (const { action, wanted } of plan.configs)
    if (action !== 'none')
      pushed.set(wanted.name, await pushConfig(context, wanted, judgingGroup(desired, wanted.name)?.name, options.message));
  for (const step of changed.filter((candidate) => !decides(candidate))) await changeGroup(context, step);
  const starting = plan.rollouts.filter(({ action }) => action === 'start');
  if (changed.length > 0 && starting.length > 0) await waitForGateways(context);
  const started: { group: string; id: string }[] = [];
  for (const step of starting) {
    const version = step.wanted.config?.version ?? pushed.get(step.to.name) ?? step.to.version;
    const id = await startRollout(context, step, version, options);
    started.push({ group: step.group, id });
    if (!context.json) context.terminal.out(`rollout ${id} of ${step.group} has started\n`);
  }
  return started;
}

async function changeGroup(context: Context, { name, action, agentsChanging, wanted }: GroupStep): Promise<void> {
  const path = `/groups/${encodeURIComponent(name)}`;
  if (action === 'delete') await context.api.send('DELETE', path, { expectAgents: agentsChanging });
  else if (wanted !== undefined) await context.api.send('PUT', path, { ...groupBody(wanted), expectAgents: agentsChanging });
}

async function pushConfig(
  context: Context,
  { name, source, files }: WantedConfig,
  group: string | undefined,
  message: string | undefined,
): Promise<number> {
  const bodies = Object.entries(files).map(([file, body]) => [file, { body, contentType: 'text/yaml' }] as const);
  try {
    const { version } = await context.api.send<ConfigVersion>('PUT', `/configs/${encodeURIComponent(name)}`, {
      files: Object.fromEntries(bodies),
      ...(group === undefined ? {} : { group }),
      ...(message === undefined ? {} : { message }),
    });
    return version;
  } catch (error) {
    throw withFindings(error, source, context);
  }
}

function groupBody({ selector, priority, mode, policy }: WantedGroup): Record<string, unknown> {
  return { selector, priority, mode, policy };
}

async function startRollout(context: Context, { group, to, wanted }: RolloutStep, version: number, options: ApplyOptions): Promise<string> {
  const { baseline } = wanted;
  const { id, warnings = [] } = await context.api.send<{ id: string; warnings?: string[] }>('POST', '/rollouts', {
    group,
    config: { name: to.name, version },
    ...(wanted.strategy === undefined ? {} : { strategy: wanted.strategy }),
    ...(baseline === undefined
      ? {}
      : { baseline: { name: baseline.name, version: baseline.version ?? (await fetchConfig(context, baseline)).version } }),
    ...(options.message === undefined ? {} : { reason: options.message }),
    ...(options.supersede === true ? { supersede: true } : {}),
  });
  for (const warning of warnings) context.note(`warning: ${group}: ${warning}`);
  return id;
}

/** The first wave is sized by the members of the group, which the gateways tell once they have read it. */
async function waitForGateways(context: Context): Promise<void> {
  const { generation } = await context.api.get<Fleet>('/fleet');
  const endMs = context.terminal.nowMs() + FOLLOW_MS;
  while (context.terminal.nowMs() < endMs && !context.terminal.interrupted.aborted) {
    const gateways = await context.api.list<Gateway>('/gateways', {}, Number.MAX_SAFE_INTEGER);
    if (gateways.every(({ alive, observed }) => !alive || Number(observed.split(':', 1)[0]) >= generation)) return;
    await sleep(FOLLOW_POLL_MS);
  }
  context.note('not every gateway has followed the changed groups yet');
}
