import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { validateCollectorConfig } from './collector-config.ts';
import type { ReportedComponents } from './validation-context.ts';

const FILE = new URL('../../../../test/fixtures/validation-corpus.jsonl', import.meta.url);
const ENTRIES = readFileSync(FILE, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as { name: string; codes: string[]; real: string; why?: string; text: string });

/** Types of the build that judged (test/interop/judge/builder.yaml), also under the names that it takes and does not list. */
const COMPONENTS: ReportedComponents = {
  receivers: ['file_log', 'filelog', 'host_metrics', 'hostmetrics', 'otlp'],
  processors: ['attributes', 'batch', 'filter', 'memory_limiter', 'probabilistic_sampler', 'resource', 'tail_sampling', 'transform'],
  exporters: ['debug', 'file', 'nop', 'otlp_grpc', 'otlp', 'otlp_http', 'otlphttp'],
  connectors: ['forward', 'span_metrics', 'spanmetrics'],
  extensions: ['file_storage', 'health_check', 'pprof', 'zpages'],
};

describe('configs that a real collector has judged', () => {
  it('give exactly the codes on record', () => {
    const differing = ENTRIES.flatMap(({ name, codes, text }) => {
      const { findings } = validateCollectorConfig(text, { components: COMPONENTS });
      const found = [...new Set(findings.filter(({ severity }) => severity === 'error').map(({ code }) => code))].toSorted();
      return JSON.stringify(found) === JSON.stringify(codes) ? [] : [{ name, found, onRecord: codes }];
    });
    expect(differing).toEqual([]);
  });

  it('are refused by the collector where we refuse them, or the harm is on record', () => {
    const tooStrict = ENTRIES.filter(({ codes, real, why }) => codes.length > 0 && real === 'accepts' && why === undefined);
    expect(tooStrict.map(({ name }) => name)).toEqual([]);
    expect(ENTRIES.length).toBeGreaterThan(400);
  });
});
