import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderOpenApi } from './render-openapi.ts';
import { isProblemType, PROBLEMS, renderProblemTable } from './problem.ts';

const page = (name: string): string => readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), 'utf8');

describe('problem types', () => {
  it('stand in docs/errors.md, all of them and no other', () => {
    expect(page('errors.md')).toContain(renderProblemTable());
  });

  it('that docs/limits.md names exist', () => {
    for (const [, name] of page('limits.md').matchAll(/\/problems\/([a-z-]+)/g)) expect(isProblemType(name ?? ''), name).toBe(true);
  });

  it('are all used by some call of the OpenAPI document, or by no call in particular', async () => {
    const text = JSON.stringify((await renderOpenApi())['paths']);
    const general = new Set(['route-not-found', 'problem-not-found', 'method-not-allowed', 'unsupported-media-type']);
    for (const type of Object.keys(PROBLEMS)) if (!general.has(type)) expect(text, type).toContain(`/problems/${type}`);
  });
});
