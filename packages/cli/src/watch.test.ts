import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runWith, sendProblem, startFakeCoordinator } from '../test-support/fake-api.ts';
import type { CliRun, FakeCoordinator, RunOptions } from '../test-support/fake-api.ts';

let api: FakeCoordinator;
beforeEach(async () => {
  api = await startFakeCoordinator();
});
afterEach(() => api.close());

async function cli(args: string[], options: RunOptions = {}): Promise<CliRun> {
  return await runWith(args[1] === 'watch' ? [...args, '--interval', '20ms'] : args, { ...options, env: { OPAMP_API_URL: api.url } });
}

const ROLLOUT = {
  id: 'r1',
  rev: 1,
  phase: 'running',
  holds: [] as string[],
  holdDetails: [] as { reason: string; since: string; detail: string }[],
  waveIndex: 0,
  waves: [{ phase: 'converging', counts: {} }],
  counts: { applied: 3, failed: 1 },
  group: 'prod',
  from: null,
  to: { name: 'base', version: 2, hash: 'ab' },
  createdAt: '2026-01-02T03:04:05Z',
  createdBy: 'bob',
  reason: '',
  endedAt: null,
  outcome: '',
  warnings: [],
  fleetFrozen: false,
};

function event(seq: number, phase: string, type = 'changed'): string {
  const to = { phase, waveIndex: 0, wavePhase: 'converging', holds: [] };
  return `id: ${seq}\ndata: ${JSON.stringify({ seq, at: '2026-01-02T03:04:05Z', type, from: null, to, actor: 'system', detail: '' })}\n\n`;
}

/** Serves a rollout whose phase changes with the calls, and a stream of these chunks. */
function serve(phases: Partial<typeof ROLLOUT>[], chunks: string[]): void {
  let call = 0;
  api.on('GET /rollouts/r1', () => ({ ...ROLLOUT, ...phases[Math.min(call++, phases.length - 1)] }));
  api.on('GET /rollouts/r1/events', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const chunk of chunks) response.write(chunk);
    response.end();
  });
}

