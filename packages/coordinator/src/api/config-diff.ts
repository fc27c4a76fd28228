import { parse } from 'yaml';
import { unifiedDiff } from './unified-diff.ts';
import type { ConfigFiles } from '../stores/config-store.ts';

/** One key whose value differs. */
export interface StructuralChange {
  file: string;
  /** Keys and list indices joined by `::`; empty for a whole file. */
  path: string;
  change: 'added' | 'removed' | 'changed';
  from?: unknown;
  to?: unknown;
}

/** Changes listed at most. */
export const MAX_STRUCTURAL_CHANGES = 1000;

/** What differs between two configs, as text and by key. A file that is no YAML is compared as text only. */
export function diffConfigs(
  from: ConfigFiles,
  to: ConfigFiles,
  titles: { from: string; to: string },
): { unified: string; structural: StructuralChange[]; truncated: boolean } {
  const changes: StructuralChange[] = [];
  for (const name of namesOf(from, to)) {
    const left = from[name]?.body;
    const right = to[name]?.body;
    if (left === right) continue;
    if (left === undefined || right === undefined) changes.push({ file: name, path: '', change: left === undefined ? 'added' : 'removed' });
    else compareTexts(name, left, right, changes);
  }
  const unified = diffTexts(from, to, titles);
  return { unified, structural: changes.slice(0, MAX_STRUCTURAL_CHANGES), truncated: changes.length > MAX_STRUCTURAL_CHANGES };
}

/** What differs between two configs as text: one unified diff for each file that differs. */
export function diffTexts(from: ConfigFiles, to: ConfigFiles, titles: { from: string; to: string }): string {
  return namesOf(from, to)
    .map((name) => {
      const suffix = name === '' ? '' : `/${name}`;
      const both = { from: `${titles.from}${suffix}`, to: `${titles.to}${suffix}` };
      return unifiedDiff(from[name]?.body ?? '', to[name]?.body ?? '', both);
    })
    .join('');
}

function namesOf(from: ConfigFiles, to: ConfigFiles): string[] {
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].toSorted();
}

function compareTexts(file: string, left: string, right: string, changes: StructuralChange[]): void {
  try {
    compare(file, '', parse(left) as unknown, parse(right) as unknown, changes);
  } catch {
    // Not YAML, or not one that can be read as plain data: the text diff says it all.
  }
}

function compare(file: string, path: string, left: unknown, right: unknown, changes: StructuralChange[]): void {
  if (changes.length > MAX_STRUCTURAL_CHANGES || left === right) return;
  if (!isContainer(left) || !isContainer(right) || Array.isArray(left) !== Array.isArray(right)) {
    if (!(isEmpty(left) && isEmpty(right))) changes.push({ file, path, change: 'changed', from: left, to: right });
    return;
  }
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  for (const key of keys) {
    const at = path === '' ? key : `${path}::${key}`;
    const had = Object.hasOwn(left, key);
    const has = Object.hasOwn(right, key);
    const before = (left as Record<string, unknown>)[key];
    const after = (right as Record<string, unknown>)[key];
    if (had && has) compare(file, at, before, after, changes);
    else if (has) changes.push({ file, path: at, change: 'added', to: after });
    else changes.push({ file, path: at, change: 'removed', from: before });
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** An omitted value and an explicit null are the same to a collector. */
function isEmpty(value: unknown): boolean {
  return value === null || value === undefined;
}
