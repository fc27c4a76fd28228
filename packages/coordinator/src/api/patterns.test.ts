import { expect, it } from 'vitest';
import { createFakeApi, uidOf } from '../../test-support/api-fakes.ts';
import { wordsOfPattern } from './patterns.ts';
import { renderOpenApi } from './render-openapi.ts';

function patternsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === 'pattern' && typeof inner === 'string' ? [inner] : patternsIn(inner)));
}

it('there are words for every pattern that the API checks', async () => {
  const patterns = new Set(patternsIn(await renderOpenApi()));
  expect(patterns.size).toBeGreaterThan(5);
  for (const pattern of patterns) expect(wordsOfPattern(pattern), pattern).toMatch(/^(?:be|have) /);
});

it('a label whose name does not fit is named, once', async () => {
  const { call } = await createFakeApi();
  const answer = await call('PUT', `/agents/${uidOf(1)}/labels`, { labels: { 'a b': '1' } });
  expect(answer.body).toMatchObject({ status: 422, errors: [{ path: 'labels.a b', message: expect.stringMatching(/^must be 1 to 128/) }] });
  expect(answer.body['errors']).toHaveLength(1);
});
