import type { Command } from 'commander';
import { ApiProblem } from '../api-client.ts';
import type { Group, GroupPolicy, Impact } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { repeatable } from '../repeat.ts';
import { renderFields } from '../table.ts';

interface SetOptions {
  selector?: string;
  priority?: string;
  mode?: string;
  allow: string[];
  deny: string[];
  usual: string[];
  expectAgents?: string;
  dryRun?: boolean;
}

/** `opampctl group …` */
export function addGroupCommands(program: Command, context: Context): void {
  const group = program.command('group').description('groups of agents');

  group
    .command('set')
    .description('create a group, or change what is given of one')
    .argument('<name>', 'name of the group')
    .option('-s, --selector <selector>', 'which agents: k=v, k!=v, k in (a,b), k notin (a,b), k, !k, joined by commas')
    .option('-p, --priority <n>', 'the highest that matches is an agent’s group (default 0)')
    .option('--mode <mode>', 'manage, or observe: counted, offered nothing (default manage)')
    .option('--allow <switch>', 'what its configs may do: providers, no-pipelines or fragments; repeatable', collect, [])
    .option('--deny <switch>', 'what they may not do; repeatable', collect, [])
    .option('--usual <switch>', 'back to the usual: a warning for providers, refused for the others; repeatable', collect, [])
    .option('--expect-agents <n>', 'how many agents you expect to change config or leave management; needed above 20')
    .option('--dry-run', 'say how many agents would change config or leave management')
    .action(async (name: string, options: SetOptions) => {
      const path = `/groups/${encodeURIComponent(name)}`;
      const old = await findGroup(context, path);
      const selector = options.selector ?? old?.selector;
      if (selector === undefined)
        throw new CliError(`there is no group ${name} yet, so it needs a selector`, 'add --selector; an empty one ("") takes every agent');
      const body = {
        selector,
        priority: options.priority === undefined ? (old?.priority ?? 0) : parseInteger(options.priority, '--priority'),
        mode: options.mode ?? old?.mode ?? 'manage',
        policy: toPolicy(old?.policy ?? {}, options),
        ...(options.expectAgents === undefined ? {} : { expectAgents: parseInteger(options.expectAgents, '--expect-agents') }),
      };
      if (options.dryRun === true) return showImpact(context, await context.api.send<Impact>('PUT', `${path}?dryRun=true`, body));
      const answer = await context.api.send<Group>('PUT', path, body);
      return context.show(
        answer,
        () =>
          `group ${answer.name}: ${answer.selector === '' ? 'every agent' : answer.selector}, priority ${answer.priority}, ${answer.mode}${policyText(answer.policy)}\n`,
      );
    });

  repeatable(group.command('list').description('all groups, with counts'), context, async () => {
    const items = await context.api.list<Group>('/groups', {}, Number.MAX_SAFE_INTEGER);
    context.table(
      items,
      [
        { title: 'GROUP', value: ({ name }) => name },
        { title: 'PRIORITY', value: ({ priority }) => String(priority), align: 'right' },
        { title: 'MODE', value: ({ mode }) => mode },
        { title: 'SELECTOR', value: ({ selector }) => (selector === '' ? '(every agent)' : selector), cut: true },
        { title: 'STABLE', value: ({ stable }) => (stable === null ? '-' : `${stable.name}@${stable.version}`), cut: true },
        { title: 'AGENTS', value: ({ counts }) => String(counts.agents), align: 'right' },
        { title: 'CONNECTED', value: ({ counts }) => String(counts.connected), align: 'right' },
        { title: 'UNHEALTHY', value: ({ counts }) => String(counts.health['unhealthy'] ?? 0), align: 'right' },
        { title: 'ROLLOUT', value: ({ activeRollout }) => activeRollout ?? '-', cut: true },
      ],
      'no groups yet; `opampctl group set NAME --selector …` makes one',
    );
  });

  group
    .command('get')
    .description('one group')
    .argument('<name>', 'name of the group')
    .action(async (name: string) => {
      const answer = await context.api.get<Group>(`/groups/${encodeURIComponent(name)}`);
      context.show(answer, () => renderFields(fieldsOf(answer)));
    });

  group
    .command('resume')
    .description('let offers outside rollouts go on that were stopped because they failed')
    .argument('<name>', 'name of the group')
    .option('--reason <text>', 'why')
    .action(async (name: string, { reason }: { reason?: string }) => {
      const answer = await context.api.send<Group>(
        'POST',
        `/groups/${encodeURIComponent(name)}/resume`,
        reason === undefined ? {} : { reason },
      );
      return context.show(answer, () => `group ${name}: offers outside rollouts go on\n`);
    });

  group
    .command('delete')
    .description('delete a group; its agents fall to the next that matches')
    .argument('<name>', 'name of the group')
    .option('--expect-agents <n>', 'how many agents you expect to change config or leave management; needed above 20')
    .option('--dry-run', 'say how many agents would change config or leave management')
    .action(async (name: string, options: Pick<SetOptions, 'expectAgents' | 'dryRun'>) => {
      const path = `/groups/${encodeURIComponent(name)}`;
      if (options.dryRun === true) return showImpact(context, await context.api.send<Impact>('DELETE', `${path}?dryRun=true`));
      await context.api.send(
        'DELETE',
        path,
        options.expectAgents === undefined ? undefined : { expectAgents: parseInteger(options.expectAgents, '--expect-agents') },
      );
      return context.show({ deleted: name }, () => `group ${name} is deleted\n`);
    });
}

