import type { Command } from 'commander';
import type { Fleet, FleetHistory, Me } from '../api-types.ts';
import type { Context } from '../context.ts';
import { repeatable } from '../repeat.ts';
import { renderFields } from '../table.ts';
import { parseCount } from './configs.ts';

/** `opampctl fleet`, `history`, `whoami`, `freeze`, `unfreeze`. */
export function addFleetCommands(program: Command, context: Context): void {
  repeatable(program.command('fleet').description('counts of the whole fleet'), context, async () => {
    const fleet = await context.api.get<Fleet>('/fleet');
    context.show(fleet, () => renderFields(fieldsOf(fleet)));
  });

  const history = program
    .command('history')
    .description('connected agents over the last day, the worst minute of each step')
    .option('--hours <n>', 'how far back, at most 24', '24')
    .option('--step <minutes>', 'minutes of a step, at most 60', '60')
    .option('--gateways', 'a column for each gateway');
  repeatable(history, context, async (options: { hours: string; step: string; gateways?: boolean }) => {
    const series = await context.api.get<FleetHistory>('/fleet/history', {
      hours: String(parseCount(options.hours, '--hours')),
      step: String(parseCount(options.step, '--step')),
      ...(options.gateways === true ? { gateways: 'true' } : {}),
    });
    const cell = (column: readonly (number | null)[], index: number): string => String(column[index] ?? '-');
    const fromMs = Date.parse(series.from);
    context.table(
      series.connected.map((_, index) => index),
      [
        { title: 'FROM', value: (index) => new Date(fromMs + index * series.stepMinutes * 60_000).toISOString().replace(':00.000Z', 'Z') },
        { title: 'CONNECTED', value: (index) => cell(series.connected, index), align: 'right' },
        { title: 'UNHEALTHY', value: (index) => cell(series.unhealthy, index), align: 'right' },
        ...Object.entries(series.gateways).map(([id, column]) => ({
          title: id,
          value: (index: number) => cell(column, index),
          align: 'right' as const,
        })),
      ],
      'nothing recorded',
    );
  });

  program
    .command('whoami')
    .description('who you are to the API, and what you may do')
    .action(async () => {
      const me = await context.api.get<Me>('/me');
      context.show(me, () =>
        renderFields([
          ['name', me.name],
          ['by', me.kind],
          ['role', me.role],
          ['groups', me.groups.join(', ') === '*' ? 'all' : me.groups.join(', ')],
          ['may', me.permissions.join(', ')],
        ]),
      );
    });

  for (const [action, description, done] of [
    [
      'freeze',
      'stop all offers but rollbacks and take-backs',
      'the fleet is frozen: `rollout abort` and `rollout rollback` still take a version back; `opampctl unfreeze` allows offers again',
    ],
    ['unfreeze', 'allow offers again', 'offers are allowed again'],
  ] as const) {
    program
      .command(action)
      .description(description)
      .option('--reason <text>', 'why')
      .action(async (options: { reason?: string }) => {
        const answer = await context.api.send('POST', `/fleet/${action}`, options);
        context.show(answer, () => `${done}\n`);
      });
  }
}

function fieldsOf(fleet: Fleet): [string, string][] {
  const { agents } = fleet;
  const counts = (by: Record<string, number>): string =>
    Object.entries(by)
      .toSorted(([, left], [, right]) => right - left)
      .slice(0, 8)
      .map(([name, count]) => `${name === '' ? '(none)' : name} ${count}`)
      .join(', ') || '-';
  return [
    ['agents', `${agents.total}: ${agents.connected} connected, ${agents.away} away`],
    ['health', counts(agents.health)],
    ['config status', counts(agents.status)],
    ['against desired', counts(agents.sync)],
    ['versions', counts(agents.versions)],
    ['groups', fleet.groups.map(({ name, connected }) => `${name ?? '(none)'} ${connected}`).join(', ')],
    ['gateways', `${fleet.gateways.alive}${fleet.gateways.draining > 0 ? `, ${fleet.gateways.draining} draining` : ''}`],
    ['configs', String(fleet.configs)],
    [
      'rollouts',
      fleet.rollouts
        .map(({ id, group, to, direction, held }) => `${id} (${group} -> ${to.name}@${to.version}, ${held ? 'held' : direction})`)
        .join(', ') || 'none active',
    ],
    ['frozen', fleet.frozen ? 'yes: no offers but rollbacks' : 'no'],
  ];
}
