import { describe, expect, it } from 'vitest';
import type { AgentReader } from './bus/agent-reader.ts';
import { createGroupCheck } from './group-check.ts';
import type { ConfigStore } from './stores/config-store.ts';
import { validateConfigFiles } from './validation/collector-config.ts';

const ref = (version: number) => ({ name: 'base', version, hash: `h${version}` });
const GROUP = { name: 'g', selector: '', priority: 0, mode: 'manage', stable: null, previous: null } as never;

function checkOf(bodies: Record<string, string>) {
  const files = (body: string) => ({ '': { body, contentType: 'text/yaml' } });
  return createGroupCheck({
    configs: {
      files: async (hash: string) => (bodies[hash] === undefined ? undefined : files(bodies[hash])),
      versions: async () => [],
    } as unknown as ConfigStore,
    agents: { facets: async () => [], componentLists: async () => new Map() } as unknown as AgentReader,
    validate: validateConfigFiles,
  });
}

const lines = (count: number, text: string): string => Array.from({ length: count }, (_, index) => `${text}${index}: 1\n`).join('');

describe('the diff of a preview', () => {
  it('counts the lines that differ', async () => {
    const check = checkOf({ h1: 'a: 1\nb: 2\n', h2: 'a: 1\nb: 3\nc: 4\n' });
    expect(await check.diff(ref(1), ref(2))).toEqual({
      unified: '--- base@1\n+++ base@2\n@@ -1,2 +1,3 @@\n a: 1\n-b: 2\n+b: 3\n+c: 4\n',
      added: 2,
      removed: 1,
      truncated: false,
    });
  });

  it('is empty for the same content, whatever its name, and reads nothing for that', async () => {
    const same = { ...ref(1), name: 'other', version: 7 };
    expect(await checkOf({}).diff(ref(1), same)).toEqual({ unified: '', added: 0, removed: 0, truncated: false });
  });

  it('is cut at the end of a line, and counts what it does not show', async () => {
    const check = checkOf({ h1: lines(9_000, 'old_and_long_'), h2: lines(9_500, 'new_and_long_') });
    const { unified, added, removed, truncated } = await check.diff(ref(1), ref(2));
    expect([added, removed, truncated]).toEqual([9_500, 9_000, true]);
    expect(unified.length).toBeLessThanOrEqual(64 * 1024);
    expect(unified.endsWith('\n')).toBe(true);
  });
});

describe('the findings of a preview', () => {
  it('are counted in full and listed up to a limit, errors first', async () => {
    const unused = Array.from({ length: 60 }, (_, index) => `  debug/${index}: {}\n`).join('');
    const text = `receivers: {otlp: {protocols: {grpc: {}}}}\nexporters:\n${unused}service: {pipelines: {traces: {receivers: [otlp], exporters: [debug/0, none]}}}\n`;
    const { validation } = await checkOf({ h1: text }).check(GROUP, ref(1));
    expect(validation.errors).toBe(1);
    expect(validation.warnings).toBeGreaterThanOrEqual(59);
    expect(validation.findings).toHaveLength(50);
    expect(validation.findings.filter(({ severity }) => severity === 'error').map(({ code }) => code)).toEqual(['E_REF']);
  });
});
