import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { GroupPolicy } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import { parseConfigArgument } from '../commands/configs.ts';
import type { ConfigArgument } from '../commands/configs.ts';

/** A config as the directory has it. */
export interface WantedConfig {
  name: string;
  /** File or folder, for messages. */
  source: string;
  /** Bodies by file name; the name is empty where there is one file only. */
  files: Record<string, string>;
}

/** A group as the directory has it, with every default filled in. */
export interface WantedGroup {
  name: string;
  source: string;
  selector: string;
  priority: number;
  mode: string;
  policy: GroupPolicy;
  config: ConfigArgument | undefined;
  /** What to go back to, for the first rollout of the group. */
  baseline: ConfigArgument | undefined;
  /** Name of a preset, or a strategy; undefined leaves it to the API. */
  strategy: unknown;
}

/** What a directory says that the fleet should be. */
export interface DesiredState {
  configs: WantedConfig[];
  groups: WantedGroup[];
  /** False when the directory says nothing about groups at all; then none is deleted by `--prune`. */
  hasGroups: boolean;
}

const CONFIG_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const GROUP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const YAML_FILE = /\.ya?ml$/;
const GROUP_FIELDS = new Set(['selector', 'priority', 'mode', 'policy', 'config', 'strategy', 'baseline']);

/**
 * Reads `configs/<name>.yaml`, `configs/<name>/<file>`, `groups.yaml` and `groups/<name>.yaml`. Throws a CliError that names all
 * that is wrong with them.
 */
export async function readDesiredState(directory: string): Promise<DesiredState> {
  const problems: string[] = [];
  const configs = await readConfigs(directory, problems);
  const { groups, hasGroups } = await readGroups(directory, problems);
  for (const [kind, items] of [
    ['config', configs],
    ['group', groups],
  ] as const) {
    const seen = new Map<string, string>();
    for (const { name, source } of items) {
      const other = seen.get(name);
      if (other !== undefined) problems.push(`${kind} ${name} stands in ${other} and in ${source}`);
      seen.set(name, source);
    }
  }
  if (problems.length > 0) throw new CliError(problems.join('; '));
  if (configs.length === 0 && !hasGroups)
    throw new CliError(`there is nothing to apply in ${directory}`, 'it needs configs/NAME.yaml, groups.yaml or groups/NAME.yaml');
  return { configs, groups, hasGroups };
}

async function readConfigs(directory: string, problems: string[]): Promise<WantedConfig[]> {
  const configs: WantedConfig[] = [];
  for (const entry of await list(join(directory, 'configs'))) {
    const source = join(directory, 'configs', entry);
    const isFolder = (await stat(source)).isDirectory();
    if (!isFolder && !YAML_FILE.test(entry)) continue;
    const name = isFolder ? entry : entry.replace(YAML_FILE, '');
    if (!CONFIG_NAME.test(name)) problems.push(`${source}: ${JSON.stringify(name)} cannot be the name of a config`);
    else if (!isFolder) configs.push({ name, source, files: { '': await readFile(source, 'utf8') } });
    else {
      const files = (await list(source)).map(async (file) => [file, await readFile(join(source, file), 'utf8')] as const);
      configs.push({ name, source, files: Object.fromEntries(await Promise.all(files)) });
    }
  }
  for (const { source, files } of configs) if (Object.keys(files).length === 0) problems.push(`${source} is empty`);
  return configs;
}

async function readGroups(directory: string, problems: string[]): Promise<{ groups: WantedGroup[]; hasGroups: boolean }> {
  const groups: WantedGroup[] = [];
  let hasGroups = false;
  for (const file of ['groups.yaml', 'groups.yml']) {
    const source = join(directory, file);
    const content = await readYaml(source, problems);
    if (content === undefined) continue;
    hasGroups = true;
    if (!isMap(content)) {
      if (content !== null) problems.push(`${source}: expected a map of groups by name`);
      continue;
    }
    for (const [name, fields] of Object.entries(content)) groups.push(...toGroup(name, fields, `${source}: ${name}`, problems));
  }
  for (const entry of await list(join(directory, 'groups'))) {
    if (!YAML_FILE.test(entry)) continue;
    hasGroups = true;
    const source = join(directory, 'groups', entry);
    const fields = await readYaml(source, problems);
    if (fields !== undefined) groups.push(...toGroup(entry.replace(YAML_FILE, ''), fields, source, problems));
  }
  return { groups: groups.toSorted((left, right) => (left.name < right.name ? -1 : 1)), hasGroups };
}

/** The group, or nothing when a problem was added. */
function toGroup(name: string, fields: unknown, source: string, problems: string[]): WantedGroup[] {
  const before = problems.length;
  const wrong = (message: string): void => void problems.push(`${source}: ${message}`);
  if (!GROUP_NAME.test(name)) {
    wrong(
      `${JSON.stringify(name)} cannot be the name of a group: it has 1 to 63 letters, digits, ".", "_" or "-" and begins with a letter or digit`,
    );
  }
  if (!isMap(fields)) {
    wrong('expected a map with selector, priority, mode, config and strategy');
    return [];
  }
  for (const field of Object.keys(fields)) if (!GROUP_FIELDS.has(field)) wrong(`there is no field ${field}`);
  const { selector, priority = 0, mode = 'manage', strategy } = fields;
  const policy = toPolicy(fields['policy'], wrong);
  if (typeof selector !== 'string') wrong('selector must be a text; "" takes every agent');
  if (!Number.isInteger(priority)) wrong('priority must be a whole number');
  if (mode !== 'manage' && mode !== 'observe') wrong('mode must be manage or observe');
  if (strategy !== undefined && typeof strategy !== 'string' && !isMap(strategy)) wrong('strategy must be the name of a preset, or a map');
  const config = toConfigArgument(fields['config'], 'config', wrong);
  const baseline = toConfigArgument(fields['baseline'], 'baseline', wrong);
  if (config === undefined && (strategy !== undefined || baseline !== undefined)) wrong('strategy and baseline need a config');
  if (problems.length > before) return [];
  return [
    { name, source, selector: String(selector).trim(), priority: Number(priority), mode: String(mode), policy, config, baseline, strategy },
  ];
}

const POLICY_FIELDS = ['allowProviders', 'allowNoPipelines', 'allowFragments'] as const;

function toPolicy(value: unknown, wrong: (message: string) => void): GroupPolicy {
  if (value === undefined || value === null) return {};
  const known: readonly string[] = POLICY_FIELDS;
  if (isMap(value) && Object.entries(value).every(([name, setting]) => known.includes(name) && typeof setting === 'boolean')) return value;
  wrong(`policy must be a map of ${POLICY_FIELDS.join(', ')} to true or false`);
  return {};
}

function toConfigArgument(value: unknown, field: string, wrong: (message: string) => void): ConfigArgument | undefined {
  if (value === undefined || value === null) return undefined;
  try {
    if (typeof value === 'string') return parseConfigArgument(value);
  } catch {
    // Told below.
  }
  wrong(`${field} must be NAME or NAME@VERSION`);
  return undefined;
}

/** Undefined when there is no such file, or a problem was added. */
async function readYaml(source: string, problems: string[]): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(source, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const document = parseDocument(text);
  for (const { message } of document.errors) problems.push(`${source}: ${message.split('\n', 1)[0] ?? ''}`);
  if (document.errors.length > 0) return undefined;
  try {
    return (document.toJS() as unknown) ?? null;
  } catch (error) {
    problems.push(`${source}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** Names in a folder, hidden ones left out; none when there is no such folder. */
async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith('.')).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CliError(`${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error });
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
