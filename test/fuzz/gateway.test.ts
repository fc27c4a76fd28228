import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StreamEndedError } from '../conformance/raw/byte-stream.ts';
import { parseEndpoint } from '../conformance/raw/endpoint.ts';
import { RawHttpConnection } from '../conformance/raw/http-client.ts';
import { RawWebSocket } from '../conformance/raw/websocket-client.ts';
import { decodeWebSocketReply, DEFAULT_CAPABILITIES, encodeMessage, uidText, withHeader } from '../conformance/wire.ts';
import { startStack } from '../support/stack.ts';
import type { Stack } from '../support/stack.ts';
import { waitUntil } from '../support/wait-for.ts';
import { scenario } from './scenario.ts';
import type { Scenario } from './scenario.ts';

/** Length and seed of the run; a longer one is a matter of these two. */
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 60);
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const MAX_MESSAGE_BYTES = 64 * 1024;
const DEADLINE_MS = 20_000;
/** Resident memory above which something leaks: a gateway at rest takes about 80 MB. */
const MAX_RSS_BYTES = 700 * 1024 * 1024;

const bystander = new Uint8Array(Buffer.from('0190f000000070008000000000000b57', 'hex'));
let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    gateways: 1,
    coordinators: 0,
    gatewayEnv: {
      OPAMP_GATEWAY_MAX_MESSAGE_BYTES: String(MAX_MESSAGE_BYTES),
      OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS: '5000',
      OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS: '200',
    },
  });
});

afterAll(async () => {
  await stack.stop();
});

const endpoint = () => parseEndpoint(stack.gatewayUrls[0] ?? '');

async function gauge(name: string): Promise<number> {
  const text = await stack.metrics('gateway-1');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`opamp_gateway_${name} `));
  return Number(line?.split(' ')[1]);
}

/** The stored state of an agent, without what changes by itself. */
async function stateOf(uid: Uint8Array): Promise<Record<string, string>> {
  const text = uidText(uid);
  const client = new Redis(stack.redisUrl);
  try {
    for (const shard of stack.keys.shards) {
      const fields = await client.hgetall(shard.agent(text));
      if (Object.keys(fields).length > 0) return fields;
    }
    return {};
  } finally {
    client.disconnect();
  }
}

async function play(entry: Scenario): Promise<void> {
  switch (entry.kind) {
    case 'websocket': {
      const socket = await RawWebSocket.open(endpoint(), DEADLINE_MS);
      socket.listen(() => undefined);
      for (const step of entry.steps) {
        if (step.do === 'abort') break;
        if (step.do === 'frame') socket.sendFrame({ opcode: step.opcode, fin: step.fin, rsv1: step.rsv1, payload: step.payload });
        else socket.sendFrame({ opcode: 2, payload: step.bytes });
      }
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      socket.abort();
      return;
    }
    case 'http': {
      const connection = await RawHttpConnection.open(endpoint(), DEADLINE_MS);
      try {
        const response = await connection.request({
          headers: entry.headers,
          ...(entry.chunked ? { chunks: [entry.body] } : { body: entry.body }),
        });
        expect([200, 400, 413, 415, 503]).toContain(response.status);
      } catch (error) {
        // A body over the limit is cut off by closing, and the status may be lost to the reset.
        if (!(error instanceof StreamEndedError) || entry.body.length <= MAX_MESSAGE_BYTES) throw error;
      } finally {
        connection.abort();
      }
      return;
    }
    case 'pair': {
      const sockets = [await RawWebSocket.open(endpoint(), DEADLINE_MS), await RawWebSocket.open(endpoint(), DEADLINE_MS)] as const;
      for (const socket of sockets) socket.listen(() => undefined);
      for (const turn of entry.turns) {
        sockets[turn.first ? 0 : 1].sendBinary(withHeader(encodeMessage({ ...turn.message, instanceUid: entry.uid })));
      }
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      for (const socket of sockets) socket.abort();
    }
  }
}

it(`survives ${SECONDS} s of broken and hostile clients without harm to others`, { timeout: (SECONDS + 300) * 1000 }, async () => {
  process.stdout.write(`fuzz: seed ${SEED}, ${SECONDS} s; again with FUZZ_SEED=${SEED} FUZZ_SECONDS=${SECONDS}\n`);
  const socket = await RawWebSocket.open(endpoint(), DEADLINE_MS);
  const say = async (sequence: number, over: object = {}) => {
    socket.sendBinary(
      withHeader(encodeMessage({ instanceUid: bystander, sequenceNum: BigInt(sequence), capabilities: DEFAULT_CAPABILITIES, ...over })),
    );
    const event = await socket.next('an answer', (candidate) => candidate.type === 'message');
    if (event.type !== 'message') throw new Error('no answer');
    return decodeWebSocketReply(event.payload);
  };
  const first = await say(0, {
    agentDescription: { identifyingAttributes: [{ key: 'service.name', value: { value: { case: 'stringValue', value: 'bystander' } } }] },
    health: { healthy: true },
    remoteConfigStatus: {},
  });
  expect(first.errorResponse).toBeUndefined();
  const before = await waitUntil(
    'the bystander to be stored',
    () => stateOf(bystander),
    (fields) => fields['attributes'] !== undefined,
  );

  let sequence = 0;
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(scenario, async (entry) => {
      try {
        await play(entry);
      } catch (error) {
        throw new Error(`${String(error)}\n${stack.logs(15)}`, { cause: error });
      }
      runs += 1;
      if (runs % 25 === 0) {
        sequence += 1;
        const answer = await say(sequence);
        expect(answer.errorResponse).toBeUndefined();
        expect(answer.flags).toBe(0n);
      }
    }),
    { seed: SEED, numRuns: 10_000_000, interruptAfterTimeLimit: SECONDS * 1000, endOnFailure: true },
  );
  process.stdout.write(`fuzz: ${runs} scenarios\n`);
  expect(runs).toBeGreaterThan(100);

  await waitUntil(
    'connections to be given back',
    () => gauge('connections'),
    (count) => count === 1,
  );
  await waitUntil(
    'agents to be given back',
    () => gauge('agents'),
    (count) => count === 1,
  );
  await waitUntil(
    'all writes to be done',
    () => gauge('dirty_agents'),
    (count) => count === 0,
  );
  const after = await stateOf(bystander);
  const stable = (fields: Record<string, string>) => ({ ...fields, seq: '', seqDigest: '', lastSeen: '' });
  expect(stable(after)).toEqual(stable(before));
  const status = readFileSync(`/proc/${stack.pid('gateway-1')}/status`, 'utf8');
  const rssBytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  expect(rssBytes).toBeLessThan(MAX_RSS_BYTES);
  socket.abort();
});
