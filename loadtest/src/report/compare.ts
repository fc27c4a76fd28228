/** Two runs side by side. */
import { table } from './markdown.ts';
import { formatFigure, formatNumber, formatSeconds } from './format.ts';
import type { RolloutFigures, RunResults } from './results.ts';

interface Comparable {
  readonly value: number | null;
  readonly text: string;
}

function rolloutFigures(rollout: RolloutFigures): readonly (readonly [string, Comparable])[] {
  const seconds = (ms: number | null): Comparable => ({ value: ms, text: formatSeconds(ms) });
  const plain = (value: number | null | undefined, unit: string): Comparable => ({
    value: value ?? null,
    text: value === null || value === undefined ? '–' : `${formatNumber(value)} ${unit}`.trimEnd(),
  });
  return [
    ['t50', seconds(rollout.lastWave.t50)],
    ['t99', seconds(rollout.lastWave.t99)],
    ['t100', seconds(rollout.lastWave.t100)],
    ['all waves, without soaks', seconds(rollout.withoutSoaksMs ?? null)],
    ['offer→ack p99', plain(rollout.offerToAckMs?.p99, 'ms')],
    ['Redis commands per agent', plain(rollout.redisCommandsPerAgent, '')],
    ['Redis script calls per agent', plain(rollout.redisScriptsPerAgent, '')],
    ['gateway CPU per agent', plain(rollout.gatewayCpuUsPerAgent, 'µs')],
  ];
}

function comparablesOf({ scenarios }: RunResults): ReadonlyMap<string, Comparable> {
  return new Map(
    scenarios.flatMap(({ name, figures, rollouts }) => [
      ...figures.map((entry) => [`${name}: ${entry.label}`, { value: entry.value, text: formatFigure(entry) }] as const),
      ...rollouts.flatMap((rollout) =>
        rolloutFigures(rollout).map(([what, value]) => [`${name}: ${rollout.label}, ${what}`, value] as const),
      ),
    ]),
  );
}

function change(from: number | null | undefined, to: number | null | undefined): string {
  if (from === null || from === undefined || to === null || to === undefined || from === 0) return '–';
  const percent = Math.round((to / from - 1) * 100);
  return `${percent > 0 ? '+' : ''}${percent}%`;
}

/** A Markdown table of everything that either run measured. */
export function compareRuns(left: RunResults, right: RunResults): string {
  const [first, second] = [comparablesOf(left), comparablesOf(right)];
  const keys = [...new Set([...first.keys(), ...second.keys()])];
  const rows = keys.map((key) => {
    const [one, other] = [first.get(key), second.get(key)];
    return [key, one?.text ?? '–', other?.text ?? '–', change(one?.value, other?.value)];
  });
  const context = (run: RunResults): string => `${run.startedAt}, \`${run.command}\`, opamp-gateway ${run.machine.product}`;
  return `A: ${context(left)}\n\nB: ${context(right)}\n\n${table(['what', 'A', 'B', 'change'], rows)}\n`;
}
