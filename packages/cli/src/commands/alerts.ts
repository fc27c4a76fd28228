import type { Command } from 'commander';
import type { Alert, AlertTarget } from '../api-types.ts';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';
import { repeatable } from '../repeat.ts';
import { parseCount } from './configs.ts';

/** `opampctl alerts …` */
export function addAlertCommands(program: Command, context: Context): void {
  const alerts = program.command('alerts').description('what was told outside, and what could not be');

  const show = async (state: 'pending' | 'dead' | undefined, limit: string): Promise<void> => {
    const items = await context.api.list<Alert>('/alerts', state === undefined ? {} : { state }, parseCount(limit, '--limit'));
    context.table(
      items,
      [
        { title: 'AT', value: ({ at }) => at.replace(/\.\d+Z$/, 'Z') },
        { title: 'ALERT', value: ({ id }) => id },
        { title: 'SEVERITY', value: ({ severity }) => severity, toned: true },
        { title: 'TYPE', value: ({ type }) => type },
        { title: 'DELIVERIES', value: describeDeliveries },
        { title: 'SUMMARY', value: ({ summary }) => summary, cut: true },
      ],
      state === 'dead' ? 'nothing was given up' : 'no alerts',
    );
  };

  const list = alerts.command('list').description('alerts, newest first').option('--limit <n>', 'most alerts shown', '50');
  repeatable(
    list.option('--pending', 'only those that somebody is still to be told of'),
    context,
    ({ limit, pending }: { limit: string; pending?: boolean }) => show(pending === true ? 'pending' : undefined, limit),
  );

  const dead = alerts
    .command('dead')
    .description('alerts that a target could not be told of')
    .option('--limit <n>', 'most alerts shown', '50');
  repeatable(dead, context, ({ limit }: { limit: string }) => show('dead', limit));

  repeatable(alerts.command('targets').description('who is told'), context, async () => {
    const answer = await context.api.get<{ items: AlertTarget[]; counts: Record<string, number> }>('/alerts/targets');
    context.table(
      answer.items,
      [
        { title: 'TARGET', value: ({ name }) => name },
        { title: 'HOST', value: ({ host }) => host, cut: true },
        { title: 'OF', value: ({ types, minSeverity }) => (types === null ? `${minSeverity} and above` : types.join(', ')), cut: true },
      ],
      'nobody: set OPAMP_ALERTS_FILE',
    );
  });

  alerts
    .command('retry')
    .description('try deliveries again that were given up')
    .argument('[alerts...]', 'ids of alerts; none with --all')
    .option('--target <name>', 'to this target only')
    .option('--all', 'whatever was given up')
    .action(async (ids: string[], { target, all }: { target?: string; all?: boolean }) => {
      if (ids.length === 0 && target === undefined && all !== true)
        throw new CliError('which ones?', 'name alerts, or --target NAME, or --all; `opampctl alerts dead` lists them');
      const answer = await context.api.send<{ retried: number }>('POST', '/alerts/retry', {
        ...(ids.length === 0 ? {} : { ids }),
        ...(target === undefined ? {} : { target }),
      });
      context.show(answer, () => `${answer.retried} deliveries are due again\n`);
    });

  alerts
    .command('test')
    .description('send a test alert to every target')
    .option('--reason <text>', 'text that goes with it')
    .action(async (options: { reason?: string }) => {
      const answer = await context.api.send<{ targets: number }>('POST', '/alerts/test', options);
      context.show(answer, () => `${answer.targets} targets will be told; \`opampctl alerts list\` shows how it went\n`);
    });
}

function describeDeliveries({ deliveries }: Alert): string {
  if (deliveries.length === 0) return '-';
  return deliveries.map(({ target, state, attempts }) => `${target} ${state}${state === 'delivered' ? '' : ` (${attempts})`}`).join(', ');
}