function fieldsOf(group: Group): [string, string][] {
  const { counts } = group;
  return [
    ['group', group.name],
    ['selector', group.selector === '' ? '(every agent)' : group.selector],
    ['priority', String(group.priority)],
    ['mode', group.mode],
    ['configs', policyText(group.policy).replace(/^, /, '') || 'as usual'],
    ['stable', group.stable === null ? '-' : `${group.stable.name}@${group.stable.version}`],
    ['rollout', group.activeRollout ?? '-'],
    ['agents', `${counts.agents}, ${counts.connected} connected, ${counts.health['unhealthy'] ?? 0} unhealthy`],
  ];
}

/** The API's names of the switches. */
const SWITCHES: Readonly<Record<string, keyof GroupPolicy>> = {
  providers: 'allowProviders',
  'no-pipelines': 'allowNoPipelines',
  fragments: 'allowFragments',
};

export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** Reads the word of a switch. Throws a CliError. */
function nameOf(text: string, option: string): keyof GroupPolicy {
  const name = Object.hasOwn(SWITCHES, text) ? SWITCHES[text] : undefined;
  if (name === undefined) throw new CliError(`${option}: expected ${Object.keys(SWITCHES).join(', ')}, not ${JSON.stringify(text)}`);
  return name;
}

/** The switches of a group after these options. Throws a CliError. */
export function toPolicy(old: GroupPolicy, { allow, deny, usual }: Pick<SetOptions, 'allow' | 'deny' | 'usual'>): GroupPolicy {
  const policy = { ...old };
  for (const text of usual) delete policy[nameOf(text, '--usual')];
  for (const text of allow) policy[nameOf(text, '--allow')] = true;
  for (const text of deny) policy[nameOf(text, '--deny')] = false;
  return policy;
}

function policyText(policy: GroupPolicy = {}): string {
  const words = Object.entries(SWITCHES).flatMap(([word, name]) =>
    policy[name] === undefined ? [] : [`${policy[name] ? 'allows' : 'denies'} ${word}`],
  );
  return words.map((word) => `, ${word}`).join('');
}

async function findGroup(context: Context, path: string): Promise<Group | undefined> {
  try {
    return await context.api.get<Group>(path);
  } catch (error) {
    if (error instanceof ApiProblem && error.problem === 'group-not-found') return undefined;
    throw error;
  }
}

function showImpact(context: Context, impact: Impact): void {
  const about = impact.estimated ? 'about ' : '';
  const { agentsLeaving = 0 } = impact;
  const leaving = agentsLeaving === 0 ? '' : `${about}${agentsLeaving} would leave management, and keep what they run\n`;
  const blocked =
    impact.activeRollout === null || impact.activeRollout === undefined
      ? ''
      : `the active rollout ${impact.activeRollout} forbids it now\n`;
  context.show(impact, () => `${about}${impact.agentsChanging} of ${impact.agents} agents would change config\n${leaving}${blocked}`);
}

function parseInteger(text: string, option: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw new CliError(`${option}: expected a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
}
