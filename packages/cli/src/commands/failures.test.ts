import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runWith, startFakeCoordinator } from '../../test-support/fake-api.ts';
import type { FakeCoordinator } from '../../test-support/fake-api.ts';

const UID = '0190aaaa-0000-7000-8000-000000000001';

let api: FakeCoordinator;
beforeEach(async () => {
  api = await startFakeCoordinator();
  api.on('GET /rollouts/r1/failures', () => ({
    items: [{ uid: UID, status: 'failed', wave: '0', error: 'unknown type kafka2 in /etc/1' }],
    total: 900,
    nextCursor: null,
    groups: {
      total: 815,
      omitted: 2,
      byMessage: [
        { status: 'failed', message: 'unknown type kafka2\u001b[31m', count: 812, examples: [UID] },
        { status: 'lost', message: 'went away', count: 3, examples: [] },
      ],
      byVersion: [{ version: '0.149.0', count: 815, examples: [UID] }],
      byStratum: [{ stratum: { region: 'eu', 'os.type': 'linux' }, count: 815, examples: [UID] }],
    },
  }));
});
afterEach(async () => {
  await api.close();
});

describe('rollout failures', () => {
  const run = (...args: string[]) => runWith(['rollout', 'failures', 'r1', '--url', api.url, ...args]);

  it('shows groups, each with its count and an agent', async () => {
    const { code, out } = await run();
    expect(code).toBe(0);
    // No agent is read for it.
    expect(api.requests.map(({ path }) => path)).toEqual(['/rollouts/r1/failures?limit=0']);
    expect(out).toBe(
      [
        'AGENTS  BY       WHAT                              FOR EXAMPLE',
        `   812  message  failed: unknown type kafka2 [31m  ${UID}`,
        '     3  message  lost: went away                   -',
        `   815  version  0.149.0                           ${UID}`,
        `   815  stratum  region=eu, os.type=linux          ${UID}`,
        'and 2 agents that are not counted here',
        '',
      ].join('\n'),
    );
  });

  it('lists agents, and prints the whole answer as JSON', async () => {
    const agents = await run('--agents', '--limit', '1');
    expect(agents.out).toContain('unknown type kafka2 in /etc/1');
    expect(agents.err).toContain('and 899 more');
    expect(JSON.parse((await run('--json')).out)).toMatchObject({ groups: { total: 815 }, items: [{ uid: UID }] });
    expect(api.requests.map(({ path }) => path)).toEqual(['/rollouts/r1/failures?limit=1', '/rollouts/r1/failures?limit=1000']);
  });
});
