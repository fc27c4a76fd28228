import { formatFailed, formatOfferedFor } from '@opamp-gateway/shared/agent-record';
import type { AgentSession } from './agent-session.ts';
import { credentialFields } from './credential.ts';
import type { OfferDesk } from './offer-desk.ts';
import type { SessionWriter, SpecSource } from './ports.ts';

/**
 * Marks everything a session knows as to be written: what a failover lost was acknowledged once and would never be sent
 * again. Rows are told as they stand, which moves no counter where Redis has them.
 */
export function rewriteAll(session: AgentSession, context: { spec: SpecSource; desk: OfferDesk; writer: SessionWriter }): void {
  const { record } = session;
  const { set } = session.write();
  Object.assign(set, {
    capabilities: String(record.capabilities),
    attributes: JSON.stringify(record.attributes),
    reportedHash: record.reportedHash,
    reportedStatus: record.reportedStatus,
    reportedError: record.reportedError,
    history: JSON.stringify(record.history),
    offered: record.offered,
    offerAnswered: record.offerAnswered ? '1' : '0',
    offeredFor: formatOfferedFor(record.offeredFor),
    failed: formatFailed(record.failed),
    componentsHash: record.componentsHash,
    customCapabilities: JSON.stringify(record.customCapabilities),
    transport: record.transport,
    ...credentialFields(record),
  });
  if (record.healthy !== undefined) {
    set.health = record.healthy ? '1' : '0';
    set.healthSince = String(record.healthSinceMs);
  }
  if (record.seq !== undefined) set.seq = String(record.seq);
  if (record.group !== undefined) session.write().group = record.group;
  session.write().takesConfig = session.takesConfig;
  for (const rollout of context.spec.spec.rollouts.values()) {
    const row = record.rows.get(rollout.id);
    if (row === undefined) continue;
    const { wave, status, attempt, ackTimeoutMs, soft } = row;
    session.write().rows.push({ rollout: rollout.id, wave, status, attempt, deadlineInMs: -1, ackTimeoutMs, soft, error: '' });
  }
  session.facetText = '';
  context.desk.bookFacets(session);
  context.writer.markDirty(session);
}
