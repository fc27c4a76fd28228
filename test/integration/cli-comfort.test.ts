import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { collectorConfig } from '../support/collector-config.ts';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { Deployment } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';
import { opampctl, OPAMPCTL_ARGS, runProgram } from './cli-program.ts';

const stack = shareStack({ gateways: 1, coordinators: 1 });

it('doctor, drift, import and completion work against a running stack', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'opampctl-comfort-'));
  context.onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const env = { HOME: directory };
  expect(await opampctl(['context', 'set', 'here', '--url', stack().apiUrl], env)).toMatchObject({ code: 0 });

  const fleet = await useFleet(context, stack(), { name: 'comfort', agents: 6 });
  const deployment = await Deployment.create(stack().api, fleet);
  await deployment.prove('proven');
  await waitUntil(
    'no agent to differ from its config',
    async () => await opampctl(['drift', '-s', fleet.selector, '--check'], env),
    ({ code, out }) => code === 0 && out.includes('compared 6 connected agents: as they should 6'),
  );
  const doctor = await opampctl(['doctor'], env);
  expect(doctor.out).toMatch(/^ok +gateways +1 alive with 6 agents$/m);
  expect(doctor.out).toMatch(/^ok +address +http:\S+ \(context here\)$/m);
  expect(doctor.out).toMatch(/^ok +clock/m);
  expect(doctor).toMatchObject({ code: 0 });

  const { uid } = await fleet.record(0);
  const imported = await opampctl(['config', 'import', '--agent', uid, '--name', 'baseline', '-o', '-'], env);
  expect(imported.out).toContain('endpoint: 127.0.0.1:4317');
  expect(imported.out).toContain(`# Drafted from what agent ${uid} ran at`);

  const shim = join(directory, 'opampctl');
  await writeFile(shim, `#!/bin/sh\nexec "${process.execPath}" ${OPAMPCTL_ARGS.map((word) => `"${word}"`).join(' ')} "$@"\n`);
  await chmod(shim, 0o755);
  const script = `eval "$(opampctl completion bash)"; COMP_WORDS=(opampctl group delete com); COMP_CWORD=3; _opampctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const completed = await runProgram('bash', ['-c', script], { env: { ...env, PATH: `${directory}:${process.env['PATH'] ?? ''}` } });
  expect(completed).toMatchObject({ code: 0, out: 'comfort\n' });
});

it('stores by force what is only wrong, and never what would keep a supervisor from starting', async () => {
  const env = { OPAMP_API_URL: stack().apiUrl };
  const directory = await mkdtemp(join(tmpdir(), 'opampctl-force-'));
  try {
    const push = async (text: string, ...more: string[]) => {
      await writeFile(join(directory, 'c.yaml'), text);
      return await opampctl(['config', 'push', 'forced', join(directory, 'c.yaml'), ...more], env);
    };
    const wrong = collectorConfig('wrong').replace('exporters: [debug]', 'exporters: [debgu]');
    const refused = await push(wrong);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('--force --reason TEXT stores it all the same');
    expect(await push(wrong, '--force', '--reason', 'a build of ours')).toMatchObject({ code: 0 });
    expect((await opampctl(['audit', '--json'], env)).out).toContain('"a build of ours"');
    const bricking = await push(`${wrong}\nexporters: {}\n`, '--force', '--reason', 'I insist');
    expect(bricking.code).toBe(1);
    expect(bricking.err).toContain('it cannot be forced');
  } finally {
    await rm(directory, { recursive: true });
  }
});