describe('rollout watch', () => {
  it.each([
    ['succeeded', 0],
    ['rolled_back', 2],
    ['cancelled', 4],
    ['rollback_failed', 5],
  ])('a rollout that ends %s exits %i', async (phase, code) => {
    serve([{ phase, outcome: 'because' }], [event(1, 'running', 'created'), event(2, phase), 'event: end\ndata: {}\n\n']);
    const run = await cli(['rollout', 'watch', 'r1']);
    expect(run.code).toBe(code);
    expect(run.out).toContain(`rollout r1 ${phase}: because  (applied 3, failed 1)`);
  });

  it('points to the failures where there are some, and to the events of a rollout that somebody aborted', async () => {
    serve([{ phase: 'rolled_back' }], ['event: end\ndata: {}\n\n']);
    const asked: string[] = [];
    const failuresOf = (total: number) => (request: { path: string }) => {
      asked.push(request.path);
      return { items: [], total, groups: { total, omitted: 0 }, nextCursor: null };
    };
    api.on('GET /rollouts/r1/failures', failuresOf(1));
    expect((await cli(['rollout', 'watch', 'r1'])).err).toContain('next: `opampctl rollout failures r1`');
    serve([{ phase: 'rolled_back' }], ['event: end\ndata: {}\n\n']);
    api.on('GET /rollouts/r1/failures', failuresOf(0));
    const aborted = await cli(['rollout', 'watch', 'r1']);
    expect(aborted.err).toContain('next: `opampctl rollout events r1`');
    expect(aborted.err).not.toContain('failures');
    expect(asked, 'no agent is read for that').toEqual(['/rollouts/r1/failures?limit=0', '/rollouts/r1/failures?limit=0']);
  });

  it('goes on while the rollout runs, and tells its counts', async () => {
    serve([{}, { counts: { applied: 4, failed: 1 } }, { phase: 'succeeded' }], []);
    const run = await cli(['rollout', 'watch', 'r1']);
    expect(run.code).toBe(0);
    expect(run.out).toContain('running, wave 1/1: applied 3, failed 1');
    expect(run.out).toContain('running, wave 1/1: applied 4, failed 1');
  });

  it('exits 3 when the rollout waits for a person, and says what to do', async () => {
    let now = 0;
    serve([{ holds: ['approval'], holdDetails: [{ reason: 'approval', since: '2026-01-02T03:04:05Z', detail: 'wave 2' }] }], []);
    const run = await cli(['rollout', 'watch', 'r1'], { nowMs: () => (now += 2000) });
    expect(run.code).toBe(3);
    expect(run.err).toContain('rollout r1 is held: approval (wave 2)');
    expect(run.err).toContain('`opampctl rollout promote r1`');
  });

  it('says when the fleet is frozen and when it is not any more, each once, and goes on', async () => {
    serve([{ fleetFrozen: true }, { fleetFrozen: true }, { fleetFrozen: false }, { phase: 'succeeded' }], []);
    const run = await cli(['rollout', 'watch', 'r1']);
    expect(run.code).toBe(0);
    expect(run.err.match(/the fleet is frozen/g)).toHaveLength(1);
    expect(run.err).toContain('opampctl unfreeze');
    expect(run.err.match(/not frozen any more/g)).toHaveLength(1);
    serve([{ fleetFrozen: true }], []);
    expect((await cli(['rollout', 'get', 'r1'])).out).toMatch(/^held: +the fleet is frozen/m);
  });

  it('waits out holds that end by themselves', async () => {
    let now = 0;
    serve([{ holds: ['lagging_gateway'] }, { holds: ['window_closed'] }, { phase: 'succeeded' }], []);
    expect((await cli(['rollout', 'watch', 'r1'], { nowMs: () => (now += 10_000) })).code).toBe(0);
  });

  it('exits 3 after --timeout, while the rollout goes on', async () => {
    let now = 0;
    serve([{}], []);
    const run = await cli(['rollout', 'watch', 'r1', '--timeout', '1m'], { nowMs: () => (now += 20_000) });
    expect(run.code).toBe(3);
    expect(run.err).toContain('did not end in time');
  });

  it('exits 1 for a rollout that is not there', async () => {
    for (const path of ['/rollouts/r1', '/rollouts/r1/events']) {
      api.on(`GET ${path}`, (_request, response) => sendProblem(response, 404, 'rollout-not-found', 'there is no rollout r1'));
    }
    const run = await cli(['rollout', 'watch', 'r1']);
    expect(run.code).toBe(1);
    expect(run.err).toContain('there is no rollout r1');
  });

  it('survives answers of 503, and takes the stream up where it broke', async () => {
    let calls = 0;
    api.on('GET /rollouts/r1', (_request, response) => {
      calls += 1;
      return calls === 1
        ? sendProblem(response, 503, 'unavailable', 'Redis is away')
        : { ...ROLLOUT, phase: calls < 3 ? 'running' : 'succeeded' };
    });
    const seen: (string | undefined)[] = [];
    api.on('GET /rollouts/r1/events', ({ headers }, response) => {
      seen.push(headers['last-event-id'] as string | undefined);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (seen.length === 1) response.end(event(1, 'running', 'first'));
      else response.end(event(2, 'succeeded', 'second'));
    });
    const run = await cli(['rollout', 'watch', 'r1']);
    expect(run.code).toBe(0);
    expect(seen.slice(0, 2)).toEqual(['0', '1']);
    expect(run.out.match(/first/g)).toHaveLength(1);
  });

  it('prints one JSON object per line with --json', async () => {
    serve([{ phase: 'rolled_back' }], [event(1, 'rolled_back'), 'event: end\ndata: {}\n\n']);
    const run = await cli(['rollout', 'watch', 'r1', '--json']);
    expect(run.code).toBe(2);
    const lines = run.out.trimEnd().split('\n');
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object)[0])).toEqual(['event', 'rollout']);
  });

  it('ends with code 1 when it is interrupted, and says that the rollout goes on', async () => {
    const interrupt = new AbortController();
    api.on('GET /rollouts/r1', () => ROLLOUT);
    api.on('GET /rollouts/r1/events', (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n', () => interrupt.abort());
    });
    const run = await cli(['rollout', 'watch', 'r1'], { interrupted: interrupt.signal });
    expect(run.code).toBe(1);
    expect(run.err).toContain('the rollout goes on');
  });
});

