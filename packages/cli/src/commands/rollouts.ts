import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Page, Rollout, RolloutEvent, RolloutFailures } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { formatAge, parseDurationMs } from '../duration.ts';
import { renderFailures } from '../failure-text.ts';
import { repeatable } from '../repeat.ts';
import { renderPreview } from '../preview-text.ts';
import type { Preview } from '../preview-text.ts';
import { formatCounts, formatRef, rolloutFields } from '../rollout-text.ts';
import { renderFields } from '../table.ts';
import { WATCH_DEFAULTS, watchRollout } from '../watch.ts';
import type { WatchOptions } from '../watch.ts';
import { fetchConfig, parseConfigArgument, parseCount } from './configs.ts';

const ACTIONS = {
  pause: 'offer to nobody new; who was offered goes on',
  resume: 'go on, once the gates pass',
  promote: 'approve, or skip a soak',
  abort: 'stop, and take everybody back',
  cancel: 'end a rollout that has offered nothing yet',
  rollback: 'take back a rollout that succeeded, by a new one',
  retry: 'try again the agents that failed',
} as const;

interface StartOptions extends WatchFlags {
  group: string;
  config: string;
  strategy?: string;
  baseline?: string;
  reason?: string;
  idempotencyKey?: string;
  supersede?: boolean;
  watch?: boolean;
  dryRun?: boolean;
}

/** What the words of a warning mean. */
const WARNINGS: Readonly<Record<string, string>> = {
  no_way_back: ': it is the first rollout of the group, so there is no version to go back to; --baseline names one',
  agents_skipped: ': agents whose build lacks a component are passed by; `opampctl rollout get` counts them',
};

/** Options of commands that wait for rollouts. */
export interface WatchFlags {
  timeout?: string;
  interval?: string;
  waitHeld?: boolean;
}

