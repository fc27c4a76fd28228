import { create, toBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema } from '@opamp-gateway/proto/opamp';
import { describe, expect, it } from 'vitest';
import { readHeartbeat } from './heartbeat.ts';

const UID = Uint8Array.from({ length: 16 }, (_, index) => 200 + index);

type Parts = Parameters<typeof create<typeof AgentToServerSchema>>[1];

function messageOf(parts: Parts): Uint8Array {
  return new Uint8Array([0, ...toBinary(AgentToServerSchema, create(AgentToServerSchema, { instanceUid: UID, ...parts }))]);
}

describe('readHeartbeat', () => {
  it.each([1n, 127n, 128n, 300n, 16_383n, 16_384n, 2_097_152n, 2n ** 49n - 1n])('reads the number %s', (sequenceNum) => {
    expect(readHeartbeat(messageOf({ sequenceNum }))).toEqual({ uid: UID, sequenceNum: Number(sequenceNum), capabilities: 0 });
    const full = readHeartbeat(messageOf({ sequenceNum, capabilities: 0x7c47n }));
    expect(full).toEqual({ uid: UID, sequenceNum: Number(sequenceNum), capabilities: 0x7c47 });
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['a header alone', new Uint8Array([0])],
    ['a uid alone', messageOf({})],
    ['capabilities and no number', messageOf({ capabilities: 5n })],
    ['flags', messageOf({ sequenceNum: 3n, flags: 1n })],
    ['health', messageOf({ sequenceNum: 3n, health: { healthy: true } })],
    ['a goodbye', messageOf({ sequenceNum: 3n, agentDisconnect: {} })],
    ['another uid length', messageOf({ instanceUid: new Uint8Array(26), sequenceNum: 3n })],
    ['a number that a double does not hold', messageOf({ sequenceNum: 2n ** 63n })],
    ['a cut number', messageOf({ sequenceNum: 300n }).slice(0, -1)],
    ['another header', messageOf({ sequenceNum: 3n }).fill(1, 0, 1)],
    ['no header', messageOf({ sequenceNum: 3n }).slice(1)],
    ['something behind', new Uint8Array([...messageOf({ sequenceNum: 3n, capabilities: 5n }), 0x10, 1])],
  ])('leaves %s to the decoder', (_, bytes) => {
    expect(readHeartbeat(bytes)).toBeUndefined();
  });
});
