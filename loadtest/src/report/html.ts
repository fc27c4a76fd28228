/** The report as one HTML file without any other file, script or address. */
import { formatFigure, formatNumber } from './format.ts';
import { contextRows, PROCESS_HEADER, processRows, ROLLOUT_HEADER, rolloutRow } from './markdown.ts';
import { isGood, type ProcessSample, type RunResults, type ScenarioResult } from './results.ts';
import { drawPlot, escape, type Series } from './svg.ts';

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#1e293b;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-size:13px;display:block;overflow-x:auto}td,th{border:1px solid #cbd5e1;padding:.25rem .5rem;text-align:left;vertical-align:top}
th{background:#f1f5f9}svg{width:100%;height:auto;margin:.5rem 0}.t{font:600 14px system-ui}.a{font:11px system-ui;fill:#475569}.g{stroke:#e2e8f0}.m{stroke:#94a3b8;stroke-dasharray:3 3}
.good{color:#166534}.bad{color:#b91c1c}code{font-size:13px}`;

function htmlTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: 'td' | 'th', row: readonly string[]): string => row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('');
  const head = header.every((title) => title === '') ? '' : `<tr>${cells('th', header)}</tr>`;
  return `<table>${head}${rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('')}</table>`;
}

function processSeries({ samples }: ScenarioResult, value: (sample: ProcessSample) => number | undefined): readonly Series[] {
  const names = [...new Set(samples.flatMap(({ processes }) => Object.keys(processes)))];
  return names.map((name) => ({
    name,
    points: samples.flatMap(({ atS, processes }) => {
      const sample = processes[name];
      const number = sample === undefined ? undefined : value(sample);
      return number === undefined ? [] : [[atS, number] as const];
    }),
  }));
}

function rolloutPlots({ rollouts }: ScenarioResult): readonly string[] {
  return rollouts.map(({ label, remaining, waves }) =>
    drawPlot({
      title: `${label}: agents that have not applied it yet`,
      unit: 'agents',
      series: [{ name: 'remaining', points: remaining }],
      marks: waves.map(({ name, atS }) => ({ atS, text: `${name} begins` })),
      log: true,
    }),
  );
}

function latencyPlot({ rollouts }: ScenarioResult): string {
  const rows = rollouts.flatMap(({ label, offerToAckMs }) =>
    offerToAckMs === undefined
      ? []
      : [{ label, values: [offerToAckMs.p50, offerToAckMs.p95, offerToAckMs.p99, offerToAckMs.p999, offerToAckMs.max] }],
  );
  if (rows.length === 0) return '';
  const names = ['p50', 'p95', 'p99', 'p99.9', 'max'];
  const most = Math.max(1, ...rows.flatMap(({ values }) => values));
  const bars = rows.map(({ label, values }, row) => {
    const top = 34 + row * 100;
    const own = values.map((value, index) => {
      const y = top + 6 + index * 15;
      const width = ((value / most) * 560).toFixed(1);
      return `<text x="230" y="${y + 10}" class="a" text-anchor="end">${names[index] ?? ''}</text><rect x="238" y="${y}" width="${width}" height="11" fill="#0b6fa4" opacity="${1 - index * 0.15}"/><text x="${(246 + Number(width)).toFixed(1)}" y="${y + 10}" class="a">${formatNumber(value)} ms</text>`;
    });
    return `<text x="0" y="${top + 16}" class="a">${escape(label)}</text>${own.join('')}`;
  });
  return `<svg viewBox="0 0 880 ${44 + rows.length * 100}" role="img" aria-label="Offer to acknowledgement"><text x="0" y="16" class="t">Offer → acknowledgement, at the agents, with the simulated time of applying</text>${bars.join('')}</svg>`;
}

function resourcePlots(scenario: ScenarioResult): readonly string[] {
  const { samples, marks } = scenario;
  const single = (name: string, value: (sample: ScenarioResult['samples'][number]) => number | undefined): readonly Series[] => [
    { name, points: samples.flatMap((sample) => (value(sample) === undefined ? [] : [[sample.atS, value(sample) ?? 0] as const])) },
  ];
  return [
    drawPlot({ title: 'CPU by process', unit: '% of a core', series: processSeries(scenario, ({ cpuPercent }) => cpuPercent), marks }),
    drawPlot({ title: 'Resident memory by process', unit: 'MB', series: processSeries(scenario, ({ rssMb }) => rssMb), marks }),
    drawPlot({ title: 'Event-loop delay, p99', unit: 'ms', series: processSeries(scenario, ({ loopP99Ms }) => loopP99Ms), marks }),
    drawPlot({ title: 'Redis commands', unit: '/s', series: single('commands', ({ redisCommandsPerS }) => redisCommandsPerS), marks }),
    drawPlot({ title: 'Open connections', unit: '', series: single('connections', ({ connections }) => connections), marks }),
  ];
}

function scenarioHtml(scenario: ScenarioResult): string {
  const { name, title, seconds, differences, comparedAgents, figures, rollouts, notes = [], tables = [] } = scenario;
  const verdict =
    differences.length === 0
      ? `<p class="good">Oracle: the server's record equals the agents' own, ${formatNumber(comparedAgents)} agents compared.</p>`
      : `<p class="bad">${comparedAgents === 0 ? 'Nothing was compared' : `Oracle: ${differences.length} differences`}</p><ul>${differences.map((text) => `<li>${escape(text)}</li>`).join('')}</ul>`;
  const processes = processRows(scenario);
  return [
    `<h2 id="${escape(name)}">${escape(title)}</h2><p>${formatNumber(seconds)} s</p>`,
    verdict,
    ...notes.map((text) => `<p>${escape(text)}</p>`),
    ...tables.map((entry) => `<p>${escape(entry.title)}</p>${htmlTable(entry.header, entry.rows)}`),
    rollouts.length > 0 ? htmlTable(ROLLOUT_HEADER, rollouts.map(rolloutRow)) : '',
    figures.length > 0
      ? htmlTable(
          ['what', 'value'],
          figures.map((entry) => [entry.label, formatFigure(entry)]),
        )
      : '',
    ...rolloutPlots(scenario),
    latencyPlot(scenario),
    ...resourcePlots(scenario),
    processes.length > 0 ? htmlTable(PROCESS_HEADER, processes) : '',
  ].join('\n');
}

/** The whole report. */
export function toHtml(results: RunResults): string {
  const verdict = isGood(results)
    ? '<p class="good">Every scenario ended with the same record on both sides.</p>'
    : `<p class="bad">The run failed${results.error === undefined ? '' : `: ${escape(results.error)}`}.</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Load test ${escape(results.startedAt)}</title><style>${STYLE}</style></head>
<body><h1>Load test</h1>
${verdict}
${htmlTable(['', ''], contextRows(results))}
<p>Completion times (t50 … t100) count from the start of the last wave; the tail share is (t100 − t99) ÷ t100; all waves without soaks is the time from the creation of the rollout to the last agent, less the soaks. CPU and Redis commands per agent cover the whole rollout, heartbeats included; commands count those inside scripts.</p>
${results.scenarios.map(scenarioHtml).join('\n')}
</body></html>
`;
}
