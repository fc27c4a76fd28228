import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { oldName } from './component-set.ts';
import { COMPONENT_KINDS, SIGNALS } from './ids.ts';
import { DEFAULT_SIGNALS, lookUp } from './signals-table.ts';

const FACTS = JSON.parse(readFileSync(new URL('../../../../test/fixtures/configs/signals.json', import.meta.url), 'utf8')) as Record<
  string,
  Record<string, unknown>
> & {
  aliases: Record<string, Record<string, string>>;
};

const TABLES = ['receivers', 'processors', 'exporters', 'connectors'] as const;

describe('DEFAULT_SIGNALS', () => {
  it.each(TABLES)('agrees with the recorded facts about %s', (kind) => {
    for (const [type, signals] of Object.entries(FACTS[kind] ?? {})) {
      // A real 0.159 takes it in logs pipelines too.
      const more = type === 'hostmetrics' ? ['logs'] : [];
      expect([type, lookUp<readonly string[]>(DEFAULT_SIGNALS[kind], type)]).toEqual([type, [...(signals as string[]), ...more]]);
    }
  });

  it('gives a renamed type the signals of its old name', () => {
    for (const kind of TABLES) {
      for (const [type, signals] of Object.entries(DEFAULT_SIGNALS[kind])) {
        const old = oldName(kind, type);
        if (old !== undefined) expect([type, lookUp<readonly string[]>(DEFAULT_SIGNALS[kind], old)]).toEqual([type, signals]);
      }
    }
  });

  it('names only signals that exist', () => {
    const known: readonly string[] = SIGNALS;
    for (const kind of TABLES) {
      for (const signals of Object.values<readonly string[]>(DEFAULT_SIGNALS[kind])) {
        expect(signals.length).toBeGreaterThan(0);
        for (const part of signals.flatMap((signal) => signal.split('>'))) expect(known).toContain(part);
      }
    }
  });

  it('knows nothing of types that it does not list', () => {
    expect(lookUp(DEFAULT_SIGNALS.receivers, 'never_heard_of')).toBeUndefined();
    expect(lookUp(DEFAULT_SIGNALS.receivers, 'constructor')).toBeUndefined();
  });
});

describe('renamed types', () => {
  it('agree with the recorded facts', () => {
    for (const kind of COMPONENT_KINDS) {
      for (const [current, old] of Object.entries(FACTS.aliases[kind] ?? {}))
        expect([current, oldName(kind, current)]).toEqual([current, old]);
    }
  });
});
