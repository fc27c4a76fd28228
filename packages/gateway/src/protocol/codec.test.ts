import { fromBinary } from '@bufbuild/protobuf';
import { ServerErrorResponseType, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeWebSocketMessage } from './codec.ts';
import { encodeError, encodeReply, OWN_CAPABILITIES, remoteConfigField } from './replies.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const UID = '0190f0000000700080000000000000aa';
const HEARTBEAT = `0a10${UID}100520814 0`.replaceAll(' ', '');

describe('decodeWebSocketMessage', () => {
  it.each(['00', '8000', '808000', ''])('reads a message behind the header "%s"', (header) => {
    const decoded = decodeWebSocketMessage(hex(header + HEARTBEAT));
    expect(decoded).toMatchObject({ ok: true, message: { sequenceNum: 5n, capabilities: 0x2001n } });
  });

  it.each(['01', '7f', 'ff01', '80808080808080808080'])('refuses the header %s', (header) => {
    expect(decodeWebSocketMessage(hex(header + HEARTBEAT)).ok).toBe(false);
  });

  it('takes an empty message behind the header as one without a uid', () => {
    expect(decodeWebSocketMessage(hex('00'))).toMatchObject({ ok: true, message: { instanceUid: new Uint8Array(0) } });
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof decodeWebSocketMessage(bytes).ok).toBe('boolean');
      }),
    );
  });
});

describe('encodeReply', () => {
  it('is the plain acknowledgement when there is nothing to say', () => {
    expect(Buffer.from(encodeReply(hex(UID), {})).toString('hex')).toBe(`0a10${UID}`);
  });

  it('announces status, remote config and effective config', () => {
    expect(OWN_CAPABILITIES).toBe(7n);
    expect(Buffer.from(encodeReply(hex(UID), { capabilities: OWN_CAPABILITIES })).toString('hex')).toBe(`0a10${UID}3807`);
  });

  it('is the uid alone when there is nothing to say', () => {
    expect(Buffer.from(encodeReply(hex(UID))).toString('hex')).toBe(`0a10${UID}`);
    expect(Buffer.from(encodeReply(hex(UID), {})).toString('hex')).toBe(`0a10${UID}`);
  });

  it('makes shared config bytes a field that may follow it', () => {
    const body = hex('0a0c0a0a0a0012060a04783a2031120101');
    expect(Buffer.from(remoteConfigField(body)).toString('hex')).toBe('1a110a0c0a0a0a0012060a04783a2031120101');
  });

  it('writes long lengths as varints', () => {
    const field = remoteConfigField(new Uint8Array(300));
    expect([...field.subarray(0, 3)]).toEqual([0x1a, 0xac, 0x02]);
  });
});

describe('encodeError', () => {
  it('holds nothing but the uid and the error', () => {
    const bytes = encodeError(hex(UID), { kind: 'unavailable', message: 'later', retryAfterMs: 30_000 });
    const reply = fromBinary(ServerToAgentSchema, bytes);
    expect(reply.errorResponse?.type).toBe(ServerErrorResponseType.ServerErrorResponseType_Unavailable);
    expect(reply.errorResponse?.Details).toMatchObject({ case: 'retryInfo', value: { retryAfterNanoseconds: 30_000_000_000n } });
    expect(reply).toMatchObject({ flags: 0n, capabilities: 0n });
  });
});
