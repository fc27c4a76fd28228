/** What it costs Redis and the client to write agents, in batches as a gateway does. */
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { claimAgents, flushAgents, type FlushItem } from '@opamp-gateway/shared/redis/agent-scripts';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { createKeys } from '@opamp-gateway/shared/redis/keys';
import { LocalInstallation } from '../harness/local-installation.ts';
import { readProcess } from '../harness/process-usage.ts';
import { seededInstanceUid, uuidText } from '../random.ts';
import { type BenchResult, measureAsync } from './measure.ts';

const BATCH = 256;
const READY_MS = 10_000;
const GATEWAY = 'bench';

/** Starts a Redis of its own, measures, stops it. */
export async function benchFlush(): Promise<readonly BenchResult[]> {
  const local = await LocalInstallation.start({ gateways: 0, coordinators: 0, settings: {}, wildcard: false });
  const client = createRedis(`redis://127.0.0.1:${local.redisPort}`, 'command', createSilentLogger());
  try {
    await waitUntilReady(client, READY_MS);
    const [shard] = createKeys('bench').shards;
    if (shard === undefined) throw new Error('there are no shards');
    const uids = Array.from({ length: BATCH }, (_, index) => uuidText(seededInstanceUid(1, index)));
    const claim = async () => claimAgents(client, shard, { gateway: GATEWAY, mode: 'force', uids });
    const replies = await claim();
    const items = replies.map((reply, index): FlushItem => {
      if (reply.kind !== 'ok') throw new Error(`the claim of agent ${index} was refused`);
      return {
        uid: uids[index] ?? '',
        epoch: reply.epoch,
        release: false,
        group: 'prod',
        takesConfig: true,
        facets: undefined,
        effective: undefined,
        set: { lastSeenMs: String(index), reportedStatus: 'APPLIED', reportedHash: 'ab'.repeat(32) },
        del: [],
        rows: [],
      };
    });
    const redisPid = local.processes.find(({ kind }) => kind === 'redis')?.pid ?? 0;
    const before = await readProcess(redisPid);
    let flushed = 0;
    const flush = await measureAsync(`flush script, per agent in batches of ${BATCH} (round trip)`, BATCH, async () => {
      const answers = await flushAgents(client, shard, GATEWAY, items);
      if (answers.some(({ kind }) => kind !== 'ok')) throw new Error('a flush was refused');
      flushed += BATCH;
    });
    const after = await readProcess(redisPid);
    const results = [flush];
    if (before !== undefined && after !== undefined) {
      const us = ((after.cpuMs - before.cpuMs) * 1_000) / flushed;
      results.push({ name: 'flush script, CPU of Redis per agent', perOperationUs: us, perSecond: 1e6 / us, operations: flushed });
    }
    results.push(await measureAsync(`claim script, per agent in batches of ${BATCH} (round trip)`, BATCH, claim));
    return results;
  } finally {
    await closeRedis(client);
    await local.stop();
  }
}
