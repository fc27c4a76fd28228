import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { contextFilePath, readContexts, writeContexts } from '../context-file.ts';
import type { ContextFile } from '../context-file.ts';
import { apiUrl } from '../context.ts';
import type { Context } from '../context.ts';

interface SetOptions {
  tokenFile?: string;
  token?: boolean;
}

/** `opampctl context …` */
export function addContextCommands(program: Command, context: Context): void {
  const contexts = program.command('context').description('where the API is, by name; kept in a file that only you can read');
  const path = (): string => {
    const found = contextFilePath(context.terminal.env);
    if (found === undefined) throw new CliError('there is no place for contexts', 'set HOME or OPAMPCTL_CONFIG');
    return found;
  };
  const change = (edit: (file: ContextFile) => void): void => {
    const file = readContexts(path());
    edit(file);
    writeContexts(path(), file);
  };

  contexts
    .command('set')
    .description('add a context, or change it: its address is that of the global option --url')
    .argument('<name>', 'name of the context')
    .option('--token-file <file>', 'file with the token, - for standard input')
    .option('--no-token', 'forget the token')
    .action(async (name: string, { tokenFile, token: keepsToken }: SetOptions) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw new CliError(`${JSON.stringify(name)} cannot be the name of a context`);
      const given = context.urlOption;
      const token = tokenFile === undefined ? undefined : await readToken(context, tokenFile);
      change((file) => {
        const old = file.contexts.get(name);
        const url = given ?? old?.url;
        if (url === undefined) throw new CliError(`there is no context ${name} yet, so it needs an address`, 'add --url URL');
        apiUrl(url);
        // A token belongs to one address: it does not follow to another one.
        const kept = keepsToken !== false && old !== undefined && old.url === url ? old.token : undefined;
        const used = token ?? kept;
        file.contexts.set(name, { url, ...(used === undefined ? {} : { token: used }) });
        file.current ??= name;
      });
      context.show({ context: name }, () => `context ${name} is set\n`);
    });

  contexts
    .command('use')
    .description('use a context from now on')
    .argument('<name>', 'name of the context')
    .action((name: string) => {
      change((file) => {
        if (!file.contexts.has(name)) throw new CliError(`there is no context ${name}`, '`opampctl context list` shows them');
        file.current = name;
      });
      context.show({ context: name }, () => `context ${name} is used from now on\n`);
    });

  contexts
    .command('delete')
    .description('forget a context and its token')
    .argument('<name>', 'name of the context')
    .action((name: string) => {
      change((file) => {
        if (!file.contexts.delete(name)) throw new CliError(`there is no context ${name}`, '`opampctl context list` shows them');
        if (file.current === name) file.current = undefined;
      });
      context.show({ deleted: name }, () => `context ${name} is forgotten\n`);
    });

  contexts
    .command('list')
    .description('all contexts; tokens are not shown')
    .action(() => {
      const { current, contexts: known } = readContexts(path());
      const rows = [...known].map(([name, { url, token }]) => ({ name, url, token: token !== undefined, current: name === current }));
      context.table(
        rows,
        [
          { title: 'CONTEXT', value: (row) => `${row.current ? '* ' : '  '}${row.name}` },
          { title: 'URL', value: ({ url }) => url, cut: true },
          { title: 'TOKEN', value: ({ token }) => (token ? 'yes' : '-') },
        ],
        'no contexts yet; `opampctl context set NAME --url URL` adds one',
      );
    });
}

async function readToken(context: Context, file: string): Promise<string> {
  let text: string;
  try {
    text = file === '-' ? await context.terminal.readStdin() : await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error });
  }
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new CliError(`${file} does not hold one token`, 'the file has the token and nothing else');
  return token;
}
