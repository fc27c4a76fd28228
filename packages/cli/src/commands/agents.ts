import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Agent, Drift } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { formatAge } from '../duration.ts';
import { repeatable } from '../repeat.ts';
import { renderFields } from '../table.ts';
import { parseConfigArgument, fetchConfig, parseCount } from './configs.ts';
import { driftFields } from './drift.ts';

interface ListOptions {
  selector?: string;
  group?: string;
  status?: string;
  health?: string;
  gateway?: string;
  rollout?: string;
  connected?: boolean;
  away?: boolean;
  limit: string;
}

/** `opampctl agents …` */
export function addAgentCommands(program: Command, context: Context): void {
  const agents = program.command('agents').alias('agent').description('agents');
  const pathOf = (uid: string): string => `/agents/${encodeURIComponent(uid)}`;

  const list = agents
    .command('list')
    .description('agents, in a stable order')
    .option('-s, --selector <selector>', 'over attributes, and labels as label.NAME')
    .option('-g, --group <name>', 'effective group, - for agents of none')
    .option('--status <status>', 'unset, applying, applied or failed; with --rollout the status in that rollout')
    .option('--health <health>', 'healthy, unhealthy or unknown')
    .option('--gateway <id>', 'gateway that holds the connection')
    .option('--transport <how>', 'ws or http: how they talk to us')
    .option('--rollout <id>', 'agents that this rollout has touched')
    .option('--connected', 'connected ones only')
    .option('--away', 'those that are away only')
    .option('--limit <n>', 'most agents shown', '100');
  repeatable(list, context, async (options: ListOptions) => {
    if (options.connected === true && options.away === true) throw new CliError('--connected and --away exclude each other');
    const { connected, away, limit, ...filter } = options;
    const most = parseCount(limit, '--limit');
    const items = await context.api.list<Agent>('/agents', { ...filter, connected: away === true ? false : connected }, most);
    context.table(
      items,
      [
        { title: 'UID', value: ({ uid }) => uid },
        { title: 'SERVICE', value: ({ attributes }) => attributes['service.name'] ?? '-', cut: true },
        { title: 'VERSION', value: ({ attributes }) => attributes['service.version'] ?? '-', cut: true },
        { title: 'GROUP', value: ({ group }) => group ?? '-', cut: true },
        {
          title: 'GATEWAY',
          value: ({ gateway, lastSeenAt }) => gateway ?? `away ${formatAge(lastSeenAt, context.terminal.nowMs())}`,
          cut: true,
        },
        { title: 'HEALTH', value: ({ health }) => health.status, toned: true },
        { title: 'CONFIG', value: ({ config }) => config.status, toned: true },
        { title: 'DESIRED', value: ({ config }) => desiredWord(config), cut: true },
      ],
      'no agents match',
    );
    if (items.length === most) context.note(`only the first ${most} are shown; --limit shows more`);
  });

  agents
    .command('get')
    .description('everything that is known of one agent')
    .argument('<uid>', 'instance uid')
    .action(async (uid: string) => {
      const agent = await context.api.get<AgentDetail>(pathOf(uid));
      context.show(agent, () => renderFields(fieldsOf(agent, context.terminal.nowMs())));
    });

  agents
    .command('restart')
    .description('restart an agent')
    .argument('<uid>', 'instance uid')
    .option('--reason <text>', 'why')
    .action(async (uid: string, options: { reason?: string }) => {
      const answer = await context.api.send('POST', `${pathOf(uid)}/restart`, options);
      context.show(answer, () => 'the restart command has been sent\n');
    });

  agents
    .command('label')
    .description('set labels of an agent; NAME- removes one')
    .argument('<uid>', 'instance uid')
    .argument('<labels...>', 'NAME=VALUE or NAME-')
    .action(async (uid: string, changes: string[]) => {
      const { labels } = await context.api.get<Agent>(pathOf(uid));
      const answer = await context.api.send<Agent>('PUT', `${pathOf(uid)}/labels`, { labels: applyLabels(labels, changes) });
      context.show(answer, () => `${formatPairs(answer.labels)}\n`);
    });

  agents
    .command('pin')
    .description('give one agent its own config')
    .argument('<uid>', 'instance uid')
    .argument('<config[@version]>', 'config, newest version unless given')
    .action(async (uid: string, argument: string) => {
      const { name, version } = await fetchConfig(context, parseConfigArgument(argument));
      const answer = await context.api.send('PUT', `${pathOf(uid)}/pin`, { config: { name, version } });
      context.show(answer, () => `pinned to ${name}@${version}\n`);
    });

  agents
    .command('unpin')
    .description('let an agent follow its group again')
    .argument('<uid>', 'instance uid')
    .action(async (uid: string) => {
      const answer = await context.api.send('DELETE', `${pathOf(uid)}/pin`);
      context.show(answer, () => 'follows its group again\n');
    });

  agents
    .command('message')
    .description('send an agent a custom message')
    .argument('<uid>', 'instance uid')
    .argument('<capability>', 'custom capability, as the agent announced it')
    .argument('<type>', 'type of the message, as the capability defines it')
    .option('--data <text>', 'what it carries')
    .option('--data-file <file>', 'the same from a file, - for standard input')
    .action(async (uid: string, capability: string, messageType: string, options: { data?: string; dataFile?: string }) => {
      const data = await readData(context, options);
      const body = { capability, messageType, ...(data.length === 0 ? {} : { dataBase64: data.toString('base64') }) };
      const answer = await context.api.send('POST', `${pathOf(uid)}/custom-messages`, body);
      context.show(answer, () => 'sent\n');
    });

  agents
    .command('delete')
    .description('forget an agent that is away')
    .argument('<uid>', 'instance uid')
    .action(async (uid: string) => {
      await context.api.send('DELETE', pathOf(uid));
      context.show({ deleted: uid }, () => `agent ${uid} is forgotten\n`);
    });
}

