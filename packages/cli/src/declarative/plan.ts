import { ApiProblem } from '../api-client.ts';
import type { ConfigRef, ConfigVersion, Finding, Group, GroupPolicy, Impact, Rollout } from '../api-types.ts';
import { fetchConfig } from '../commands/configs.ts';
import type { ConfigArgument } from '../commands/configs.ts';
import type { Context } from '../context.ts';
import { exitCodeOfPhase } from '../exit-codes.ts';
import { formatFinding } from '../findings.ts';
import { formatRef } from '../rollout-text.ts';
import type { DesiredState, WantedConfig, WantedGroup } from './desired-state.ts';

/** What has to happen to one config. */
export interface ConfigStep {
  name: string;
  action: 'create' | 'update' | 'none';
  /** Version that the fleet will have: the next one, or the one there is. */
  version: number;
  /** Of that version; null where only the API can tell, once it is stored. */
  hash: string | null;
  wanted: WantedConfig;
}

/** What has to happen to one group. */
export interface GroupStep {
  name: string;
  action: 'create' | 'update' | 'delete' | 'none';
  /** In words. */
  changes: string[];
  /** Agents that would change config outside any rollout. */
  agentsChanging: number;
  /** Of these, how many would get nothing from us any more. */
  agentsLeaving?: number;
  wanted: WantedGroup | undefined;
}

/**
 * What has to happen to the config of one group. `running`: a rollout to it is under way; `failed`: the last rollout to it was taken
 * back or cancelled, so it is not started again by itself.
 */
export interface RolloutStep {
  group: string;
  action: 'start' | 'running' | 'failed' | 'none';
  from: Pick<ConfigRef, 'name' | 'version'> | null;
  to: Pick<ConfigRef, 'name' | 'version'>;
  /** The rollout under way, or the failed one. */
  rollout: string | null;
  /** Exit code of a failed one. */
  code: number;
  wanted: WantedGroup;
}

/** The way from the fleet as it is to the fleet as it should be. */
export interface Plan {
  configs: ConfigStep[];
  groups: GroupStep[];
  rollouts: RolloutStep[];
  /** Why the plan cannot be carried out. */
  problems: string[];
  /** What is worth knowing. */
  remarks: string[];
}

/** What the caller allows. */
export interface PlanOptions {
  prune: boolean;
  supersede: boolean;
  again: boolean;
  /** Numbers of agents that may change config at once, by group. */
  expectAgents: ReadonlyMap<string, number>;
}

/** Agents that may change config outside a rollout without being expected; the API's own limit. */
const UNGUARDED_AGENTS = 20;

/** Compares a directory with the fleet. Changes nothing. */
export async function makePlan(context: Context, desired: DesiredState, options: PlanOptions): Promise<Plan> {
  const plan: Plan = { configs: [], groups: [], rollouts: [], problems: [], remarks: [] };
  const existing = new Map((await context.api.list<Group>('/groups', {}, Number.MAX_SAFE_INTEGER)).map((group) => [group.name, group]));
  for (const wanted of desired.configs) plan.configs.push(await planConfig(context, wanted, desired.groups, plan));
  for (const wanted of desired.groups) {
    plan.groups.push(await planGroup(context, wanted, existing.get(wanted.name), options, plan));
    if (wanted.config !== undefined) await planRollout(context, wanted, wanted.config, existing.get(wanted.name), options, plan);
  }
  const kept = new Set(desired.groups.map(({ name }) => name));
  const extra = [...existing.keys()].filter((name) => !kept.has(name));
  if (options.prune && desired.hasGroups) for (const name of extra) plan.groups.push(await planDelete(context, name, options, plan));
  else if (extra.length > 0 && desired.hasGroups)
    plan.remarks.push(`not in the directory, and kept without --prune: group ${extra.join(', ')}`);
  return plan;
}

/** True when carrying the plan out would change something. */
export function hasChanges({ configs, groups, rollouts }: Plan): boolean {
  return [...configs, ...groups].some(({ action }) => action !== 'none') || rollouts.some(({ action }) => action === 'start');
}

