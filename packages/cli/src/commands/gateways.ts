import type { Command } from 'commander';
import type { Gateway, Rebalance } from '../api-types.ts';
import type { Context } from '../context.ts';
import { formatAge } from '../duration.ts';
import { repeatable } from '../repeat.ts';
import { parseCount } from './configs.ts';

/** `opampctl gateways`, `gateways drain`, `undrain`, `rebalance`. */
export function addGatewayCommands(program: Command, context: Context): void {
  const gateways = program.command('gateways').description('gateways and what they carry');
  const list = gateways.command('list', { isDefault: true }).description('gateways and what they carry');
  repeatable(list, context, async () => {
    const items = await context.api.list<Gateway>('/gateways', {}, Number.MAX_SAFE_INTEGER);
    context.table(
      items,
      [
        { title: 'GATEWAY', value: ({ id }) => id, cut: true },
        { title: 'STATE', value: ({ alive, draining }) => (!alive ? 'gone' : draining ? 'draining' : 'alive'), toned: true },
        { title: 'ADDRESS', value: ({ address }) => address, cut: true },
        { title: 'AGENTS', value: ({ connected }) => String(connected), align: 'right' },
        { title: 'UNHEALTHY', value: ({ unhealthy }) => String(unhealthy), align: 'right' },
        { title: 'SPEC', value: ({ observed }) => observed.split(':', 1)[0] ?? '', align: 'right' },
        { title: 'UP', value: ({ startedAt }) => formatAge(startedAt, context.terminal.nowMs()), align: 'right' },
      ],
      'no gateways',
    );
  });

  gateways
    .command('drain <id>')
    .description('send the agents of a gateway away, and take nobody new')
    .option('--window <seconds>', 'over how long, evenly', '30')
    .option('--force', 'also when no other gateway serves')
    .option('--reason <text>', 'why')
    .action(async (id: string, options: { window: string; force?: boolean; reason?: string }) => {
      const answer = await context.api.send('POST', `/gateways/${encodeURIComponent(id)}/drain`, {
        windowSeconds: parseCount(options.window, '--window'),
        ...(options.force === true ? { force: true } : {}),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      });
      context.show(
        answer,
        () => `${id} sends its agents away; \`opampctl gateways --watch\` shows it, \`gateways undrain\` takes it back\n`,
      );
    });

  gateways
    .command('undrain <id>')
    .description('let a drained gateway serve again')
    .option('--reason <text>', 'why')
    .action(async (id: string, options: { reason?: string }) => {
      const answer = await context.api.send('POST', `/gateways/${encodeURIComponent(id)}/undrain`, options);
      context.show(answer, () => `${id} serves again; \`opampctl gateways rebalance\` gives it its share\n`);
    });

  gateways
    .command('rebalance')
    .description('have full gateways send away what is above the mean; the load balancer decides where it goes')
    .option('--tolerance <percent>', 'how far above the mean a gateway may be', '10')
    .option('--window <seconds>', 'over how long, evenly', '30')
    .option('--dry-run', 'say what would happen')
    .option('--reason <text>', 'why')
    .action(async (options: { tolerance: string; window: string; dryRun?: boolean; reason?: string }) => {
      const answer = (await context.api.send('POST', `/gateways/rebalance${options.dryRun === true ? '?dryRun=true' : ''}`, {
        tolerancePercent: parseCount(options.tolerance, '--tolerance'),
        windowSeconds: parseCount(options.window, '--window'),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      })) as Rebalance;
      context.table(
        answer.items,
        [
          { title: 'GATEWAY', value: ({ id }) => id, cut: true },
          { title: 'AGENTS', value: ({ connected }) => String(connected), align: 'right' },
          { title: options.dryRun === true ? 'WOULD SEND AWAY' : 'SENDS AWAY', value: ({ count }) => String(count), align: 'right' },
        ],
        `nothing to do: no gateway is more than ${options.tolerance} % above the mean of ${answer.mean} agents`,
      );
    });
}
