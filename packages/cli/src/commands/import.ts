import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ConfigVersion } from '../api-types.ts';
import { draftBaseline } from '../baseline.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { withFindings } from '../findings.ts';

interface ImportOptions {
  agent: string;
  name: string;
  output?: string;
  push?: boolean;
}

interface AgentWithEffective {
  uid: string;
  effectiveUnreadable?: string | null;
  effective: { reportedAt: string; truncated: boolean; files: Record<string, { body: string }> } | null;
}

/** `opampctl config import` */
export function addImport(config: Command, context: Context): void {
  config
    .command('import')
    .description('draft a config from what an agent runs, for taking over a fleet that exists')
    .requiredOption('--agent <uid>', 'agent whose effective config is taken')
    .requiredOption('--name <name>', 'name that the config will have')
    .option('-o, --output <file>', 'file to write, - for standard output (default NAME.yaml)')
    .option('--push', 'store it at once; refused while it lacks secrets')
    .action(async ({ agent, name, output, push }: ImportOptions) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) throw new CliError(`${JSON.stringify(name)} cannot be the name of a config`);
      const { uid, effective, effectiveUnreadable } = await context.api.get<AgentWithEffective>(`/agents/${encodeURIComponent(agent)}`);
      if (typeof effectiveUnreadable === 'string') throw new CliError(`what agent ${uid} runs cannot be read: ${effectiveUnreadable}`);
      if (effective === null)
        throw new CliError(`agent ${uid} has not reported what it runs`, 'choose another agent: `opampctl agents list`');
      if (effective.truncated) throw new CliError(`the effective config of agent ${uid} is too large: only a part of it is stored`);
      const draft = draftBaseline(effective.files, `what agent ${uid} ran at ${effective.reportedAt}`);
      for (const remark of draft.remarks) context.note(remark);
      if (push === true) {
        if (draft.secrets.length > 0) {
          throw new CliError(
            `${draft.secrets.length} values are secret and not known here: ${draft.secrets.join(', ')}`,
            'leave out --push, put references such as ${env:NAME} in their place, then `opampctl config push`',
          );
        }
        await store(context, name, draft.text);
        return;
      }
      if (output === '-') {
        context.terminal.out(draft.text);
        return;
      }
      const file = output ?? `${name}.yaml`;
      await create(file, draft.text);
      context.show({ file, secrets: draft.secrets, remarks: draft.remarks }, () => `${file} is written\n`);
      context.note(
        draft.secrets.length > 0
          ? `next: put references such as \${env:NAME} in the place of ${draft.secrets.join(', ')}; then \`opampctl config push ${name} ${file}\``
          : `next: look at it, then \`opampctl config push ${name} ${file}\``,
      );
    });
}

async function store(context: Context, name: string, body: string): Promise<void> {
  try {
    const answer = await context.api.send<ConfigVersion>('PUT', `/configs/${encodeURIComponent(name)}`, {
      files: { '': { body, contentType: 'text/yaml' } },
      message: 'imported from an agent',
    });
    context.show(answer, () => `${answer.name}@${answer.version}  ${answer.hash.slice(0, 12)}\n`);
  } catch (error) {
    throw withFindings(error, name, context);
  }
}

async function create(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx' });
  } catch (error) {
    throw new CliError(
      `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      'an existing file is not replaced; -o names another one',
      { cause: error },
    );
  }
}
