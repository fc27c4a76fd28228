/** Our validation beside `otelcol validate`: a config that we refuse is refused by a real collector, or the reason is on record. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readCorpus, readExamples } from '../support/validation-corpus.ts';
import type { CorpusEntry } from '../support/validation-corpus.ts';
import { describeInterop } from './support/suite.ts';

/** Two at a time: each run takes a tenth of a second of one core. */
const PARALLEL = 2;
const DEADLINE_MS = 60_000;
/** What configs of the corpus and the examples take from the environment. */
const VARIABLES = {
  OTLP_ENDPOINT: 'localhost:4317',
  HDR: 'h',
  A: 'a',
  RECV: 'otlp',
  K: 'k',
  X: 'x',
  HOSTNAME: 'host',
  GATEWAY_TOKEN: 'token',
};

describeInterop('validation of configs', (binaries) => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'opamp-judge-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const judge = async (name: string, text: string): Promise<{ verdict: 'accepts' | 'refuses'; error: string }> => {
    const file = path.join(folder, `${name}.yaml`);
    await writeFile(file, text);
    const argv = Object.entries(VARIABLES).map(([key, value]) => `${key}=${value}`);
    const child = spawn('env', [...argv, binaries().judge, 'validate', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let error = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      error += chunk;
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
      child.once('error', reject);
      child.once('close', (exit) => {
        clearTimeout(timer);
        resolve(exit);
      });
    });
    if (code === null) throw new Error(`the collector did not judge ${name} within ${DEADLINE_MS / 1_000} s`);
    return { verdict: code === 0 ? 'accepts' : 'refuses', error };
  };

  test(
    'agrees with the record on every config of the corpus, and each difference has its reason there',
    { timeout: 1_200_000 },
    async () => {
      const waiting = readCorpus().filter(({ real }) => real !== 'not comparable');
      const wrong: string[] = [];
      const work = async (): Promise<void> => {
        for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
          const { verdict, error } = await judge(entry.name, entry.text);
          wrong.push(...problemsOf(entry, verdict, error));
        }
      };
      await Promise.all(Array.from({ length: PARALLEL }, work));
      expect(wrong).toEqual([]);
    },
  );

  test('of the examples refuses those that are called invalid, as far as it has their components', { timeout: 300_000 }, async () => {
    const outcomes: Record<string, string> = {};
    for (const { name, text } of readExamples()) {
      const { verdict, error } = await judge(name, text);
      outcomes[name] = error.includes('unknown type:') ? 'not comparable' : verdict;
    }
    const invalid = Object.entries(outcomes).filter(([name]) => name.includes('-invalid-'));
    expect(invalid.filter(([, outcome]) => outcome === 'accepts')).toEqual([]);
    expect(invalid.filter(([, outcome]) => outcome === 'refuses').length).toBeGreaterThanOrEqual(13);
    const valid = Object.entries(outcomes).filter(([name]) => name.includes('-valid-'));
    expect(valid.filter(([, outcome]) => outcome === 'refuses')).toEqual([]);
  });

  test('leaves out what stands in a second document, which is why we refuse it', { timeout: DEADLINE_MS }, async () => {
    const config = (exporter: string): string =>
      `receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [${exporter}]}}}\n`;
    expect((await judge('one', config('missing'))).verdict).toBe('refuses');
    expect((await judge('two', `${config('debug')}---\n${config('missing')}`)).verdict).toBe('accepts');
  });
});

function problemsOf({ name, codes, real, why }: CorpusEntry, verdict: string, error: string): string[] {
  const problems: string[] = [];
  if (verdict !== real) problems.push(`${name}: the collector ${verdict} it, on record is that it ${real}: ${error.slice(0, 300)}`);
  const agree = codes.length > 0 === (verdict === 'refuses');
  if (!agree && (why ?? '') === '')
    problems.push(`${name}: we say ${codes.join(', ') || 'nothing'}, the collector ${verdict} it, and no reason is on record`);
  return problems;
}
