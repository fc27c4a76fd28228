import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import type { ConfigVersion, Group } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { fetchConfig } from './configs.ts';

/** `opampctl export` */
export function addExportCommand(program: Command, context: Context): void {
  program
    .command('export')
    .description('write configs and groups to a directory, as `opampctl apply` reads it')
    .requiredOption('-o, --output <directory>', 'where to write; made when it does not exist')
    .option('--overwrite', 'replace files that differ')
    .action(async ({ output, overwrite }: { output: string; overwrite?: boolean }) => {
      const files = await collectFiles(context);
      const differing = await filterAsync([...files.keys()], async (file) => {
        const current = await readOrNothing(join(output, file));
        return current !== undefined && current !== files.get(file);
      });
      if (differing.length > 0 && overwrite !== true)
        throw new CliError(`${output} has other contents: ${differing.join(', ')}`, 'repeat with --overwrite, or name another directory');
      for (const [file, text] of files) {
        await mkdir(dirname(join(output, file)), { recursive: true });
        await writeFile(join(output, file), text);
      }
      context.show(
        { directory: output, files: [...files.keys()] },
        () => `${files.size} ${files.size === 1 ? 'file is' : 'files are'} written to ${output}\n`,
      );
    });
}

/** Contents by path. */
async function collectFiles(context: Context): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const newest = new Map<string, ConfigVersion>();
  for (const { name } of await context.api.list<ConfigVersion>('/configs', {}, Number.MAX_SAFE_INTEGER)) {
    const version = await fetchConfig(context, { name, version: undefined });
    newest.set(name, version);
    const entries = Object.entries(version.files);
    const [only] = entries;
    if (entries.length === 1 && only !== undefined) files.set(join('configs', `${name}.yaml`), only[1].body ?? '');
    else if (entries.every(([file]) => /^[^./\\][^/\\]*$/.test(file))) {
      for (const [file, { body = '' }] of entries) files.set(join('configs', name, file), body);
    } else context.note(`config ${name} is left out: the names of its files cannot be those of a directory`);
  }
  for (const group of await context.api.list<Group>('/groups', {}, Number.MAX_SAFE_INTEGER))
    files.set(join('groups', `${group.name}.yaml`), stringify(toFields(group, newest)));
  return files;
}

function toFields(
  { selector, priority, mode, policy = {}, stable }: Group,
  newest: ReadonlyMap<string, ConfigVersion>,
): Record<string, unknown> {
  const isNewest = stable !== null && newest.get(stable.name)?.hash === stable.hash;
  return {
    selector,
    priority,
    mode,
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
    ...(stable === null ? {} : { config: isNewest ? stable.name : `${stable.name}@${stable.version}` }),
  };
}

async function readOrNothing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function filterAsync<Item>(items: readonly Item[], test: (item: Item) => Promise<boolean>): Promise<Item[]> {
  const kept = await Promise.all(items.map(test));
  return items.filter((_, index) => kept[index]);
}
