/** Alert rules and dashboard, held against the metrics that there are and against the tool that will read them. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const RULES = join(ROOT, 'deploy/prometheus/rules/opamp.rules.yml');
const TESTS = join(ROOT, 'deploy/prometheus/rules/opamp.rules.test.yml');
const DASHBOARD = join(ROOT, 'deploy/grafana/dashboards/opamp.json');
const run = promisify(execFile);

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string; readonly description: string };
    }[];
  }[];
}

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
  }[];
}

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

async function readRules(): Promise<Rules['groups'][number]['rules']> {
  const { groups } = parse(await readFile(RULES, 'utf8')) as Rules;
  return groups.flatMap(({ rules }) => rules);
}

/** Metrics of the tables in docs/metrics.md, with the series that a histogram has. */
async function documented(): Promise<ReadonlyMap<string, readonly string[]>> {
  const page = await readFile(join(ROOT, 'docs/metrics.md'), 'utf8');
  const metrics = new Map<string, readonly string[]>();
  for (const [, name = '', kind = '', labels = ''] of page.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) \|/gm)) {
    const known = [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label);
    metrics.set(name, known);
    if (kind === 'histogram') for (const suffix of ['bucket', 'sum', 'count']) metrics.set(`${name}_${suffix}`, [...known, 'le']);
  }
  return metrics;
}

/** Metrics of ours in an expression, each with the labels that its selector names. */
function metricsIn(expression: string): readonly { readonly name: string; readonly labels: readonly string[] }[] {
  return [...expression.matchAll(/\b(opamp_\w+)(?:\{([^}]*)\})?/g)].map(([, name = '', selector = '']) => ({
    name,
    labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  }));
}

async function expectKnown(expressions: readonly string[]): Promise<void> {
  const known = await documented();
  const used = expressions.flatMap(metricsIn);
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter(({ name }) => !known.has(name)).map(({ name }) => name)).toEqual([]);
  const strange = used.flatMap(({ name, labels }) =>
    labels.filter((label) => known.get(name)?.includes(label) !== true).map((label) => `${name} ${label}`),
  );
  expect(strange).toEqual([]);
}

test('the alert rules name metrics and labels that there are', async () => {
  await expectKnown((await readRules()).map(({ expr }) => expr));
});

test('every alert says what it is, how much it matters and what to do, and has a case in which it goes off and one in which not', async () => {
  const rules = await readRules();
  const { tests } = parse(await readFile(TESTS, 'utf8')) as RuleTests;
  const cases = tests.flatMap((one) => one.alert_rule_test);
  for (const { alert, labels, annotations } of rules) {
    expect(['info', 'warning', 'critical'], alert).toContain(labels.severity);
    expect(annotations.summary.length, alert).toBeGreaterThan(10);
    expect(annotations.description.length, alert).toBeGreaterThan(10);
    const own = cases.filter(({ alertname }) => alertname === alert);
    expect(own.filter(({ exp_alerts }) => exp_alerts.length > 0).length, alert).toBe(1);
    expect(own.length, alert).toBe(2);
  }
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  expect(cases.length).toBe(2 * rules.length);
});

test('promtool takes the rules, and they behave as their tests say', async (context) => {
  try {
    await run('promtool', ['--version']);
  } catch {
    process.stdout.write('skipped: there is no promtool on the PATH (Debian: apt-get install prometheus)\n');
    context.skip('there is no promtool on the PATH');
  }
  await run('promtool', ['check', 'rules', RULES]);
  const { stdout } = await run('promtool', ['test', 'rules', TESTS], { cwd: dirname(TESTS) });
  expect(stdout).toContain('SUCCESS');
});

test('the dashboard shows metrics and labels that there are', async () => {
  const { panels } = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  await expectKnown(expressions);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { type, title, targets } of panels) if (type !== 'row') expect(targets?.length ?? 0, title).toBeGreaterThan(0);
});

test('Prometheus and Grafana of docker-compose.yml find what is here', async () => {
  const compose = parse(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')) as {
    services: Record<string, { volumes: string[]; profiles?: string[] }>;
  };
  const prometheus = parse(await readFile(join(ROOT, 'deploy/prometheus/prometheus.yml'), 'utf8')) as { rule_files: string[] };
  expect(compose.services['prometheus']?.volumes).toContain('./deploy/prometheus:/etc/prometheus:ro');
  expect(prometheus.rule_files).toEqual(['rules/*.rules.yml']);
  const provider = parse(await readFile(join(ROOT, 'deploy/grafana/provisioning/dashboards/opamp.yml'), 'utf8')) as {
    providers: { options: { path: string } }[];
  };
  const path = provider.providers[0]?.options.path ?? '';
  expect(compose.services['grafana']).toMatchObject({ profiles: ['grafana'] });
  expect(compose.services['grafana']?.volumes).toContain(`./deploy/grafana/dashboards:${path}:ro`);
});
