import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { ConfigVersion, Finding, Preflight } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatFinding, plural, withFindings } from '../findings.ts';
import { repeatable } from '../repeat.ts';
import { oneLine } from '../table.ts';
import { addImport } from './import.ts';

/** `NAME` or `NAME@VERSION`. */
export interface ConfigArgument {
  name: string;
  version: number | undefined;
}

/** Reads `NAME[@VERSION]`. Throws a CliError. */
export function parseConfigArgument(text: string): ConfigArgument {
  const match = /^([^@\s]+)(?:@(\d{1,9}))?$/.exec(text);
  if (match?.[1] === undefined || match[2] === '0') throw new CliError(`${JSON.stringify(text)}: expected NAME or NAME@VERSION`);
  return { name: match[1], version: match[2] === undefined ? undefined : Number(match[2]) };
}

/** The given version of a config, or its newest. */
export async function fetchConfig(context: Context, { name, version }: ConfigArgument): Promise<ConfigVersion> {
  const path = `/configs/${encodeURIComponent(name)}`;
  return await context.api.get<ConfigVersion>(version === undefined ? path : `${path}/versions/${version}`);
}

/** `opampctl config …` */
export function addConfigCommands(program: Command, context: Context): void {
  const config = program.command('config').description('named configs and their versions');

  config
    .command('push')
    .description('store a version of a config; the same content again makes no new version')
    .argument('<name>', 'name of the config')
    .argument('<file>', 'YAML file, folder of several, - for standard input')
    .option('-m, --message <text>', 'why')
    .option('-g, --group <name>', 'judge it by what this group allows')
    .option('--force', 'store it although it has errors; never done for what would keep a supervisor from starting')
    .option('--reason <text>', 'why it is forced; kept in the audit log')
    .action(async (name: string, file: string, options: { message?: string; group?: string; force?: boolean; reason?: string }) => {
      if (options.force === true && (options.reason ?? '').trim() === '')
        throw new CliError('--force needs a reason', 'add --reason TEXT; it is kept in the audit log');
      const files = await readFiles(context, file);
      try {
        const answer = await context.api.send<ConfigVersion>('PUT', `/configs/${encodeURIComponent(name)}`, {
          files,
          ...(options.group === undefined ? {} : { group: options.group }),
          ...(options.message === undefined ? {} : { message: options.message }),
          ...(options.force === true ? { force: true, reason: options.reason } : {}),
        });
        for (const finding of answer.validation.findings) context.note(formatFinding(file, finding));
        context.show(answer, () => `${answer.name}@${answer.version}  ${answer.hash.slice(0, 12)}\n`);
      } catch (error) {
        throw withFindings(error, file, context);
      }
    });

  config
    .command('validate')
    .description('check a config without storing it; exit code 1 when it has errors')
    .argument('<file>', 'YAML file, folder of several, - for standard input')
    .option('-g, --group <name>', 'by what this group allows, and say which of its agents could load it')
    .option('-s, --selector <selector>', 'say which of these agents could load it')
    .action(async (file: string, options: { group?: string; selector?: string }) => {
      const answer = await context.api.send<{ findings: Finding[]; preflight?: Preflight }>('POST', '/configs/validate', {
        files: await readFiles(context, file),
        ...options,
      });
      const errors = answer.findings.filter(({ severity }) => severity === 'error').length;
      const lines = [...answer.findings.map((finding) => formatFinding(file, finding)), ...(answer.preflight?.lines ?? [])];
      const summary = `${plural(errors, 'error')}, ${plural(answer.findings.length - errors, 'warning')}`;
      context.show(answer, () => `${[...lines, summary].join('\n')}\n`);
      if (errors > 0) context.exitCode = EXIT.error;
    });

  repeatable(config.command('list').description('the newest version of every config'), context, async () => {
    const items = await context.api.list<ConfigVersion>('/configs', {}, Number.MAX_SAFE_INTEGER);
    showVersions(context, items, 'no configs yet; `opampctl config push NAME FILE` stores one');
  });

  config
    .command('get')
    .description('print a config')
    .argument('<name[@version]>', 'name, and version unless it is the newest')
    .action(async (argument: string) => {
      const version = await fetchConfig(context, parseConfigArgument(argument));
      context.show(version, () => {
        const files = Object.entries(version.files);
        const single = files.length === 1;
        return files
          .map(([name, { body = '' }]) => `${single ? '' : `# --- ${oneLine(name)}\n`}${body}${body.endsWith('\n') ? '' : '\n'}`)
          .join('');
      });
    });

  config
    .command('versions')
    .description('the history of a config, newest first')
    .argument('<name>', 'name of the config')
    .option('--limit <n>', 'most versions shown', '50')
    .action(async (name: string, options: { limit: string }) => {
      const items = await context.api.list<ConfigVersion>(
        `/configs/${encodeURIComponent(name)}/versions`,
        {},
        parseCount(options.limit, '--limit'),
      );
      showVersions(context, items, 'no versions');
    });

  config
    .command('diff')
    .description('what changed between two versions')
    .argument('<name>', 'name of the config')
    .argument('<from>', 'older version')
    .argument('<to>', 'newer version')
    .action(async (name: string, from: string, to: string) => {
      const answer = await context.api.get<{ unified: string }>(`/configs/${encodeURIComponent(name)}/diff`, { from, to });
      context.show(answer, () => answer.unified);
    });

  addImport(config, context);
}

/** Reads a whole number of at least 1. Throws a CliError. */
export function parseCount(text: string, option: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new CliError(`${option}: expected a whole number from 1, not ${JSON.stringify(text)}`);
  return Number(text);
}

/** The file as the only one of a config, or all files of a folder by their names. */
async function readFiles(context: Context, source: string): Promise<Record<string, { body: string; contentType: string }>> {
  const isFolder = source !== '-' && ((await stat(source).catch(() => undefined))?.isDirectory() ?? false);
  if (!isFolder) return { '': { body: await readText(context, source), contentType: 'text/yaml' } };
  const names = (await readdir(source)).filter((name) => !name.startsWith('.')).toSorted();
  if (names.length === 0) throw new CliError(`${source} is empty`);
  const files = names.map(async (name) => [name, { body: await readText(context, join(source, name)), contentType: 'text/yaml' }] as const);
  return Object.fromEntries(await Promise.all(files));
}

async function readText(context: Context, file: string): Promise<string> {
  if (file === '-') return await context.terminal.readStdin();
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error });
  }
}

function showVersions(context: Context, items: readonly ConfigVersion[], empty: string): void {
  context.table(
    items,
    [
      { title: 'CONFIG', value: ({ name, version }) => `${name}@${version}` },
      { title: 'HASH', value: ({ hash }) => hash.slice(0, 12) },
      { title: 'CREATED', value: ({ createdAt }) => createdAt.replace(/\.\d+Z$/, 'Z') },
      { title: 'BY', value: ({ createdBy }) => createdBy, cut: true },
      { title: 'MESSAGE', value: ({ message }) => message, cut: true },
    ],
    empty,
  );
}
