// Writes the generated part of reference pages: what stands between `<!-- generated: NAME -->` and
// `<!-- end of generated part -->`. The text around it is written by hand. `--check` compares instead of writing.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
// The two processes' own lists of metrics, read here and nowhere else outside them.
// oxlint-disable-next-line no-restricted-imports
import { createCoordinatorEvents } from '@opamp-gateway/coordinator/events';
// oxlint-disable-next-line no-restricted-imports
import { GatewayEvents } from '@opamp-gateway/gateway/events';
import { renderConfigurationTable } from '@opamp-gateway/shared/environment';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createMetrics } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';

interface Page {
  /** Relative to docs/. */
  readonly file: string;
  /** Name in the opening marker. */
  readonly part: string;
  readonly render: () => string | Promise<string>;
}

const PAGES: readonly Page[] = [
  { file: 'configuration.md', part: 'configuration', render: renderConfigurationTable },
  { file: 'metrics.md', part: 'gateway metrics', render: () => renderMetrics(new GatewayEvents(createSilentLogger()).metrics) },
  { file: 'metrics.md', part: 'coordinator metrics', render: () => renderMetrics(coordinatorMetrics()) },
];

function coordinatorMetrics(): Metrics {
  const metrics = createMetrics('opamp_coordinator');
  createCoordinatorEvents({ metrics, logger: createSilentLogger() });
  return metrics;
}

async function renderMetrics(metrics: Metrics): Promise<string> {
  metrics.close();
  const rows = (await metrics.describe()).map(
    ({ name, kind, labels, help }) => `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  return ['| metric | kind | labels | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

const END = '<!-- end of generated part -->';
const check = process.argv.includes('--check');
const docs = new URL('../docs/', import.meta.url);

for (const { file, part, render } of PAGES) {
  const url = new URL(file, docs);
  const start = `<!-- generated: ${part} -->`;
  const text = existsSync(url) ? readFileSync(url, 'utf8') : '';
  const from = text.indexOf(start);
  const to = text.indexOf(END, from);
  if (from < 0 || to < 0) {
    console.error(`docs/${file} needs a line "${start}" and after it a line "${END}"`);
    process.exitCode = 1;
    continue;
  }
  const next = `${text.slice(0, from)}${start}\n\n${(await render()).trim()}\n\n${text.slice(to)}`;
  if (next === text) continue;
  if (check) {
    console.error(`not current: docs/${file}`);
    process.exitCode = 1;
  } else {
    writeFileSync(url, next);
  }
}
