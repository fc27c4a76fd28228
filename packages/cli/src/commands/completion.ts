import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_opampctl() {
  local IFS=$'\\n'
  COMPREPLY=($(opampctl __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _opampctl opampctl
`,
  zsh: `#compdef opampctl
_opampctl() {
  local -a found
  found=("\${(@f)$(opampctl __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n "\${found[1]}" ]] && compadd -- "\${found[@]}" || _files
}
compdef _opampctl opampctl
`,
  fish: `complete -c opampctl -f -a '(opampctl __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
};

/** How long names may take to come from the API while somebody waits at the prompt. */
const NAMES_MS = 1500;

const MAX_NAMES = 200;

/** `opampctl completion SHELL`, and the hidden command by which the scripts ask for words. */
export function addCompletionCommands(program: Command, context: Context): void {
  program
    .command('completion')
    .description('print a script that completes words: `eval "$(opampctl completion bash)"`')
    .argument('<shell>', Object.keys(SCRIPTS).join(', '))
    .action((shell: string) => {
      const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
      if (script === undefined)
        throw new CliError(`there is no completion for ${JSON.stringify(shell)}`, `one of ${Object.keys(SCRIPTS).join(', ')}`);
      context.terminal.out(script);
    });

  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const candidates = await complete(program, context, words);
      context.terminal.out(candidates.map((word) => `${word}\n`).join(''));
    });
}

/** Words that may stand where the last of `words` does. */
async function complete(program: Command, context: Context, words: readonly string[]): Promise<string[]> {
  const last = words.at(-1) ?? '';
  let command = program;
  let position = 0;
  /** Flag whose value comes next. */
  let pending: string | undefined;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) pending = undefined;
    else if (word.startsWith('-')) {
      const option = [...command.options, ...program.options].find(({ long, short }) => word === long || word === short);
      if (option?.required === true) pending = option.long ?? word;
    } else {
      const child = command.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
      if (child === undefined) position += 1;
      else {
        command = child;
        position = 0;
      }
    }
  }
  let candidates: readonly string[];
  if (pending !== undefined) candidates = await namesFor(context, pending.replace(/^-+/, ''));
  else if (last.startsWith('-'))
    candidates = [...command.options, ...program.options].flatMap(({ long, hidden }) => (long === undefined || hidden ? [] : [long]));
  else if (command.commands.length > 0) candidates = visibleNames(command);
  else if (command.name() === 'completion') candidates = Object.keys(SCRIPTS);
  else candidates = await namesFor(context, kindOf(command, position));
  return candidates.filter((word) => word.startsWith(last) && word !== '').toSorted();
}

function visibleNames(command: Command): string[] {
  return command.commands.map((child) => child.name()).filter((name) => !name.startsWith('__'));
}

/** What the argument at this place names. */
function kindOf(command: Command, position: number): string {
  const argument = command.registeredArguments[position];
  if (argument === undefined) return '';
  const name = argument.name();
  const parent = command.parent?.name() ?? '';
  if (name === 'name' || name === 'name[@version]') return parent;
  if (name === 'config[@version]') return 'config';
  return name === 'id' && parent === 'rollout' ? 'rollout' : '';
}

/** Names of one kind; none when the API does not answer in time. */
async function namesFor(context: Context, kind: string): Promise<string[]> {
  const paths: Readonly<Record<string, string>> = { config: '/configs', baseline: '/configs', group: '/groups', rollout: '/rollouts' };
  const path = paths[kind];
  if (path === undefined) return [];
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<[]>((resolve) => {
    timer = setTimeout(() => resolve([]), NAMES_MS);
  });
  try {
    const items = await Promise.race([context.api.list<{ name?: string; id?: string }>(path, {}, MAX_NAMES), late]);
    return items.flatMap(({ name, id }) => name ?? id ?? []);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}