/** `opampctl rollout …` */
export function addRolloutCommands(program: Command, context: Context): void {
  const rollout = program.command('rollout').description('rollouts');
  const pathOf = (id: string): string => `/rollouts/${encodeURIComponent(id)}`;

  addStart(rollout, context);
  addTune(rollout, context);

  rollout
    .command('watch')
    .description('print what happens until the rollout ends; the exit code says how it ended')
    .argument('<id>', 'id of the rollout')
    .option('--timeout <duration>', 'give up after this long (exit code 3), for example 30m')
    .option('--wait-held', 'go on waiting when the rollout waits for a person')
    .option('--interval <duration>', 'how often counts are looked at when nothing happens (default 2s)')
    .action(async (id: string, flags: WatchFlags) => {
      context.exitCode = await watchRollout(context, id, toWatchOptions(flags));
    });

  rollout
    .command('get')
    .description('one rollout')
    .argument('<id>', 'id of the rollout')
    .action(async (id: string) => {
      const answer = await context.api.get<Rollout>(pathOf(id));
      context.show(answer, () => renderFields(rolloutFields(answer, context.terminal.nowMs())));
    });

  const list = rollout
    .command('list')
    .description('rollouts, newest first')
    .option('-g, --group <name>', 'of this group only')
    .option('--phase <phase>', 'running, rolling_back, succeeded, cancelled, rolled_back or rollback_failed')
    .option('--limit <n>', 'most rollouts shown', '20');
  repeatable(list, context, async ({ group, phase, limit }: { group?: string; phase?: string; limit: string }) => {
    const items = await context.api.list<Rollout>('/rollouts', { group, phase }, parseCount(limit, '--limit'));
    context.table(
      items,
      [
        { title: 'ROLLOUT', value: ({ id }) => id },
        { title: 'GROUP', value: (item) => item.group, cut: true },
        { title: 'CONFIG', value: ({ to }) => formatRef(to), cut: true },
        {
          title: 'PHASE',
          value: ({ phase: at, holds }) => (holds.length === 0 ? at : `${at} (${holds.join(', ')})`),
          cut: true,
          toned: true,
        },
        { title: 'WAVE', value: ({ waveIndex, waves }) => `${waveIndex + 1}/${waves.length}`, align: 'right' },
        { title: 'AGENTS', value: ({ counts }) => formatCounts(counts) || '-', cut: true },
        { title: 'AGE', value: ({ createdAt }) => formatAge(createdAt, context.terminal.nowMs()), align: 'right' },
        { title: 'BY', value: ({ createdBy }) => createdBy, cut: true },
      ],
      'no rollouts',
    );
  });

  rollout
    .command('failures')
    .description('what failed: groups of agents by message, version and stratum')
    .argument('<id>', 'id of the rollout')
    .option('--agents', 'the agents instead, with their errors')
    .option('--limit <n>', 'with --agents or --json: most agents listed', '1000')
    .action(async (id: string, options: { agents?: boolean; limit: string }) => {
      const asked = parseCount(options.limit, '--limit');
      // The groups alone are much less to read.
      const limit = options.agents === true || context.json ? asked : 0;
      const answer = await context.api.get<RolloutFailures>(`${pathOf(id)}/failures`, { limit });
      if (options.agents === true) return listFailures(context, answer);
      return context.show(answer, () => renderFailures(answer, context.terminal.columns ?? Number.POSITIVE_INFINITY, context.paint));
    });

  rollout
    .command('events')
    .description('what happened so far')
    .argument('<id>', 'id of the rollout')
    .action(async (id: string) => {
      const { items } = await context.api.get<Page<RolloutEvent>>(`${pathOf(id)}/events`);
      context.table(
        items,
        [
          { title: 'SEQ', value: ({ seq }) => String(seq), align: 'right' },
          { title: 'AT', value: ({ at }) => at.replace(/\.\d+Z$/, 'Z') },
          { title: 'EVENT', value: ({ type }) => type },
          { title: 'BY', value: ({ actor }) => actor, cut: true },
          { title: 'PHASE', value: ({ to }) => to.phase },
          { title: 'WAVE', value: ({ to }) => `${to.waveIndex + 1} ${to.wavePhase}` },
          { title: 'DETAIL', value: ({ detail }) => detail, cut: true },
        ],
        'no events',
      );
    });

  for (const [action, description] of Object.entries(ACTIONS)) {
    rollout
      .command(action)
      .description(description)
      .argument('<id>', 'id of the rollout')
      .option('--reason <text>', 'why')
      .option('--rev <n>', 'only if the rollout still has this revision')
      .action(async (id: string, { reason, rev }: { reason?: string; rev?: string }) => {
        const headers: Record<string, string> = rev === undefined ? {} : { 'if-match': `"${parseCount(rev, '--rev')}"` };
        const answer = await context.api.send<Rollout | { id: string; created: boolean }>(
          'POST',
          `${pathOf(id)}/${action}`,
          reason === undefined ? {} : { reason },
          headers,
        );
        context.show(answer, () => {
          if (answer.id !== id) return `rollout ${answer.id} takes it back; \`opampctl rollout watch ${answer.id}\` follows it\n`;
          const { phase, holds = [] } = answer as Rollout;
          return `rollout ${id}: ${phase}${holds.length === 0 ? '' : `, held: ${holds.join(', ')}`}\n`;
        });
      });
  }
}

function addTune(rollout: Command, context: Context): void {
  rollout
    .command('tune')
    .description('change maxInFlight, maxInFlightPer, rate, failure or onFailure of a running rollout')
    .argument('<id>', 'id of the rollout')
    .requiredOption('--strategy <json|file>', 'only the fields to change, as JSON or as a file of it')
    .option('--reason <text>', 'why')
    .option('--rev <n>', 'only if the rollout still has this revision')
    .action(async (id: string, { strategy, reason, rev }: { strategy: string; reason?: string; rev?: string }) => {
      const patch = strategy.trimStart().startsWith('{') ? parseJson(strategy, '--strategy') : await readStrategy(strategy);
      const answer = await context.api.send<Rollout>(
        'PATCH',
        `/rollouts/${encodeURIComponent(id)}`,
        { strategy: patch, ...(reason === undefined ? {} : { reason }) },
        rev === undefined ? {} : { 'if-match': `"${parseCount(rev, '--rev')}"` },
      );
      context.show(answer, () => `rollout ${id} is tuned (revision ${answer.rev})\n`);
    });
}

