import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import { describe, expect, it } from 'vitest';
import { AGENT_FIELD, encodeAgentToServer, scanServerToAgent, WireError } from './opamp-wire.ts';

const UID = Buffer.from('0190f0000000700080000000000000aa', 'hex');
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

describe('encodeAgentToServer', () => {
  it('writes a heartbeat with room for the WebSocket header, byte for byte', () => {
    const bytes = encodeAgentToServer({ instanceUid: UID, sequenceNum: 5, capabilities: 0x2001, flags: 0 }, [], 1);
    expect(hex(bytes)).toBe('000a100190f0000000700080000000000000aa1005208140');
  });

  it('writes a status in field order', () => {
    const status = { field: AGENT_FIELD.remoteConfigStatus, bytes: Buffer.from('0a01011001', 'hex') };
    const bytes = encodeAgentToServer({ instanceUid: UID, sequenceNum: 7, capabilities: 0x1003, flags: 0 }, [status], 1);
    expect(hex(bytes)).toBe('000a100190f0000000700080000000000000aa10072083203a050a01011001');
  });

  it('writes goodbye as an empty part', () => {
    const goodbye = { field: AGENT_FIELD.agentDisconnect, bytes: new Uint8Array(0) };
    const bytes = encodeAgentToServer({ instanceUid: UID, sequenceNum: 6, capabilities: 1, flags: 0 }, [goodbye], 1);
    expect(hex(bytes)).toBe('000a100190f0000000700080000000000000aa100620014a00');
  });

  it('leaves numbers of 0 away and keeps large ones', () => {
    const zero = encodeAgentToServer({ instanceUid: UID, sequenceNum: 0, capabilities: 0, flags: 0 }, []);
    expect(hex(zero)).toBe('0a100190f0000000700080000000000000aa');
    const large = encodeAgentToServer({ instanceUid: UID, sequenceNum: 2 ** 40 + 3, capabilities: 0xffff, flags: 1 }, []);
    const message = fromBinary(AgentToServerSchema, large);
    expect(message.sequenceNum).toBe(2n ** 40n + 3n);
    expect(message.capabilities).toBe(0xffffn);
    expect(message.flags).toBe(1n);
  });
});

describe('scanServerToAgent', () => {
  it('finds every part', () => {
    const data = toBinary(
      ServerToAgentSchema,
      create(ServerToAgentSchema, {
        instanceUid: UID,
        flags: 3n,
        capabilities: 0x7fn,
        remoteConfig: { configHash: Buffer.from('01', 'hex') },
        agentIdentification: { newInstanceUid: UID },
        command: {},
      }),
    );
    const message = scanServerToAgent(data);
    expect(hex(message.instanceUid ?? Buffer.alloc(0))).toBe(UID.toString('hex'));
    expect(message.flags).toBe(3);
    expect(message.capabilities).toBe(0x7f);
    expect(hex(message.remoteConfig ?? Buffer.alloc(0))).toBe('120101');
    expect(message.hasCommand).toBe(true);
    expect(message.errorResponse).toBeUndefined();
  });

  it('refuses bytes that end too early', () => {
    expect(() => scanServerToAgent(Buffer.from('0a10', 'hex'))).toThrow(WireError);
    expect(() => scanServerToAgent(Buffer.from('ff', 'hex'))).toThrow(WireError);
  });
});
