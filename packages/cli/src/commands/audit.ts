import type { Command } from 'commander';
import type { AuditEntry, AuditVerdict } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { repeatable } from '../repeat.ts';
import { parseCount } from './configs.ts';

interface Filters {
  actor?: string;
  action?: string;
  target?: string;
  group?: string;
  since?: string;
  until?: string;
}

/** Entries of one call of an export. */
const EXPORT_PAGE = 1000;

/** `opampctl audit list`, `verify`, `export`; without a word behind it, `list`. */
export function addAuditCommands(program: Command, context: Context): void {
  const audit = program.command('audit').description('who changed what; whether the record of it is whole');

  const list = withFilters(audit.command('list', { isDefault: true }).description('newest first')).option(
    '--limit <n>',
    'most entries shown',
    '50',
  );
  repeatable(list, context, async ({ limit, ...filters }: Filters & { limit: string }) => {
    const items = await context.api.list<AuditEntry>('/audit', { ...filters }, parseCount(limit, '--limit'));
    context.table(
      items,
      [
        { title: 'AT', value: ({ at }) => at.replace(/\.\d+Z$/, 'Z') },
        { title: 'WHO', value: ({ actor }) => actor, cut: true },
        { title: 'DID', value: ({ action }) => action },
        { title: 'TO', value: ({ target }) => target, cut: true },
        { title: 'WHY', value: ({ reason }) => reason ?? '', cut: true },
        { title: 'DETAIL', value: ({ detail }) => JSON.stringify(detail), cut: true },
      ],
      'nothing yet',
    );
  });

  withFilters(audit.command('export').description('all entries as JSON lines, newest first')).action(async (filters: Filters) => {
    let cursor: string | undefined;
    do {
      const page: { items: AuditEntry[]; nextCursor: string | null } = await context.api.get('/audit', {
        ...filters,
        limit: EXPORT_PAGE,
        cursor,
      });
      context.terminal.out(page.items.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  });

  audit
    .command('verify')
    .description('whether nothing in the log is changed or missing; ends with 1 when something is')
    .option('--noted <seq:hash>', 'what an earlier run printed: the log must still lead through it')
    .action(async ({ noted }: { noted?: string }) => {
      const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(noted ?? '') ?? [];
      if (noted !== undefined && seq === undefined)
        throw new CliError(`--noted ${noted} is no number and hash`, 'take it from `opampctl audit verify`');
      const verdict = await context.api.get<AuditVerdict>('/audit/verify', { seq, hash });
      if (!verdict.ok) context.exitCode = EXIT.error;
      context.show(verdict, () => describe(verdict));
    });
}

function withFilters(command: Command): Command {
  return command
    .option('--actor <name>', 'only what this actor did')
    .option('--action <word>', 'only this action, or all that begin with it: rollout, group.put')
    .option('--target <thing>', 'only what concerns this: group/prod, agent/<uid>')
    .option('--group <name>', 'only what concerns this group')
    .option('--since <time>', 'only from then on, as 2027-01-31T12:00:00Z')
    .option('--until <time>', 'only up to then');
}

function describe({ ok, entries, unchained, first, last, defects }: AuditVerdict): string {
  const lines = defects.map(({ kind, detail }) => `${kind}: ${detail}`);
  if (defects.length >= 100) lines.push('there may be more');
  if (unchained > 0) lines.push(`${unchained} entries of former releases at the beginning have no hash`);
  lines.push(
    `${entries} entries${first === null || last === null ? '' : `, numbers ${first} to ${last.seq}`}: ${ok ? 'the chain is whole' : 'the chain is BROKEN'}`,
  );
  if (ok && last !== null) lines.push(`keep this elsewhere, and give it to --noted later: ${last.seq}:${last.hash}`);
  return `${lines.join('\n')}\n`;
}
