import { crc32 } from 'node:zlib';
import type { AgentToServer, ComponentHealth } from '@opamp-gateway/proto/opamp';
import { RemoteConfigStatuses } from '@opamp-gateway/proto/opamp';
import type { AgentRecord, HealthNode, RecordField, ReportedStatus } from '@opamp-gateway/shared/agent-record';
import { reportsHealth, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import { EffectiveConfigEncoder } from '@opamp-gateway/shared/effective-config';
import { flattenDescription } from '@opamp-gateway/shared/key-value';
import { interned } from './interning.ts';

/** Longest error text kept of an agent, in characters. */
const MAX_ERROR_CHARS = 2048;
/** Most bytes kept of a hash; ours have 32, an agent may report anything. */
const MAX_HASH_BYTES = 128;
/** Most nodes of a health tree kept per agent. */
const MAX_HEALTH_NODES = 512;
const MAX_HEALTH_DEPTH = 8;
/** Most bytes of agent texts kept in lists. */
const MAX_CUSTOM_CAPABILITIES = 64;

/** Fields of the record that a message changed, as they are written to Redis. */
export interface ReportChanges {
  set: Partial<Record<RecordField, string>>;
  /** Compressed effective config. */
  effective: Buffer | undefined;
  /** Attributes changed: the group may be another. */
  described: boolean;
  /** Health changed between healthy, unhealthy and unknown. */
  healthChanged: boolean;
  /** A remote_config_status was in the message; the caller applies it before it merges it. */
  status: { hash: string; status: ReportedStatus; error: string } | undefined;
}

/** Of this process: what agents of all connections have in common. */
const effectiveConfigs = new EffectiveConfigEncoder();

const STATUS_WORDS: Record<number, ReportedStatus> = {
  [RemoteConfigStatuses.RemoteConfigStatuses_UNSET]: 'UNSET',
  [RemoteConfigStatuses.RemoteConfigStatuses_APPLIED]: 'APPLIED',
  [RemoteConfigStatuses.RemoteConfigStatuses_APPLYING]: 'APPLYING',
  [RemoteConfigStatuses.RemoteConfigStatuses_FAILED]: 'FAILED',
};

function healthNode(health: ComponentHealth, budget: { left: number }, depth: number): HealthNode {
  budget.left -= 1;
  const node: HealthNode = {
    healthy: health.healthy,
    status: health.status.slice(0, 256),
    lastError: health.lastError.slice(0, MAX_ERROR_CHARS),
  };
  const names = Object.keys(health.componentHealthMap);
  if (names.length === 0 || depth >= MAX_HEALTH_DEPTH) return node;
  node.children = {};
  for (const name of names.toSorted()) {
    const child = health.componentHealthMap[name];
    if (child === undefined || budget.left <= 0) continue;
    node.children[name.slice(0, 256)] = healthNode(child, budget, depth + 1);
  }
  return node;
}

/**
 * Merges what a message reports into the record, as a whole per sub-message: a present one replaces the former, an absent
 * one is unchanged. [OpAMP Agent Status Compression] The status report is only extracted.
 */
export function mergeReport(
  record: AgentRecord,
  message: AgentToServer,
  options: { nowMs: number; keepEffective: boolean },
): ReportChanges {
  const changes: ReportChanges = { set: {}, effective: undefined, described: false, healthChanged: false, status: undefined };
  // A mask of 0 in a later message means "not repeated" (the .NET client fills it in identification messages only).
  if (message.capabilities !== 0n && message.capabilities !== record.capabilities) {
    record.capabilities = interned.capabilities(message.capabilities);
    changes.set.capabilities = String(message.capabilities);
  }
  if (message.agentDescription !== undefined) {
    const none = { identifyingAttributes: [], nonIdentifyingAttributes: [] };
    const next = {
      identifying: { ...flattenDescription({ ...none, identifyingAttributes: message.agentDescription.identifyingAttributes }) },
      nonIdentifying: { ...flattenDescription({ ...none, nonIdentifyingAttributes: message.agentDescription.nonIdentifyingAttributes }) },
    };
    const text = JSON.stringify(next);
    if (text !== JSON.stringify(record.attributes)) {
      interned.attributes(next.identifying);
      interned.attributes(next.nonIdentifying);
      record.attributes = next;
      changes.set.attributes = text;
      changes.described = true;
    }
  }
  if (message.health !== undefined) {
    const healthy = message.health.healthy;
    if (record.healthy !== healthy) {
      record.healthy = healthy;
      record.healthSinceMs = options.nowMs;
      changes.healthChanged = true;
      changes.set.health = healthy ? '1' : '0';
      changes.set.healthSince = String(options.nowMs);
    }
    const tree = healthNode(message.health, { left: MAX_HEALTH_NODES }, 0);
    changes.set.healthTree = JSON.stringify(tree);
    // Only the top of the tree is kept in memory: it gives the reason when the agent counts as degraded.
    record.healthTree = interned.health(tree);
  }
  if (message.effectiveConfig?.configMap !== undefined && options.keepEffective) {
    changes.effective = effectiveConfigs.encode(message.effectiveConfig.configMap.configMap, options.nowMs);
  }
  if (message.remoteConfigStatus !== undefined) {
    const reported = message.remoteConfigStatus;
    changes.status = {
      hash: interned.text('hash', hex(reported.lastRemoteConfigHash.subarray(0, MAX_HASH_BYTES))),
      status: STATUS_WORDS[reported.status] ?? 'UNSET',
      error: reported.errorMessage.slice(0, MAX_ERROR_CHARS),
    };
  }
  if (message.customCapabilities !== undefined) {
    const list = message.customCapabilities.capabilities.slice(0, MAX_CUSTOM_CAPABILITIES).map((name) => name.slice(0, 256));
    if (JSON.stringify(list) !== JSON.stringify(record.customCapabilities)) {
      record.customCapabilities = list;
      changes.set.customCapabilities = JSON.stringify(list);
    }
  }
  if (message.availableComponents !== undefined && message.availableComponents.hash.length > 0) {
    const hash = interned.text('components', hex(message.availableComponents.hash.subarray(0, MAX_HASH_BYTES)));
    if (hash !== record.componentsHash) {
      record.componentsHash = hash;
      changes.set.componentsHash = hash;
    }
  }
  return changes;
}

/** Merges a status report into the record. Most recent verdicts by hash are kept, newest first, at most ten. */
export function mergeStatus(
  record: AgentRecord,
  report: { hash: string; status: ReportedStatus; error: string },
  nowMs: number,
): Partial<Record<RecordField, string>> {
  if (record.reportedHash === report.hash && record.reportedStatus === report.status && record.reportedError === report.error) return {};
  record.reportedHash = report.hash;
  record.reportedStatus = report.status;
  record.reportedError = report.error;
  const set: Partial<Record<RecordField, string>> = {
    reportedHash: report.hash,
    reportedStatus: report.status,
    reportedError: report.error,
  };
  if (report.hash !== '') {
    const entry = interned.entry({
      hash: report.hash,
      status: report.status,
      atMs: nowMs,
      ...(report.error === '' ? {} : { error: report.error.slice(0, 512) }),
    });
    const newest = record.history[0];
    const rest =
      newest !== undefined && newest.hash === report.hash && newest.status === 'APPLYING' ? record.history.slice(1) : record.history;
    record.history = [entry, ...rest].slice(0, 10);
    set.history = JSON.stringify(record.history);
  }
  return set;
}

/** True when the message carries every part that the agent's mask promises, so that nothing need be asked for. */
export function isComplete(message: AgentToServer, capabilities: bigint): boolean {
  if (message.agentDescription === undefined) return false;
  if (reportsRemoteConfig(capabilities) && message.remoteConfigStatus === undefined) return false;
  return !reportsHealth(capabilities) || message.health !== undefined;
}

/** Short digest of a message: tells a retry of the same bytes from another message with the same number. */
export function messageDigest(bytes: Uint8Array): string {
  return `${crc32(bytes).toString(36)}.${bytes.length.toString(36)}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
