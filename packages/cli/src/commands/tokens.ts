import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { AgentCredential } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { formatAge } from '../duration.ts';
import { repeatable } from '../repeat.ts';

interface CreateOptions {
  label: string[];
  group: string[];
  expiresIn?: string;
  enrolment?: boolean;
  uses?: string;
  tokenExpiresIn?: string;
  certificate?: string;
}

interface ChangeOptions {
  label: string[];
  group: string[];
  /** False: `--no-labels`. */
  labels?: boolean;
  allGroups?: boolean;
}

/** `opampctl tokens …`: credentials of agents. */
export function addTokenCommands(program: Command, context: Context): void {
  const tokens = program.command('tokens').description('tokens and certificates with which agents connect');

  repeatable(tokens.command('list').description('all of them, oldest first'), context, async () => {
    const items = await context.api.list<AgentCredential>('/tokens', {}, Number.MAX_SAFE_INTEGER);
    const now = context.terminal.nowMs();
    context.table(
      items,
      [
        { title: 'ID', value: ({ id }) => id },
        { title: 'KIND', value: ({ kind }) => kind },
        { title: 'NAME', value: ({ name }) => name, cut: true },
        { title: 'STATE', value: ({ state }) => state, toned: true },
        { title: 'GROUPS', value: ({ groups }) => (groups === null ? '(every group)' : groups.join(',')), cut: true },
        { title: 'LABELS', value: ({ labels }) => labelsText(labels), cut: true },
        { title: 'USES', value: ({ uses, maxUses }) => (maxUses === null ? '-' : `${uses ?? 0}/${maxUses}`), align: 'right' },
        {
          title: 'LAST USED',
          value: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : `${formatAge(lastUsedAt, now)} ago`),
          align: 'right',
        },
        { title: 'EXPIRES', value: ({ expiresAt }) => expiresAt?.replace(/\.\d+Z$/, 'Z') ?? 'never' },
      ],
      'no tokens yet; `opampctl tokens create NAME` makes one',
    );
  });

  tokens
    .command('create')
    .description('make a token; it is printed once and stored nowhere')
    .argument('<name>', 'for people')
    .option(
      '-l, --label <name=value>',
      'attribute of every agent that connects with it, label.NAME in selectors; may be repeated',
      collect,
      [],
    )
    .option('-g, --group <group>', 'only group that such agents can be in; may be repeated; every group when left out', collect, [])
    .option('--expires-in <duration>', 'its life, such as 90d; enrolment tokens live for a day unless told otherwise')
    .option('--enrolment', 'a token that an install script exchanges for one of its own')
    .option('--uses <n>', 'with --enrolment: how often (default 1)')
    .option('--token-expires-in <duration>', 'with --enrolment: life of the tokens it is exchanged for')
    .option('--certificate <file|fingerprint>', 'instead of a token: what a client certificate allows')
    .action(async (name: string, options: CreateOptions) => {
      const body = {
        kind: options.enrolment === true ? 'enrolment' : options.certificate === undefined ? 'agent' : 'certificate',
        name,
        labels: parseLabels(options.label),
        groups: options.group.length === 0 ? null : options.group,
        ...(options.expiresIn === undefined ? {} : { expiresIn: options.expiresIn }),
        ...(options.uses === undefined ? {} : { maxUses: parseUses(options.uses) }),
        ...(options.tokenExpiresIn === undefined ? {} : { tokenExpiresIn: options.tokenExpiresIn }),
        ...(options.certificate === undefined ? {} : { certificate: await readCertificate(options.certificate) }),
      };
      const made = await context.api.send<AgentCredential & { token: string | null }>('POST', '/tokens', body);
      context.show(made, () => {
        if (made.token === null) return `certificate ${made.id} is listed\n`;
        context.note(`${made.kind === 'enrolment' ? 'enrolment token' : 'token'} ${made.id}; it is not shown again:`);
        return `${made.token}\n`;
      });
    });

  tokens
    .command('change')
    .description('change what a token allows; agents that are connected with it follow within seconds')
    .argument('<id>', 'as `tokens list` shows it')
    .option('-l, --label <name=value>', 'all labels it is to have; may be repeated', collect, [])
    .option('--no-labels', 'take all labels away')
    .option('-g, --group <group>', 'all groups it is to have; may be repeated', collect, [])
    .option('--all-groups', 'allow every group')
    .action(async (id: string, options: ChangeOptions) => {
      const body = {
        ...(options.labels === false ? { labels: {} } : options.label.length > 0 ? { labels: parseLabels(options.label) } : {}),
        ...(options.allGroups === true ? { groups: null } : options.group.length > 0 ? { groups: options.group } : {}),
      };
      if (Object.keys(body).length === 0) throw new CliError('nothing to change', 'give --label, --no-labels, --group or --all-groups');
      const changed = await context.api.send<AgentCredential>('PATCH', `/tokens/${encodeURIComponent(id)}`, body);
      context.show(changed, () => `${id}: labels ${labelsText(changed.labels)}, groups ${changed.groups?.join(',') ?? '(every group)'}\n`);
    });

  tokens
    .command('revoke')
    .description('refuse a token or certificate for good, and close the connections that use it')
    .argument('<id...>', 'as `tokens list` shows them')
    .option('--reason <text>', 'why; kept in the audit log')
    .action(async (ids: string[], options: { reason?: string }) => {
      const query = options.reason === undefined ? '' : `?${new URLSearchParams({ reason: options.reason }).toString()}`;
      for (const id of ids) await context.api.send('DELETE', `/tokens/${encodeURIComponent(id)}${query}`);
      context.show({ revoked: ids }, () => ids.map((id) => `${id} is revoked\n`).join(''));
    });
}

function collect(value: string, former: string[]): string[] {
  return [...former, value];
}

function labelsText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return pairs.length === 0 ? '-' : pairs.join(',');
}

function parseLabels(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new CliError(`--label: expected name=value, not ${JSON.stringify(pair)}`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function parseUses(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new CliError(`--uses: expected a whole number from 1 on, not ${JSON.stringify(text)}`);
  return Number(text);
}

/** A fingerprint as it is, or the text of the file. */
async function readCertificate(given: string): Promise<string> {
  if (/^[0-9a-fA-F:]{64,95}$/.test(given)) return given;
  try {
    return await readFile(given, 'utf8');
  } catch {
    throw new CliError(`--certificate: ${given} is no fingerprint and cannot be read as a file`);
  }
}
