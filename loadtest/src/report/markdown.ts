/** The report as Markdown. */
import { formatBytes, formatFigure, formatNumber, formatSeconds } from './format.ts';
import { isGood, type RolloutFigures, type RunResults, type ScenarioResult } from './results.ts';

/** A Markdown table. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Column titles of {@link rolloutRow}. */
export const ROLLOUT_HEADER: readonly string[] = [
  'rollout',
  'config',
  't50',
  't95',
  't99',
  't100',
  'all waves, without soaks',
  'tail share',
  'offer→ack p50',
  'p95',
  'p99',
  'p99.9',
  'max',
  'Redis commands/agent',
  'script calls/agent',
  'gateway CPU/agent',
];

/** One rollout as cells; completion times count from the start of the last wave. */
export function rolloutRow({
  label,
  configBytes,
  lastWave,
  withoutSoaksMs,
  offerToAckMs,
  redisCommandsPerAgent,
  redisScriptsPerAgent,
  gatewayCpuUsPerAgent,
}: RolloutFigures): readonly string[] {
  const ms = (value: number | undefined): string => (value === undefined ? '–' : `${formatNumber(value)} ms`);
  return [
    label,
    formatBytes(configBytes),
    formatSeconds(lastWave.t50),
    formatSeconds(lastWave.t95),
    formatSeconds(lastWave.t99),
    formatSeconds(lastWave.t100),
    formatSeconds(withoutSoaksMs),
    lastWave.tailShare === null || !Number.isFinite(lastWave.tailShare) ? '–' : `${formatNumber(lastWave.tailShare * 100)}%`,
    ms(offerToAckMs?.p50),
    ms(offerToAckMs?.p95),
    ms(offerToAckMs?.p99),
    ms(offerToAckMs?.p999),
    ms(offerToAckMs?.max),
    formatNumber(redisCommandsPerAgent),
    formatNumber(redisScriptsPerAgent),
    gatewayCpuUsPerAgent === null ? '–' : `${formatNumber(gatewayCpuUsPerAgent)} µs`,
  ];
}

/** Most that each process used in a scenario. */
export function processRows({ samples }: ScenarioResult): readonly (readonly string[])[] {
  const names = [...new Set(samples.flatMap(({ processes }) => Object.keys(processes)))];
  return names.map((name) => {
    const own = samples.flatMap(({ processes }) => processes[name] ?? []);
    const most = (values: readonly (number | undefined)[]): number | undefined => {
      const known = values.filter((value) => value !== undefined);
      return known.length === 0 ? undefined : Math.max(...known);
    };
    const mean = own.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0) / own.length;
    return [
      name,
      `${formatNumber(mean)}%`,
      `${formatNumber(most(own.map(({ cpuPercent }) => cpuPercent)))}%`,
      `${formatNumber(most(own.map(({ rssMb }) => rssMb)))} MB`,
      formatNumber(most(own.map(({ loopP99Ms }) => loopP99Ms))),
      formatNumber(most(own.map(({ loopMaxMs }) => loopMaxMs))),
    ];
  });
}

export const PROCESS_HEADER: readonly string[] = ['process', 'CPU mean', 'CPU max', 'RSS max', 'loop delay p99, ms', 'loop delay max, ms'];

function scenarioText(scenario: ScenarioResult): string {
  const { title, name, seconds, differences, comparedAgents, figures, rollouts, notes = [], tables = [] } = scenario;
  const parts = [`## ${title} (\`${name}\`, ${formatNumber(seconds)} s)`];
  parts.push(
    differences.length === 0
      ? `Oracle: the server's record equals the agents' own, ${formatNumber(comparedAgents)} agents compared.`
      : `**${comparedAgents === 0 ? 'Nothing was compared' : `Oracle: ${differences.length} differences`}**\n\n${differences.map((text) => `- ${text}`).join('\n')}`,
  );
  parts.push(...notes);
  for (const entry of tables) parts.push(`${entry.title}:`, table(entry.header, entry.rows));
  if (rollouts.length > 0) parts.push(table(ROLLOUT_HEADER, rollouts.map(rolloutRow)));
  if (figures.length > 0)
    parts.push(
      table(
        ['what', 'value'],
        figures.map((entry) => [entry.label, formatFigure(entry)]),
      ),
    );
  const processes = processRows(scenario);
  if (processes.length > 0) parts.push(table(PROCESS_HEADER, processes));
  return parts.join('\n\n');
}

/** Facts about where and how a run took place, as pairs. */
export function contextRows({ startedAt, command, machine, setup }: RunResults): readonly (readonly [string, string])[] {
  return [
    ['command', command],
    ['started', startedAt],
    [
      'machine',
      `${machine.cpus} × ${machine.cpu}, ${formatNumber(machine.memoryGb)} GB, ${machine.os}; load average at the start ${machine.loadAverage.toFixed(2)}`,
    ],
    ['versions', `opamp-gateway ${machine.product}, Node ${machine.node}, ${machine.redis}`],
    [
      'set-up',
      Object.entries(setup)
        .map(([key, value]) => `${key} ${String(value)}`)
        .join(', '),
    ],
  ];
}

/** The whole report. */
export function toMarkdown(results: RunResults): string {
  const verdict = isGood(results)
    ? 'Every scenario ended with the same record on both sides.'
    : `**The run failed${results.error === undefined ? '' : `: ${results.error}`}.**`;
  return `${[
    '# Load test',
    verdict,
    table(['', ''], contextRows(results)),
    'Completion times (t50 … t100) count from the start of the last wave; the tail share is (t100 − t99) ÷ t100; all waves without soaks is the time from the creation of the rollout to the last agent, less the soaks. Offer→ack is measured at the agents and contains their simulated time of applying. CPU and Redis commands per agent cover the whole rollout, heartbeats included; commands count those inside scripts.',
    ...results.scenarios.map(scenarioText),
  ].join('\n\n')}\n`;
}