function addStart(rollout: Command, context: Context): void {
  rollout
    .command('start')
    .description('start a rollout, or preview it')
    .requiredOption('-g, --group <name>', 'group of agents')
    .requiredOption('-c, --config <name[@version]>', 'config to bring them to, newest version unless given')
    .option('--strategy <file|preset>', 'JSON file, or the name of a preset')
    .option('--baseline <name@version>', 'what to go back to, for the first rollout of a group')
    .option('--reason <text>', 'why')
    .option('--idempotency-key <key>', 'the same key answers with the same rollout for 24 h')
    .option('--supersede', 'abort the active rollout of the group first')
    .option('-w, --watch', 'print what happens until it ends; the exit code says how it ended')
    .option('--timeout <duration>', 'with --watch: give up after this long (exit code 3), for example 30m')
    .option('--wait-held', 'with --watch: go on waiting when the rollout waits for a person')
    .option('--interval <duration>', 'with --watch: how often counts are looked at when nothing happens (default 2s)')
    .option('--dry-run', 'say what would happen')
    .action(async (options: StartOptions) => {
      const watch = toWatchOptions(options);
      const body = await toBody(context, options);
      const headers: Record<string, string> = options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey };
      if (options.dryRun === true) {
        const preview = await context.api.send<Preview>('POST', '/rollouts?dryRun=true', body, headers);
        context.show(preview, () => renderPreview(preview));
        return;
      }
      const answer = await context.api.send<{ id: string; warnings?: string[]; created: boolean }>('POST', '/rollouts', body, headers);
      for (const warning of answer.warnings ?? []) context.note(`warning: ${warning}${WARNINGS[warning] ?? ''}`);
      if (options.watch !== true) {
        context.show(answer, () => `${answer.id}\n`);
        return;
      }
      if (!context.json)
        context.terminal.out(`rollout ${answer.id} ${answer.created ? 'has started' : 'had been started before with this key'}\n`);
      context.exitCode = await watchRollout(context, answer.id, watch);
    });
}

async function toBody(context: Context, options: StartOptions): Promise<Record<string, unknown>> {
  const resolve = async (text: string): Promise<{ name: string; version: number }> => {
    const argument = parseConfigArgument(text);
    return { name: argument.name, version: argument.version ?? (await fetchConfig(context, argument)).version };
  };
  return {
    group: options.group,
    config: await resolve(options.config),
    ...(options.strategy === undefined ? {} : { strategy: await readStrategy(options.strategy) }),
    ...(options.baseline === undefined ? {} : { baseline: await resolve(options.baseline) }),
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(options.supersede === true ? { supersede: true } : {}),
  };
}

/** A word is the name of a preset; whatever looks like a path, or ends in `.json`, is read. */
async function readStrategy(text: string): Promise<unknown> {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  let content: string;
  try {
    content = await readFile(text, 'utf8');
  } catch (error) {
    throw new CliError(
      `${text} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      'give a JSON file or the name of a preset',
      { cause: error },
    );
  }
  return parseJson(content, text);
}

function parseJson(content: string, source: string): unknown {
  try {
    return JSON.parse(content) as unknown;
  } catch (error) {
    throw new CliError(`${source} is not valid JSON: ${error instanceof Error ? error.message : String(error)}`, undefined, {
      cause: error,
    });
  }
}

function listFailures(context: Context, { items, total }: RolloutFailures): void {
  context.table(
    items,
    [
      { title: 'UID', value: ({ uid }) => uid },
      { title: 'STATUS', value: ({ status }) => status },
      { title: 'WAVE', value: ({ wave }) => (/^\d+$/.test(wave) ? String(Number(wave) + 1) : wave), align: 'right' },
      { title: 'ERROR', value: ({ error }) => error, cut: true },
    ],
    'no agent failed',
  );
  if (items.length < total) context.note(`and ${total - items.length} more: --limit N lists up to 16000`);
}

/** Reads them. Throws a CliError. */
export function toWatchOptions({ timeout, interval, waitHeld }: WatchFlags): WatchOptions {
  return {
    ...WATCH_DEFAULTS,
    timeoutMs: timeout === undefined ? undefined : parseDurationMs(timeout, '--timeout'),
    intervalMs: interval === undefined ? WATCH_DEFAULTS.intervalMs : Math.max(10, parseDurationMs(interval, '--interval')),
    waitHeld: waitHeld === true,
  };
}