describe('rollout start', () => {
  it('sends what is given, with the newest version of the config', async () => {
    api.on('GET /configs/base', () => ({ name: 'base', version: 7 }));
    api.on('POST /rollouts', () => ({ id: 'r1', rev: 1, warnings: ['no_way_back'], created: true }));
    const run = await cli([
      'rollout',
      'start',
      '-g',
      'prod',
      '-c',
      'base',
      '--strategy',
      'fast',
      '--baseline',
      'old@2',
      '--reason',
      'why',
      '--idempotency-key',
      'k1',
      '--supersede',
    ]);
    expect(run).toEqual({ code: 0, out: 'r1\n', err: expect.stringMatching(/^warning: no_way_back: .*--baseline names one\n$/) });
    const request = api.requests.at(-1);
    expect(request?.body).toEqual({
      group: 'prod',
      config: { name: 'base', version: 7 },
      strategy: 'fast',
      baseline: { name: 'old', version: 2 },
      reason: 'why',
      supersede: true,
    });
    expect(request?.headers['idempotency-key']).toBe('k1');
  });

  it('reads the strategy from a file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'opampctl-'));
    const file = join(directory, 'strategy.json');
    await writeFile(file, '{"rate":"unlimited"}');
    api.on('POST /rollouts', () => ({ id: 'r1', created: true }));
    await cli(['rollout', 'start', '-g', 'prod', '-c', 'base@1', '--strategy', file]);
    expect(api.requests.at(-1)?.body).toMatchObject({ strategy: { rate: 'unlimited' } });
    await writeFile(file, '{');
    const bad = await cli(['rollout', 'start', '-g', 'prod', '-c', 'base@1', '--strategy', file]);
    expect(bad.code).toBe(1);
    expect(bad.err).toContain('is not valid JSON');
    await rm(directory, { recursive: true });
  });

  it('watches, and exits with how it ended', async () => {
    api.on('POST /rollouts', () => ({ id: 'r1', created: true }));
    serve([{ phase: 'rolled_back' }], ['event: end\ndata: {}\n\n']);
    expect((await cli(['rollout', 'start', '-g', 'prod', '-c', 'base@1', '--watch'])).code).toBe(2);
  });

  it('previews', async () => {
    api.on('POST /rollouts', () => ({
      group: 'prod',
      from: null,
      to: { name: 'base', version: 1 },
      agents: { connected: 5 },
      waves: [{ agents: 5, soak: '1s' }],
      eta: '10s',
      canary: { agents: ['u1', 'u2', 'u3', 'u4', 'u5', 'u6'], strata: 3, strataCovered: 2 },
      gates: [
        { name: 'ackRatio', outcome: 'pass', detail: '' },
        { name: 'errors', outcome: 'inconclusive', detail: 'no data' },
      ],
      conflict: null,
      warnings: ['w'],
      diff: null,
    }));
    const run = await cli(['rollout', 'start', '-g', 'prod', '-c', 'base@1', '--dry-run']);
    expect(run.out).toMatch(/changes: +nothing to compare with/);
    expect(api.requests[0]?.path).toBe('/rollouts?dryRun=true');
    expect(run.out).toContain('connected 5');
    expect(run.out).toMatch(/canaries: +u1, u2, u3, u4, u5, and 1 more; 2 of 3 strata/);
    expect(run.out).toMatch(/gate: +errors: inconclusive \(no data\)/);
  });

  it('previews what the config changes and what validation says of it, within limits', async () => {
    const finding = { code: 'W_UNUSED', severity: 'warning', path: 'a', line: 3, column: 1, message: 'nobody uses it' };
    const preview = {
      group: 'prod',
      from: { name: 'base', version: 1 },
      to: { name: 'base', version: 2 },
      agents: { connected: 5 },
      waves: [],
      eta: '10s',
      conflict: null,
      warnings: [],
      diff: { unified: '--- base@1\n+++ base@2\n@@ -1 +1 @@\n-a: 1\n+a: 2\u001b[31m\n', added: 1, removed: 1, truncated: false },
      validation: { errors: 0, warnings: 12, findings: Array.from({ length: 12 }, () => finding) },
    };
    api.on('POST /rollouts', () => preview);
    const dryRun = async (): Promise<string> => (await cli(['rollout', 'start', '-g', 'prod', '-c', 'base@2', '--dry-run'])).out;
    const out = await dryRun();
    expect(out).toMatch(/changes: +1 line added, 1 removed, see below/);
    expect(out).toMatch(/\n\n--- base@1\n\+\+\+ base@2\n@@ -1 \+1 @@\n-a: 1\n\+a: 2/);
    expect(out).not.toContain('\u001b');
    expect(out).toMatch(/validation: +0 errors, 12 warnings/);
    expect(out.match(/base@2:3:1: warning W_UNUSED: nobody uses it/g)).toHaveLength(10);
    expect(out).toContain('and 2 more');
    preview.diff.unified = `--- base@1\n${'+x\n'.repeat(100)}`;
    const long = await dryRun();
    expect(long.match(/^\+x$/gm)).toHaveLength(59);
    expect(long).toContain('`opampctl config diff base 1 2` shows it all');
    preview.diff = { unified: '', added: 0, removed: 0, truncated: false };
    expect(await dryRun()).toContain('the group is on this content already');
  });

  it('acts with reason and revision', async () => {
    api.on('POST /rollouts/r1/pause', () => ({ ...ROLLOUT, holds: ['manual'] }));
    const run = await cli(['rollout', 'pause', 'r1', '--reason', 'lunch', '--rev', '4']);
    expect(run).toMatchObject({ code: 0, out: 'rollout r1: running, held: manual\n' });
    expect(api.requests[0]).toMatchObject({ body: { reason: 'lunch' }, headers: { 'if-match': '"4"' } });
  });
});
