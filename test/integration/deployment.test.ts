/** What is shipped for deployment, held against the programs and against the tools that will read it. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { OPTIONS } from '@opamp-gateway/shared/environment';
import { expect, test, type TestContext } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const CHART = join(ROOT, 'deploy/helm/opamp-gateway');
const run = promisify(execFile);

/** Skips the test, with its reason in the report, where the tool is not there or does not work at all. */
async function needTool(context: TestContext, tool: string, ...probe: readonly string[]): Promise<void> {
  try {
    await run(tool, probe);
  } catch {
    process.stdout.write(`skipped: ${context.task.name}: there is no ${tool} on the PATH\n`);
    context.skip(`there is no ${tool} on the PATH`);
  }
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } & Readonly<Record<string, unknown>>;
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly enableServiceLinks: boolean;
        readonly containers: readonly {
          readonly env: readonly { readonly name: string; readonly value?: string }[];
          readonly securityContext: Readonly<Record<string, unknown>>;
        }[];
      };
    };
  };
}

async function renderChart(...settings: readonly string[]): Promise<readonly Manifest[]> {
  const sets = ['apiTokens.existingSecret=tokens', ...settings].flatMap((setting) => ['--set', setting]);
  const { stdout } = await run('helm', ['template', 'prod', CHART, '--kube-version', '1.30.0', ...sets]);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

test('npm hands signals on to every command', async () => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  expect(Object.keys(scripts)).toContain('gateway');
  // npm signals its shell, which does not pass signals on: without `exec` a gateway would outlive its npm, and would not drain.
  for (const [name, command] of Object.entries(scripts)) expect(command, name).toBe(`exec node scripts/run.mjs ${name}`);
});

test('every OPAMP_ variable that a deployment file sets is one that a program reads', async () => {
  const entries = await readdir(join(ROOT, 'deploy'), { recursive: true, withFileTypes: true });
  const files = [
    join(ROOT, 'docker-compose.yml'),
    join(ROOT, 'Dockerfile'),
    ...entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
  ];
  const unknown: string[] = [];
  let seen = 0;
  for (const file of files) {
    for (const [name] of (await readFile(file, 'utf8')).matchAll(/\bOPAMP_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_)/gu)) {
      seen += 1;
      if (!(name in OPTIONS)) unknown.push(`${file.slice(ROOT.length + 1)}: ${name}`);
    }
  }
  expect(unknown).toEqual([]);
  expect(seen).toBeGreaterThan(10);
});

test('the metric by which gateways are scaled is one that gateways have', async () => {
  const metrics = await readFile(join(ROOT, 'docs/metrics.md'), 'utf8');
  const chart = await readFile(join(CHART, 'templates/gateway.yaml'), 'utf8');
  const [, metric = ''] = /metric: \{ name: (\w+) \}/u.exec(chart) ?? [];
  expect(metric).not.toBe('');
  expect(metrics).toContain(`\`${metric}\``);
});

test('a gateway has the same Node options however it is started', async () => {
  const text = async (file: string): Promise<string> => await readFile(join(ROOT, file), 'utf8');
  const [, list = ''] = /^const GATEWAY = \[\.\.\.COMPILED, (.+)\];$/mu.exec(await text('scripts/commands.mjs')) ?? [];
  const options = [...list.matchAll(/'(--[^']+)'/gu)].map(([, option = '']) => option);
  expect(options).toHaveLength(2);
  await run(process.execPath, [...options, '--version']);
  expect(await text('Dockerfile')).toContain(`options="$options ${options.join(' ')}"`);
  expect(await text('deploy/systemd/opamp-gateway@.service')).toContain(`--enable-source-maps ${options.join(' ')} /opt/`);
  expect(await text('loadtest/src/demo/processes.ts')).toContain(`gateway: ['--enable-source-maps', ${list}],`);
});

test('docker-compose takes docker-compose.yml', async (context) => {
  await needTool(context, 'docker-compose', 'version');
  const { stdout } = await run('docker-compose', ['-f', join(ROOT, 'docker-compose.yml'), 'config', '--services']);
  expect(stdout.trim().split('\n')).toEqual(expect.arrayContaining(['redis', 'coordinator-1', 'gateway-1', 'load-balancer', 'prometheus']));
});

