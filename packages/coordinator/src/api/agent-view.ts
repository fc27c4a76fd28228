import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { acceptsRemoteConfig, agentCapabilityNames, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { EffectiveConfigDocument, UnreadableEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import type { ConfigRef, FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import { NO_GROUP } from '@opamp-gateway/shared/redis/keys';
import type { Drift } from './drift.ts';
import { desiredOf } from './impact.ts';
import { redactConfig } from './redact.ts';

/** Health of an agent in one word. */
export type HealthWord = 'healthy' | 'unhealthy' | 'unknown';

/** An agent as lists show it. */
export function toAgentView(record: AgentRecord, spec: FleetSpec): Record<string, unknown> {
  const { config, source } = desiredOf(spec, record);
  const connected = record.owner !== '';
  return {
    uid: record.uid,
    connected,
    gateway: connected ? record.owner : null,
    transport: record.transport,
    group: groupWord(record),
    attributes: { ...record.attributes.nonIdentifying, ...record.attributes.identifying },
    labels: record.labels,
    credential: record.token === '' ? null : { id: record.token, labels: record.tokenLabels, groups: record.tokenGroups },
    health: { status: healthWord(record), since: timeOrNull(record.healthSinceMs) },
    config: {
      status: statusWord(record),
      hash: textOrNull(record.reportedHash),
      error: record.reportedError,
      offered: textOrNull(record.offered),
      desired: config === null ? null : { ...config, source },
      inSync: config === null ? null : record.reportedStatus === 'APPLIED' && record.reportedHash === config.hash,
    },
    rollouts: Object.fromEntries([...record.rows].map(([id, { wave, status }]) => [id, { wave, status }])),
    pin: record.pin?.config ?? null,
    createdAt: new Date(record.createdAtMs).toISOString(),
    connectedAt: timeOrNull(record.connectedAtMs),
    lastSeenAt: connected ? null : timeOrNull(record.lastSeenMs),
  };
}

/** Everything that is known of one agent; secrets of its effective config only with `reveal`. */
export function toAgentDetail(
  record: AgentRecord,
  spec: FleetSpec,
  effective: EffectiveConfigDocument | UnreadableEffectiveConfig | undefined,
  drift: Drift,
  reveal = false,
): Record<string, unknown> {
  const configOf = configNames(record, spec);
  return {
    ...toAgentView(record, spec),
    drift,
    identifyingAttributes: record.attributes.identifying,
    nonIdentifyingAttributes: record.attributes.nonIdentifying,
    capabilities: agentCapabilityNames(record.capabilities),
    customCapabilities: record.customCapabilities,
    origin: record.origin,
    sequenceNum: record.seq === undefined ? null : String(record.seq),
    healthTree: record.healthTree ?? null,
    failedHashes: [...record.failed].map(([hash, { by, attempt }]) => ({ hash, by, attempt })),
    history: record.history
      .toSorted((left, right) => right.atMs - left.atMs)
      .map(({ hash, status, atMs, error }) => ({
        hash,
        config: configOf(hash),
        status: status.toLowerCase(),
        at: new Date(atMs).toISOString(),
        ...(error === undefined ? {} : { error }),
      })),
    effective: effective === undefined || 'unreadable' in effective ? null : toEffectiveView(effective, reveal),
    effectiveUnreadable: effective !== undefined && 'unreadable' in effective ? effective.unreadable : null,
  };
}

/** Finds name and version of a hash among all that the fleet has to do with now; null where it is of something older. */
function configNames(record: AgentRecord, spec: FleetSpec): (hash: string) => Pick<ConfigRef, 'name' | 'version'> | null {
  const rollouts = [...spec.rollouts.values()].flatMap(({ to, from }) => [to, from]);
  const groups = spec.groups.flatMap(({ stable, previous }) => [stable, previous]);
  // The last one wins: what the agent itself should run says best what it is called here.
  const known = [...groups, ...rollouts, record.pin?.config ?? null, desiredOf(spec, record).config];
  const byHash = new Map(known.flatMap((ref) => (ref === null ? [] : [[ref.hash, ref] as const])));
  return (hash) => {
    const ref = byHash.get(hash);
    return ref === undefined ? null : { name: ref.name, version: ref.version };
  };
}

/** `healthy`, `unhealthy`, or `unknown` when it never reported. */
export function healthWord(record: Pick<AgentRecord, 'healthy'>): HealthWord {
  return record.healthy === undefined ? 'unknown' : record.healthy ? 'healthy' : 'unhealthy';
}

/** What an agent runs against what is desired, in the words by which gateways count it. */
export const SYNC_WORDS = ['synced', 'drifted', 'failed', 'unverified', 'unsupported', 'none'] as const;
export type SyncWord = (typeof SYNC_WORDS)[number];

/** `drifted`: it says that it runs another config; `unverified`: it cannot say; `unsupported`: it takes none; `none`: none is desired. */
export function syncWord(record: AgentRecord, spec: FleetSpec): SyncWord {
  const { config } = desiredOf(spec, record);
  if (config === null) return 'none';
  if (!acceptsRemoteConfig(record.capabilities)) return 'unsupported';
  if (!reportsRemoteConfig(record.capabilities)) return 'unverified';
  if (record.reportedHash !== config.hash) return 'drifted';
  return record.reportedStatus === 'APPLIED' ? 'synced' : record.reportedStatus === 'FAILED' ? 'failed' : 'drifted';
}

/** What the agent last said of a config, in lower case. */
export function statusWord(record: Pick<AgentRecord, 'reportedStatus'>): string {
  return record.reportedStatus.toLowerCase();
}

/** Name of the effective group, null when no selector matches or the agent has not reported yet. */
export function groupWord(record: Pick<AgentRecord, 'group'>): string | null {
  return record.group === undefined || record.group === NO_GROUP ? null : record.group;
}

function toEffectiveView({ atMs, files, truncated }: EffectiveConfigDocument, reveal: boolean): Record<string, unknown> {
  const shown = Object.entries(files).map(
    ([name, { body, contentType }]) => [name, { body: reveal ? body : redactConfig(body), contentType }] as const,
  );
  return { reportedAt: new Date(atMs).toISOString(), truncated, files: Object.fromEntries(shown) };
}

function timeOrNull(atMs: number): string | null {
  return atMs === 0 ? null : new Date(atMs).toISOString();
}

function textOrNull(text: string): string | null {
  return text === '' ? null : text;
}
