import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { PendingWrite } from '../pending-write.ts';
import type { Principal } from '../principal.ts';
import type { AgentSession } from './agent-session.ts';

/** What a record says of the credential, as it is stored. */
export function credentialFields(
  record: Pick<AgentRecord, 'token' | 'realm' | 'tokenLabels' | 'tokenGroups'>,
): Required<Pick<PendingWrite['set'], 'token' | 'realm' | 'tokenLabels' | 'tokenGroups'>> {
  const { token, realm, tokenLabels, tokenGroups } = record;
  return {
    token,
    realm,
    tokenLabels: Object.keys(tokenLabels).length === 0 ? '' : JSON.stringify(tokenLabels),
    tokenGroups: tokenGroups === null ? '' : JSON.stringify(tokenGroups),
  };
}

/** Puts what the connection's credential says into the session's record, and into its next write. Whether anything changed. */
export function adoptCredential(session: AgentSession): boolean {
  const { record } = session;
  const { id, realm, labels, groups } = session.outlet.principal;
  const before = credentialFields(record);
  record.token = id;
  record.realm = realm;
  // Shared by all sessions of the credential.
  record.tokenLabels = labels;
  record.tokenGroups = groups;
  const now = credentialFields(record);
  if (JSON.stringify(now) === JSON.stringify(before)) return false;
  Object.assign(session.write().set, now);
  return true;
}

/** Whether a record belongs to another credential than this one; the script `claim` asks the same of the stored record. */
export function isForeign(record: Pick<AgentRecord, 'token' | 'realm'>, principal: Principal): boolean {
  return record.realm !== '' && record.realm !== principal.realm && record.token !== principal.id;
}