test('systemd takes the units', async (context) => {
  await needTool(context, 'systemd-analyze', '--version');
  const folder = await mkdtemp(join(tmpdir(), 'opamp-units-'));
  context.onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  for (const [from, to] of [
    ['opamp-gateway@.service', 'opamp-gateway@1.service'],
    ['opamp-coordinator.service', 'opamp-coordinator.service'],
  ] as const) {
    const unit = await readFile(join(ROOT, 'deploy/systemd', from), 'utf8');
    // The program is where the unit's first lines say, not on this machine.
    const here = unit.replace(/^ExecStart=\S+/mu, 'ExecStart=/bin/sh').replace(/^Documentation=.*$/mu, '');
    await writeFile(join(folder, to), here);
    const { stderr } = await run('systemd-analyze', ['verify', '--recursive-errors=no', join(folder, to)]);
    expect(stderr).toBe('');
  }
});

test('helm takes the chart, and what it renders belongs together', async (context) => {
  await needTool(context, 'helm', 'version');
  await run('helm', ['lint', '--strict', CHART, '--set', 'apiTokens.existingSecret=tokens']);
  const manifests = await renderChart('gateway.autoscaling.enabled=true', 'podMonitor.enabled=true', 'gateway.drainSeconds=40');
  expect(manifests.map(({ kind }) => kind).toSorted()).toEqual([
    'Deployment',
    'Deployment',
    'HorizontalPodAutoscaler',
    'NetworkPolicy',
    'NetworkPolicy',
    'PodDisruptionBudget',
    'PodDisruptionBudget',
    'PodMonitor',
    'Secret',
    'Service',
    'Service',
  ]);
  for (const { kind, spec } of manifests.filter((manifest) => manifest.kind === 'Deployment')) {
    const pod = spec.template;
    expect(pod?.metadata.labels, kind).toMatchObject(spec.selector?.matchLabels ?? {});
    expect(pod?.spec.enableServiceLinks).toBe(false);
    for (const { env, securityContext } of pod?.spec.containers ?? []) {
      expect(env.filter(({ name }) => !(name in OPTIONS))).toEqual([]);
      expect(securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
    }
  }
  const gateway = manifests.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name.endsWith('-gateway'));
  expect(gateway?.spec.template?.spec.containers[0]?.env).toContainEqual({ name: 'OPAMP_GATEWAY_DRAIN_MS', value: '40000' });
  expect(gateway?.spec.template?.spec.terminationGracePeriodSeconds).toBeGreaterThan(40 + 5);
});

test('the chart brings the alert rules, and the files that settings name', async (context) => {
  await needTool(context, 'helm', 'version');
  const manifests = await renderChart(
    'prometheusRule.enabled=true',
    ...['gateway', 'coordinator'].flatMap((part) => [
      `${part}.extraVolumes[0].name=tls`,
      `${part}.extraVolumes[0].secret.secretName=opamp-tls`,
      `${part}.extraVolumeMounts[0].name=tls`,
      `${part}.extraVolumeMounts[0].mountPath=/etc/opamp/tls`,
    ]),
  );
  const rules = await readFile(join(ROOT, 'deploy/prometheus/rules/opamp.rules.yml'), 'utf8');
  expect(manifests.find(({ kind }) => kind === 'PrometheusRule')?.spec).toEqual(parse(rules));
  const pods = manifests.flatMap(({ kind, spec }) => (kind === 'Deployment' ? [spec.template?.spec] : []));
  expect(pods).toHaveLength(2);
  for (const pod of pods) {
    expect(pod).toMatchObject({ volumes: expect.arrayContaining([{ name: 'tls', secret: { secretName: 'opamp-tls' } }]) as unknown });
    expect(pod?.containers[0]).toMatchObject({
      volumeMounts: expect.arrayContaining([{ name: 'tls', mountPath: '/etc/opamp/tls' }]) as unknown,
    });
  }
});

test('the chart refuses values that would not work', async (context) => {
  await needTool(context, 'helm', 'version');
  await expect(renderChart('gateway.replica=3')).rejects.toThrow('replica');
  await expect(renderChart('env.REDIS_URL=x')).rejects.toThrow('REDIS_URL');
  await expect(renderChart('apiTokens.existingSecret=')).rejects.toThrow('loopback only');
});
