/** A session of an agent that runs its group's proven version, and a rollout of the next one. */
import { parseRecord } from '@opamp-gateway/shared/agent-record';
import type { ConfigRef, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { ANYBODY } from '../src/principal.ts';
import { AgentSession } from '../src/session/agent-session.ts';

export const OLD: ConfigRef = { name: 'base', version: 1, hash: 'aa' };
export const NEW: ConfigRef = { name: 'base', version: 2, hash: 'bb' };

/** Of all agents of the group `g`. */
export const ROLLOUT: RolloutSpec = {
  id: 'r1',
  group: 'g',
  to: NEW,
  from: OLD,
  direction: 'forward',
  held: false,
  wave: '0',
  attempt: 1,
  salt: 'r1',
  canary: [],
  slices: [{ selector: '', boundary: 2 ** 48 }],
  bucketBy: null,
  ackTimeoutMs: 10_000,
  healthHoldMs: 0,
  joinRate: null,
};

export const UID = '0190f000-0000-7000-8000-000000000001';

/** `fields` are of its record, and replace those of an agent that has applied {@link OLD}. */
export function createLiveSession(uid = UID, fields: Readonly<Record<string, string>> = {}): AgentSession {
  const session = new AgentSession(uid, new Uint8Array(16), {
    transport: 'ws',
    remoteAddress: '',
    principal: ANYBODY,
    sentAway: false,
    attachment: undefined,
    send: () => true,
    close: () => undefined,
  });
  session.record = parseRecord(uid, {
    capabilities: String(0x3847),
    reportedHash: OLD.hash,
    reportedStatus: 'APPLIED',
    offered: OLD.hash,
    offerAnswered: '1',
    health: '1',
    ...fields,
  });
  session.phase = 'live';
  return session;
}
