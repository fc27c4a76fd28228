// Runs the suite against the third-party servers and prints what each of them does:
// node --conditions=source test/conformance/peers/run-peers.ts
import { renderReport } from '../report.ts';
import { runConformance } from '../run.ts';
import { startMockOpampServer, type RunningPeer } from './mock-opamp-server.ts';
import { startOpampGoServer, tryToBuildOpampGoServer } from './opamp-go-server.ts';

const DEADLINE_MS = 3_000;

const show = async (name: string, peer: RunningPeer): Promise<void> => {
  try {
    const report = await runConformance(peer.target, { deadlineMs: DEADLINE_MS });
    process.stdout.write(`\n===== ${name}\n${renderReport(report)}`);
  } finally {
    await peer.stop();
  }
};

await show('@elastic/mockopampserver', await startMockOpampServer());
const built = tryToBuildOpampGoServer();
if ('reason' in built) {
  process.stdout.write(`\nopamp-go: not tried, ${built.reason}\n`);
} else {
  try {
    await show('opamp-go', await startOpampGoServer(built.binary));
    await show('opamp-go with compression', await startOpampGoServer(built.binary, { compress: true }));
  } finally {
    built.remove();
  }
}
