import type { Command } from 'commander';
import type { Drift, DriftSurvey } from '../api-types.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { repeatable } from '../repeat.ts';
import { formatCounts, formatRef } from '../rollout-text.ts';
import { renderTable } from '../table.ts';
import { parseCount } from './configs.ts';

/** Differences of one agent that a field list shows. */
const SHOWN_DIFFERENCES = 10;

/** `opampctl drift` */
export function addDriftCommand(program: Command, context: Context): void {
  const command = program
    .command('drift')
    .description('connected agents that run something else than they should; exit code 1 when there are any and --check is given')
    .option('-s, --selector <selector>', 'over attributes, and labels as label.NAME')
    .option('-g, --group <name>', 'effective group, - for agents of none')
    .option('--compare <n>', 'most agents compared, chosen at random (default 200, at most 2000)')
    .option('--limit <n>', 'most drifted agents shown', '100')
    .option('--check', 'exit with code 1 when an agent has drifted');
  repeatable(command, context, async (options: { selector?: string; group?: string; compare?: string; limit: string; check?: boolean }) => {
    const survey = await context.api.get<DriftSurvey>('/fleet/drift', {
      selector: options.selector,
      group: options.group,
      compare: options.compare === undefined ? undefined : parseCount(options.compare, '--compare'),
      limit: parseCount(options.limit, '--limit'),
    });
    context.show(survey, () => `${renderDrifted(survey, context)}${summaryOf(survey)}\n`);
    if (options.check === true && survey.states.drifted > 0) context.exitCode = EXIT.error;
  });
}

/** Lines about the drift of one agent; none where the API does not tell it. */
export function driftFields(drift: Drift | undefined): [string, string][] {
  if (drift === undefined) return [];
  const lines = drift.differences.slice(0, SHOWN_DIFFERENCES).map((difference) => ['', formatDifference(difference)] as [string, string]);
  const left = drift.differences.length - lines.length;
  return [
    ['drift', `${drift.state}${drift.reason === '' ? '' : `: ${drift.reason}`}`],
    ...lines,
    ...(left > 0 || drift.truncated ? [['', `and ${left > 0 ? left : ''} more`.replace('  ', ' ')] as [string, string]] : []),
  ];
}

function renderDrifted({ items }: DriftSurvey, context: Context): string {
  if (items.length === 0) return '';
  const rows = items.flatMap(({ uid, group, desired, drift: { differences } }) =>
    differences.slice(0, SHOWN_DIFFERENCES).map((difference, index) => ({
      uid: index === 0 ? uid : '',
      group: index === 0 ? (group ?? '-') : '',
      desired: index === 0 ? formatRef(desired) : '',
      difference: formatDifference(difference),
    })),
  );
  return renderTable(
    rows,
    [
      { title: 'UID', value: ({ uid }) => uid },
      { title: 'GROUP', value: ({ group }) => group, cut: true },
      { title: 'DESIRED', value: ({ desired }) => desired, cut: true },
      { title: 'DIFFERENCE', value: ({ difference }) => difference, cut: true },
    ],
    context.terminal.columns ?? Number.POSITIVE_INFINITY,
    context.paint,
  );
}

function summaryOf({ agents, compared, sampled, estimated, states }: DriftSurvey): string {
  const of = sampled ? ` of ${estimated ? 'about ' : ''}${agents}, chosen at random` : '';
  const counts = formatCounts({
    drifted: states.drifted,
    'as they should': states.none,
    pending: states.pending,
    'not known': states.unknown,
  });
  return `compared ${compared} connected agents${of}: ${counts || 'nothing to compare'}`;
}

function formatDifference({ path, change, desired, effective }: Drift['differences'][number]): string {
  return change === 'missing' ? `${path}: ${desired} is missing` : `${path}: ${desired} -> ${effective ?? ''}`;
}