async function planConfig(context: Context, wanted: WantedConfig, groups: readonly WantedGroup[], plan: Plan): Promise<ConfigStep> {
  const { name, files } = wanted;
  const current = await newest(context, name);
  if (current !== undefined && hasBodies(current, files))
    return { name, action: 'none', version: current.version, hash: current.hash, wanted };
  const policy = judgingGroup(groups, name)?.policy;
  const bodies = Object.entries(files).map(([file, body]) => [file, { body, contentType: 'text/yaml' }] as const);
  const { findings, hash } = await context.api.send<{ findings: Finding[]; hash: string }>('POST', '/configs/validate', {
    files: Object.fromEntries(bodies),
    ...(policy === undefined ? {} : { policy }),
  });
  for (const finding of findings) {
    // Findings of several files begin with the name of theirs.
    const [, file, path] = /^([^#]*)#(.*)$/s.exec(finding.path) ?? [];
    const isNamed = bodies.length > 1 && file !== undefined && path !== undefined;
    const text = formatFinding(
      isNamed && file !== '' ? `${wanted.source}/${file}` : wanted.source,
      isNamed ? { ...finding, path } : finding,
    );
    (finding.severity === 'error' ? plan.problems : plan.remarks).push(text);
  }
  return { name, action: current === undefined ? 'create' : 'update', version: (current?.version ?? 0) + 1, hash, wanted };
}

async function newest(context: Context, name: string): Promise<ConfigVersion | undefined> {
  try {
    return await fetchConfig(context, { name, version: undefined });
  } catch (error) {
    if (error instanceof ApiProblem && error.problem === 'config-not-found') return undefined;
    throw error;
  }
}

/** Media types are left out: a supervisor does not look at them. */
function hasBodies(version: ConfigVersion, files: Readonly<Record<string, string>>): boolean {
  const stored = Object.entries(version.files);
  return stored.length === Object.keys(files).length && stored.every(([name, { body }]) => files[name] === body);
}

async function planGroup(
  context: Context,
  wanted: WantedGroup,
  current: Group | undefined,
  options: PlanOptions,
  plan: Plan,
): Promise<GroupStep> {
  const { name, selector, priority, mode, policy } = wanted;
  const isSamePolicy = canonical(policy) === canonical(current?.policy ?? {});
  const changes =
    current === undefined
      ? [
          `${selector === '' ? 'every agent' : selector}, priority ${priority}, ${mode}${isSamePolicy ? '' : `, policy ${canonical(policy)}`}`,
        ]
      : [
          ...(['selector', 'priority', 'mode'] as const)
            .filter((field) => current[field] !== wanted[field])
            .map((field) => `${field} ${JSON.stringify(current[field])} -> ${JSON.stringify(wanted[field])}`),
          ...(isSamePolicy ? [] : [`policy ${canonical(current.policy ?? {})} -> ${canonical(policy)}`]),
        ];
  const step: GroupStep = { name, action: current === undefined ? 'create' : 'update', changes, agentsChanging: 0, wanted };
  if (changes.length === 0) return { ...step, action: 'none' };
  try {
    const impact = await context.api.send<Impact>('PUT', `/groups/${encodeURIComponent(name)}?dryRun=true`, {
      selector,
      priority,
      mode,
      policy,
    });
    return guard(
      { ...step, agentsChanging: impact.agentsAffected ?? impact.agentsChanging, agentsLeaving: impact.agentsLeaving ?? 0 },
      impact,
      options,
      plan,
    );
  } catch (error) {
    // A selector that cannot be read, a limit: told together with everything else.
    if (!(error instanceof ApiProblem) || error.status !== 422) throw error;
    plan.problems.push(`${wanted.source}: ${error.message}`);
    return step;
  }
}

function canonical(policy: GroupPolicy): string {
  return JSON.stringify(Object.fromEntries(Object.entries(policy).toSorted(([left], [right]) => (left < right ? -1 : 1))));
}

/** The first group that wants a config and has switches of its own; the config is judged by them. */
export function judgingGroup(groups: readonly WantedGroup[], config: string): WantedGroup | undefined {
  return groups.find((group) => group.config?.name === config && Object.keys(group.policy).length > 0);
}

async function planDelete(context: Context, name: string, options: PlanOptions, plan: Plan): Promise<GroupStep> {
  const impact = await context.api.send<Impact>('DELETE', `/groups/${encodeURIComponent(name)}?dryRun=true`);
  return guard(
    {
      name,
      action: 'delete',
      changes: [],
      agentsChanging: impact.agentsAffected ?? impact.agentsChanging,
      agentsLeaving: impact.agentsLeaving ?? 0,
      wanted: undefined,
    },
    impact,
    options,
    plan,
  );
}

/** Adds a problem when the API would refuse the change. */
function guard(step: GroupStep, impact: Impact, { expectAgents }: PlanOptions, plan: Plan): GroupStep {
  if (typeof impact.activeRollout === 'string')
    plan.problems.push(`group ${step.name} cannot change while rollout ${impact.activeRollout} is active`);
  const count = impact.agentsAffected ?? impact.agentsChanging;
  const expected = expectAgents.get(step.name);
  const isExpected = expected !== undefined && Math.abs(expected - count) <= count / 10;
  if (count > UNGUARDED_AGENTS && !isExpected) {
    plan.problems.push(
      `${count} agents would change config at once, outside any rollout, or leave management, when group ${step.name} changes; --expect-agents ${step.name}=${count} allows it`,
    );
  }
  return step;
}

async function planRollout(
  context: Context,
  wanted: WantedGroup,
  argument: ConfigArgument,
  current: Group | undefined,
  options: PlanOptions,
  plan: Plan,
): Promise<void> {
  const target = await resolve(context, argument, plan);
  if (target === undefined) {
    plan.problems.push(
      `${wanted.source}: there is no config ${argument.name}${argument.version === undefined ? '' : `@${argument.version}`}`,
    );
    return;
  }
  const from = current?.stable ?? null;
  const step: RolloutStep = { group: wanted.name, action: 'none', from, to: target, rollout: null, code: 0, wanted };
  const isTarget = (ref: ConfigRef | null): boolean => ref !== null && target.hash !== null && ref.hash === target.hash;
  const push = (change: Partial<RolloutStep>): void => void plan.rollouts.push({ ...step, ...change });

  const active = current?.activeRollout ?? null;
  if (active !== null) {
    const { to, phase } = await context.api.get<Rollout>(`/rollouts/${encodeURIComponent(active)}`);
    if (isTarget(to)) return push({ action: 'running', rollout: active });
    if (!options.supersede)
      plan.problems.push(
        `group ${wanted.name} has the active rollout ${active} to ${formatRef(to)} (${phase}); --supersede aborts it first`,
      );
    return push({ action: 'start' });
  }
  if (isTarget(from)) return push({});
  if (wanted.mode === 'observe') {
    plan.remarks.push(`group ${wanted.name} is only observed: nothing is offered to its agents`);
    return push({});
  }
  const failed = options.again || target.hash === null ? undefined : await failedBefore(context, wanted.name, target.hash);
  if (failed === undefined) return push({ action: 'start' });
  return push({ action: 'failed', rollout: failed.id, code: exitCodeOfPhase(failed.phase) ?? 2 });
}

/** The version that a group should have; its hash is null where it is not known yet. */
async function resolve(
  context: Context,
  argument: ConfigArgument,
  plan: Plan,
): Promise<{ name: string; version: number; hash: string | null } | undefined> {
  const step = plan.configs.find(({ name }) => name === argument.name);
  if (step !== undefined && (argument.version === undefined || argument.version === step.version)) return step;
  try {
    return await fetchConfig(context, argument);
  } catch (error) {
    if (error instanceof ApiProblem && error.problem === 'config-not-found') return undefined;
    throw error;
  }
}

/** The last rollout of the group, when it tried this content and was taken back or cancelled. */
async function failedBefore(context: Context, group: string, hash: string): Promise<{ id: string; phase: string } | undefined> {
  const [last] = await context.api.list<Rollout>('/rollouts', { group }, 1);
  if (last === undefined) return undefined;
  if (last.to.hash === hash) return last.phase === 'succeeded' ? undefined : last;
  if (last.revertOf === null) return undefined;
  const reverted = await context.api.get<Rollout>(`/rollouts/${encodeURIComponent(last.revertOf)}`);
  return reverted.to.hash === hash ? { id: last.id, phase: 'rolled_back' } : undefined;
}

/** The plan as lines: what is made (+), changed (~), deleted (-), rolled out (>), and why not (!). */
export function planLines(plan: Plan): string[] {
  const lines: string[] = [];
  for (const { name, action, version } of plan.configs) {
    if (action === 'create') lines.push(`+ config ${name}@${version}`);
    if (action === 'update') lines.push(`~ config ${name}: version ${version - 1} -> ${version}`);
  }
  for (const { name, action, changes, agentsChanging, agentsLeaving = 0 } of plan.groups) {
    const effect =
      agentsChanging > 0 ? ` (${agentsChanging} agents change config at once${agentsLeaving > 0 ? ', or leave management' : ''})` : '';
    if (action === 'create') lines.push(`+ group ${name}: ${changes.join(', ')}${effect}`);
    if (action === 'update') lines.push(`~ group ${name}: ${changes.join(', ')}${effect}`);
    if (action === 'delete') lines.push(`- group ${name}${effect}`);
  }
  for (const { group, action, from, to, rollout, wanted } of plan.rollouts) {
    const strategy =
      wanted.strategy === undefined ? '' : `, strategy ${typeof wanted.strategy === 'string' ? wanted.strategy : 'of its own'}`;
    if (action === 'start') lines.push(`> rollout of ${group}: ${formatRef(from)} -> ${formatRef(to)}${strategy}`);
    if (action === 'running') lines.push(`  rollout of ${group} to ${formatRef(to)} is under way: ${rollout ?? ''}`);
    if (action === 'failed')
      lines.push(
        `! rollout of ${group} to ${formatRef(to)} is not started again: ${rollout ?? ''} took it back; --again tries it once more`,
      );
  }
  return lines;
}
