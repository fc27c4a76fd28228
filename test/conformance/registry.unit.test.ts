import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DECISIONS } from './decisions.ts';
import { renderProtocolTable } from './protocol-table.ts';
import { allChecks, REGISTRY } from './registry.ts';

const CHECK_COUNT = 173;

test('every number from 1 to 173 is there exactly once, in order within its section', () => {
  const ids = allChecks().map(({ id }) => id);
  expect(ids.toSorted((left, right) => left - right)).toEqual(Array.from({ length: CHECK_COUNT }, (_, index) => index + 1));
  for (const section of REGISTRY) {
    const own = section.checks.map(({ id }) => id);
    expect(own, section.key).toEqual(own.toSorted((left, right) => left - right));
  }
});

test('every section names the file that it is in', () => {
  for (const { file } of REGISTRY) expect(existsSync(join(import.meta.dirname, 'sections', file)), file).toBe(true);
});

test('titles are unique', () => {
  const titles = allChecks().map(({ title }) => title);
  expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
});

test('every decision is about a check', () => {
  const ids = new Set(allChecks().map(({ id }) => id));
  expect([...DECISIONS.keys()].filter((id) => !ids.has(id))).toEqual([]);
});

test('the protocol table has one row per check, with its decision', () => {
  const table = renderProtocolTable(REGISTRY, DECISIONS);
  const rows = table.split('\n').filter((line) => /^\| \d+ \|/.test(line));
  expect(rows).toHaveLength(CHECK_COUNT);
  expect(rows.every((row) => row.split(/(?<!\\)\|/).length === 8)).toBe(true);
  expect(table).toContain(DECISIONS.get(13));
  expect(table).toContain('test/conformance/sections/a6-state.ts');
});