async function readData(context: Context, { data, dataFile }: { data?: string; dataFile?: string }): Promise<Buffer> {
  if (data !== undefined && dataFile !== undefined) throw new CliError('--data and --data-file are one too many');
  if (dataFile === undefined) return Buffer.from(data ?? '');
  if (dataFile === '-') return Buffer.from(await context.terminal.readStdin());
  try {
    return await readFile(dataFile);
  } catch (error) {
    throw new CliError(`${dataFile} cannot be read: ${error instanceof Error ? error.message : String(error)}`, undefined, {
      cause: error,
    });
  }
}

interface AgentDetail extends Agent {
  capabilities: string[];
  pin: { name: string; version: number } | null;
  /** Missing from coordinators of an older release. */
  drift?: Drift;
  history: { hash: string; config?: { name: string; version: number } | null; status: string; at: string; error?: string }[];
}

function applyLabels(labels: Record<string, string>, changes: readonly string[]): Record<string, string> {
  const result = new Map(Object.entries(labels));
  for (const change of changes) {
    const equals = change.indexOf('=');
    if (equals > 0) result.set(change.slice(0, equals), change.slice(equals + 1));
    else if (equals < 0 && change.endsWith('-') && change.length > 1) result.delete(change.slice(0, -1));
    else throw new CliError(`${JSON.stringify(change)}: expected NAME=VALUE or NAME-`);
  }
  return Object.fromEntries(result);
}

function desiredWord({ desired, inSync }: Agent['config']): string {
  return desired === null ? '-' : `${desired.name}@${desired.version}${inSync === true ? '' : ' (not yet)'}`;
}

function formatPairs(pairs: Record<string, string>): string {
  return (
    Object.entries(pairs)
      .map(([name, value]) => `${name}=${value}`)
      .join(', ') || '-'
  );
}

function fieldsOf(agent: AgentDetail, nowMs: number): [string, string][] {
  const since = agent.health.since === null ? '' : ` for ${formatAge(agent.health.since, nowMs)}`;
  const history = agent.history.slice(0, 5).map(({ hash, config, status, at, error }) => {
    const name = config === undefined || config === null ? '' : `${config.name}@${config.version} `;
    return ['', `${at} ${status} ${name}${hash.slice(0, 12)} ${error ?? ''}`.trimEnd()] as [string, string];
  });
  const fields: [string, string][] = [
    ['uid', agent.uid],
    ['connection', agent.gateway === null ? `away for ${formatAge(agent.lastSeenAt, nowMs)}` : `gateway ${agent.gateway}`],
    ['group', agent.group ?? '-'],
    ['attributes', formatPairs(agent.attributes)],
    ['labels', formatPairs(agent.labels)],
    ['capabilities', agent.capabilities.join(', ')],
    ['health', `${agent.health.status}${since}`],
    [
      'config',
      `${agent.config.status}${agent.config.hash === null ? '' : ` ${agent.config.hash.slice(0, 12)}`}${agent.config.error === '' ? '' : `: ${agent.config.error}`}`,
    ],
    ['desired', desiredWord(agent.config)],
    ...driftFields(agent.drift),
    ['pin', agent.pin === null ? '-' : `${agent.pin.name}@${agent.pin.version}`],
  ];
  if (history.length > 0) fields.push(['history', history[0]?.[1] ?? ''], ...history.slice(1));
  return fields;
}
