// Writes the generated part of reference pages: what stands between `<!-- generated: NAME -->` and
// `<!-- end of generated part -->`. The text around it is written by hand. `--check` compares instead of writing.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
// Reference pages show what the processes themselves go by, so this file looks deeper into them than anything else may.
/* oxlint-disable no-restricted-imports */
import { renderRoleTable } from '@opamp-gateway/coordinator/access/roles';
import { renderProblemTable } from '@opamp-gateway/coordinator/api/problem';
import { createCoordinatorEvents } from '@opamp-gateway/coordinator/events';
import { parseStrategy } from '@opamp-gateway/coordinator/rollout/strategy-parser';
import { toStrategyView } from '@opamp-gateway/coordinator/rollout/strategy-view';
import { STRATEGY_PRESETS } from '@opamp-gateway/coordinator/rollout/strategy';
import { ROLLOUT_TRANSITIONS, WAVE_TRANSITIONS } from '@opamp-gateway/coordinator/rollout/transition';
import { GatewayEvents } from '@opamp-gateway/gateway/events';
/* oxlint-enable no-restricted-imports */
import { DECISIONS } from '../test/conformance/decisions.ts';
import { renderProtocolTable } from '../test/conformance/protocol-table.ts';
import { REGISTRY } from '../test/conformance/registry.ts';
import { renderAgreement } from '../test/support/validation-corpus.ts';
import { renderConfigurationTable } from '@opamp-gateway/shared/environment';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createMetrics } from '@opamp-gateway/shared/metrics';
import type { Metrics } from '@opamp-gateway/shared/metrics';
import { UNSETTLED_STATUSES } from '@opamp-gateway/shared/rollout-types';

interface Page {
  /** Relative to docs/. */
  readonly file: string;
  /** Name in the opening marker. */
  readonly part: string;
  readonly render: () => string | Promise<string>;
}

const PAGES: readonly Page[] = [
  { file: 'api.md', part: 'roles', render: renderRoleTable },
  { file: 'configuration.md', part: 'configuration', render: renderConfigurationTable },
  { file: 'errors.md', part: 'problem types', render: renderProblemTable },
  { file: 'metrics.md', part: 'gateway metrics', render: () => renderMetrics(gatewayMetrics()) },
  { file: 'metrics.md', part: 'coordinator metrics', render: () => renderMetrics(coordinatorMetrics()) },
  { file: 'protocol.md', part: 'checks', render: () => renderProtocolTable(REGISTRY, DECISIONS) },
  { file: 'rollout.md', part: 'phases of a rollout', render: renderRolloutPhases },
  { file: 'rollout.md', part: 'phases of a wave', render: renderWavePhases },
  { file: 'rollout.md', part: 'moves of an agent', render: renderMoves },
  { file: 'rollout.md', part: 'default strategy', render: () => json(toStrategyView(parseStrategy({}, []))) },
  { file: 'rollout.md', part: 'presets', render: renderPresets },
  { file: 'validation.md', part: 'agreement', render: renderAgreement },
];

function gatewayMetrics(): Metrics {
  const events = new GatewayEvents(createSilentLogger());
  const none = (): number => 0;
  const no = (): boolean => false;
  events.show({
    connections: none,
    exchanges: none,
    connectionsLimit: none,
    agents: none,
    unhealthy: none,
    dirty: none,
    waitingOffers: none,
    claiming: none,
    generation: none,
    holdsLease: no,
    redisUp: no,
  });
  return events.metrics;
}

function coordinatorMetrics(): Metrics {
  const metrics = createMetrics('opamp_coordinator');
  createCoordinatorEvents({ metrics, logger: createSilentLogger(), isRedisUp: () => true });
  return metrics;
}

async function renderMetrics(metrics: Metrics): Promise<string> {
  metrics.close();
  const rows = (await metrics.describe()).map(
    ({ name, kind, labels, help }) => `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  return ['| metric | kind | labels | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** One row for each trigger, one column for each phase. */
function renderMatrix<Cell>(
  table: Readonly<Record<string, Readonly<Record<string, Cell>>>>,
  text: (cell: Cell, phase: string) => string,
): string {
  const phases = Object.keys(table);
  const triggers = Object.keys(Object.values(table)[0] ?? {});
  const row = (trigger: string): string =>
    `| \`${trigger}\` | ${phases.map((phase) => text(table[phase]?.[trigger] as Cell, phase)).join(' | ')} |`;
  return [
    `| | ${phases.map((phase) => `\`${phase}\``).join(' | ')} |`,
    `|---|${phases.map(() => '---|').join('')}`,
    ...triggers.map(row),
  ].join('\n');
}

function renderRolloutPhases(): string {
  return renderMatrix(ROLLOUT_TRANSITIONS, (cell, phase) => (typeof cell !== 'string' ? '' : cell === phase ? 'stays' : `→ \`${cell}\``));
}

function renderWavePhases(): string {
  return renderMatrix(WAVE_TRANSITIONS, (cell) => (cell === null ? '' : `→ \`${cell}\``));
}

/** The table that the scripts go by, as it stands in their common part. */
function renderMoves(): string {
  const lua = readFileSync(new URL('../packages/shared/lua/common.lua', import.meta.url), 'utf8');
  const body = /^local MOVES = \{\n(.*?)^\}/ms.exec(lua)?.[1] ?? '';
  const rows = [...body.matchAll(/^ {2}(\w+) = \{(.*?)\},$/gm)].map(([, from = '', to = '']) => {
    const targets = [...to.matchAll(/(\w+) = 1/g)].map(([, status = '']) => `\`${status}\``);
    return `| \`${from}\` | ${[...UNSETTLED_STATUSES].some((status) => status === from) ? 'yes' : ''} | ${targets.join(', ')} |`;
  });
  if (rows.length === 0) throw new Error('common.lua has no table MOVES');
  return ['| status | waits for something | may become |', '|---|---|---|', ...rows].join('\n');
}

function renderPresets(): string {
  return Object.entries(STRATEGY_PRESETS)
    .map(([name, strategy]) => `\`${name}\`\n\n${json(strategy)}`)
    .join('\n\n');
}

/** A code block with one member a line, nested ones in one. */
function json(value: Readonly<Record<string, unknown>>): string {
  const line = (member: unknown): string => JSON.stringify(member).replaceAll(/([,:])(?=["[{\d-]|null|true|false)/g, '$1 ');
  const members = Object.entries(value).map(([name, member]) => {
    const list = Array.isArray(member) && member.some((item) => typeof item === 'object');
    return `  "${name}": ${list ? `[\n${(member as unknown[]).map((item) => `    ${line(item)}`).join(',\n')}\n  ]` : line(member)}`;
  });
  return `\`\`\`json\n{${members.length === 0 ? '' : `\n${members.join(',\n')}\n`}}\n\`\`\``;
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
