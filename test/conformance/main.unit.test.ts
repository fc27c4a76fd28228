import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { startReferenceServer } from './reference/reference-server.ts';
import type { StartedServer } from './target.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

let server: StartedServer | undefined;
const directory = mkdtempSync(join(tmpdir(), 'conformance-main-'));

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the command line as a process of its own. */
const runMain = async (args: readonly string[]): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> => {
  const child = spawn(process.execPath, ['--conditions=source', MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  return { code, out, err };
};

const lastLine = (text: string): string | undefined => text.trimEnd().split('\n').at(-1);

test('nothing failed: exit code 0, totals in the last line, the report as JSON', async () => {
  server = await startReferenceServer();
  const file = join(directory, 'report.json');
  const { code, out } = await runMain(['--url', server.target.httpUrl, '--only', '44,102', '--json', file]);
  expect(code).toBe(0);
  expect(lastLine(out)).toBe('1 passed, 0 failed, 1 not applicable');
  expect(out).toContain('A5 Capabilities');
  const report: unknown = JSON.parse(readFileSync(file, 'utf8'));
  expect(report).toMatchObject({ totals: { passed: 1, failed: 0, notApplicable: 1 } });
});

test('something failed: exit code 1', async () => {
  server = await startReferenceServer({ fault: 'no-capabilities' });
  const { code, out } = await runMain(['--url', server.target.url, '--only', '44', '--transport', 'http', '--quiet']);
  expect(code).toBe(1);
  expect(lastLine(out)).toBe('0 passed, 1 failed, 0 not applicable');
  expect(out).not.toContain('A5 Capabilities');
});

test.each([
  [[], '--url is missing'],
  [['--url', 'ws://127.0.0.1:1/', '--only', 'x'], '--only'],
  [['--url', 'ws://127.0.0.1:1/', '--transport', 'udp'], '--transport'],
  [['--url', 'ws://127.0.0.1:1/', '--deadline-ms', '0'], '--deadline-ms'],
  [['--ulr', 'ws://127.0.0.1:1/'], '--ulr'],
])('a wrong command line %j: exit code 2 and what is wrong', async (args, what) => {
  const { code, err } = await runMain(args);
  expect(code).toBe(2);
  expect(err).toContain(what);
});
