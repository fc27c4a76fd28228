import { afterAll, describe, expect, test } from 'vitest';
import { runConformance, type Report } from '../run.ts';
import { startMockOpampServer, type MockBadMode, type RunningPeer } from './mock-opamp-server.ts';
import { startOpampGoServer, tryToBuildOpampGoServer } from './opamp-go-server.ts';

// What other people's servers do is known from their sources. If one of these lists changes, either the suite or the
// server has changed, and somebody has to look which.

/** Long enough for a busy machine: no check of these runs has to wait for it in vain, except where silence is the fault. */
const DEADLINE_MS = 20_000;

const failedIds = (report: Report): number[] =>
  report.sections.flatMap(({ checks }) => checks.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id));

const runAgainst = async (peer: RunningPeer): Promise<Report> => {
  try {
    return await runConformance(peer.target, { deadlineMs: DEADLINE_MS });
  } finally {
    await peer.stop();
  }
};

describe('the mock server of @elastic/mockopampserver', () => {
  test('passes but for what it does not do', async () => {
    const report = await runAgainst(await startMockOpampServer());
    expect(failedIds(report)).toEqual([
      1, // no WebSocket
      5, // no parameters and no other letter case in Content-Type
      23, // no other letter case in Content-Encoding
      24, // never compresses
      134, // no identification
      135,
      140,
      141,
    ]);
    expect(report.totals.passed).toBeGreaterThanOrEqual(38);
  });

  test.each<MockBadMode>(['server_error_response_unknown', 'server_error_response_unavailable'])(
    'is found out in its mode %s',
    async (mode) => {
      const failed = failedIds(await runAgainst(await startMockOpampServer(mode)));
      expect(failed).toEqual(expect.arrayContaining([39, 41, 44, 45, 57, 58]));
    },
  );
});

const built = tryToBuildOpampGoServer();

describe('a server on the opamp-go library', () => {
  afterAll(() => {
    if ('remove' in built) built.remove();
  });

  test.for([{ compress: false }, { compress: true }])('passes but for what the library does, %j', async (options, context) => {
    if ('reason' in built) {
      context.skip(`opamp-go was not tried: ${built.reason}`);
      return;
    }
    const report = await runAgainst(await startOpampGoServer(built.binary, options));
    expect(failedIds(report)).toEqual([
      5, // no parameters in Content-Type
      23, // no other letter case in Content-Encoding
      24, // Accept-Encoding is compared as a whole
      40, // custom_capabilities beside error_response
      130, // custom_capabilities beside a command, over HTTP
      157, // an Origin header has to match the host
    ]);
    expect(report.totals.passed).toBeGreaterThanOrEqual(93);
  });
});
