import type { FailureGroup, RolloutFailures } from './api-types.ts';
import type { Paint } from './paint.ts';
import { renderTable } from './table.ts';

interface Line {
  by: string;
  what: string;
  group: FailureGroup;
}

/** Failures of a rollout as one table: by message, then by version, then by stratum. */
export function renderFailures({ groups }: Pick<RolloutFailures, 'groups'>, width: number, paint: Paint): string {
  if (groups.total === 0) return 'no agent failed\n';
  const lines: Line[] = [
    ...groups.byMessage.map((group) => ({ by: 'message', what: `${group.status}: ${group.message}`, group })),
    ...groups.byVersion.map((group) => ({ by: 'version', what: group.version === '' ? '(none)' : group.version, group })),
    ...groups.byStratum.map((group) => ({ by: 'stratum', what: describeStratum(group.stratum), group })),
  ];
  const table = renderTable(
    lines,
    [
      { title: 'AGENTS', value: ({ group }) => String(group.count), align: 'right' },
      { title: 'BY', value: ({ by }) => by },
      { title: 'WHAT', value: ({ what }) => what, cut: true },
      { title: 'FOR EXAMPLE', value: ({ group }) => group.examples[0] ?? '-' },
    ],
    width,
    paint,
  );
  return groups.omitted === 0 ? table : `${table}and ${groups.omitted} agents that are not counted here\n`;
}

function describeStratum(stratum: Readonly<Record<string, string>>): string {
  return Object.entries(stratum)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}
