import { isZeroUid, uidFromBytes } from '@opamp-gateway/shared/instance-uid';
import type { Decoded } from '../protocol/codec.ts';

/** Most bytes of a uid that are sent back with an error. */
const MAX_ECHOED_BYTES = 64;
const NO_UID = new Uint8Array(0);

/** The uid of a message, or what is wrong with it and the bytes that an error is addressed to. */
export type Identified = { uid: string } | { uid: undefined; wireUid: Uint8Array; problem: string };

/** Reads the uid of a message. [OpAMP AgentToServer.instance_uid] */
export function identify(decoded: Decoded): Identified {
  if (!decoded.ok) return { uid: undefined, wireUid: NO_UID, problem: decoded.problem };
  const wire = decoded.message.instanceUid;
  const uid = uidFromBytes(wire);
  if (uid === undefined) {
    const wireUid = wire.length <= MAX_ECHOED_BYTES ? wire : NO_UID;
    return { uid: undefined, wireUid, problem: `instance_uid has ${wire.length} bytes, it must have 16` };
  }
  if (isZeroUid(uid)) return { uid: undefined, wireUid: wire, problem: 'instance_uid is all zero, which no agent may use' };
  return { uid };
}
