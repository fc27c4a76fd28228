import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findBrickingDefects } from '#validation/bricking';
import { validateConfigFiles } from '#validation/collector-config';
import { MAX_CONFIG_BYTES } from '#validation/yaml-limits';
import type { Command } from 'commander';
import type { ConfigVersion, Finding, Preflight } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatFinding, plural, withFindings } from '../findings.ts';
import { repeatable } from '../repeat.ts';
import { oneLine } from '../table.ts';
import { collect, toPolicy } from './groups.ts';
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
        for (const finding of answer.validation.findings) context.note(formatFinding(file, finding, Object.keys(files)));
        context.show(answer, () => `${answer.name}@${answer.version}  ${answer.hash.slice(0, 12)}\n`);
      } catch (error) {
        throw withFindings(error, file, context, Object.keys(files));
      }
    });

  config
    .command('validate')
    .description('check a config without storing it; exit code 1 when it has errors')
    .argument('<file>', 'YAML file, folder of several, - for standard input')
    .option('-g, --group <name>', 'by what this group allows, and say which of its agents could load it')
    .option('-s, --selector <selector>', 'say which of these agents could load it')
    .option('--offline', 'check it here, without a coordinator')
    .option('--allow <switch>', 'with --offline, what it may do: providers, no-pipelines or fragments; repeatable', collect, [])
    .option('--deny <switch>', 'with --offline, what it may not do; repeatable', collect, [])
    .action(async (file: string, options: ValidateOptions) => {
      const files = await readFiles(context, file);
      const answer = await (options.offline === true ? validateOffline(files, options) : validateByApi(context, files, options));
      const errors = answer.findings.filter(({ severity }) => severity === 'error').length;
      const unchecked = (answer.unchecked ?? []).map((path) => oneLine(`settings not checked: ${path}`));
      const more = (answer.omitted ?? 0) === 0 ? [] : [`and ${answer.omitted} more`];
      const found = answer.findings.map((finding) => formatFinding(file, finding, Object.keys(files)));
      const lines = [...found, ...more, ...unchecked, ...(answer.preflight?.lines ?? [])];
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

type Files = Record<string, { body: string; contentType: string }>;

interface ValidateOptions {
  group?: string;
  selector?: string;
  offline?: boolean;
  allow: string[];
  deny: string[];
}

/** What a validation found; coordinators of older releases tell only part of it. */
interface Validated {
  findings: readonly Finding[];
  unchecked?: readonly string[];
  omitted?: number;
  preflight?: Preflight;
}

async function validateByApi(context: Context, files: Files, { group, selector, allow, deny }: ValidateOptions): Promise<Validated> {
  if (allow.length + deny.length > 0)
    throw new CliError('--allow and --deny go with --offline', 'else name the group that allows it: --group NAME');
  return await context.api.send<Validated>('POST', '/configs/validate', {
    files,
    ...(group === undefined ? {} : { group }),
    ...(selector === undefined ? {} : { selector }),
  });
}

/** The coordinator's own validation, in this process; nothing is asked of anybody. */
function validateOffline(contents: Files, options: ValidateOptions): Validated {
  if (options.group !== undefined || options.selector !== undefined)
    throw new CliError(
      '--offline knows no groups and no agents',
      'leave out --group and --selector; --allow SWITCH says what a group would',
    );
  const policy = toPolicy({}, { ...options, usual: [] });
  const files = Object.entries(contents).map(([name, { body }]) => [name, body] as const);
  const bytes = files.reduce((sum, [, body]) => sum + Buffer.byteLength(body), 0);
  if (bytes > MAX_CONFIG_BYTES) throw new CliError(`the config has ${bytes} bytes, at most ${MAX_CONFIG_BYTES} are taken`);
  const { findings, unchecked, omitted } = validateConfigFiles(Object.fromEntries(files), { policy });
  // Merging can hide what is wrong with a part; an agent's supervisor reads each.
  const known = new Set(findings.map(placeOf));
  const hidden = files.length === 1 ? [] : files.flatMap(([name, body]) => findBrickingDefects(body).map(inFile(name)));
  return { findings: [...findings, ...hidden.filter((finding) => !known.has(placeOf(finding)))], unchecked, omitted };
}

function inFile(name: string): (finding: Finding) => Finding {
  return (finding) => ({ ...finding, path: `${name}#${finding.path}` });
}

function placeOf({ code, path, line }: Finding): string {
  return `${code} ${path} ${line ?? 0}`;
}

/** The file as the only one of a config, or all files of a folder by their names. */
async function readFiles(context: Context, source: string): Promise<Files> {
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
