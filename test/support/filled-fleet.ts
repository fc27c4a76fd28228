/** A large fleet that exists in Redis only: records of the shape that gateways write, through the scripts that gateways use. */
import { attributesAt } from '@opamp-gateway/loadtest/agent-attributes';
import { encodeEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import { formatStableField, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import { newUid, shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, flushAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem } from '@opamp-gateway/shared/redis/agent-scripts';
import { commitSpec, renewLease } from '@opamp-gateway/shared/redis/fleet-scripts';
import { HISTORY_MINUTES } from '@opamp-gateway/shared/redis/keys';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { ApiClient } from './api-client.ts';
import { collectorConfig } from './collector-config.ts';

export interface FilledFleetOptions {
  readonly agents: number;
  /** Gateways that seem to hold the connections. Default 8. */
  readonly gateways?: number;
  /** Prefix of host names: `<prefix>-<index>`. Default `host`. */
  readonly hosts?: string;
}

/** Agents written by one call. */
const BATCH = 100;
/** Longer than any test: nobody renews these leases. */
const LEASE_MS = 24 * 3_600_000;
/** Share of the fleet of each group, by the attribute `env`. */
const GROUPS = [
  ['edge', 70],
  ['core', 20],
  ['stage', 10],
] as const;
const REGIONS = ['eu-west-1', 'us-east-1', 'ap-south-1', 'sa-east-1'];
const VERSIONS = ['0.159.0', '0.159.0', '0.159.0', '0.158.1', '0.157.0'];
/** What a supervisor of a contrib collector announces, and the same without ReportsRemoteConfig. */
const ALL_CAPABILITIES = 31_815n;
const REPORTS_REMOTE_CONFIG = 4_096n;
const MINUTE_MS = 60_000;

/** What an agent of the filled fleet is like; a few of each hundred are not as they should be. */
type Kind = 'good' | 'unhealthy' | 'failed' | 'drifted' | 'unverified';

function kindOf(index: number): Kind {
  const place = (index * 37) % 100;
  if (place < 2) return 'unhealthy';
  if (place < 3) return 'failed';
  if (place < 5) return 'drifted';
  return place < 7 ? 'unverified' : 'good';
}

/**
 * Makes three groups with a proven config each and fills the store with agents of them, one in 200 away. Answers the uids by
 * index. The coordinator must be running: groups and configs are made through its API.
 */
export async function fillFleet(
  { api, client, keys }: { readonly api: ApiClient; readonly client: RedisClient; readonly keys: Keys },
  options: FilledFleetOptions,
): Promise<readonly string[]> {
  const { agents, gateways = 8, hosts = 'host' } = options;
  const configs = new Map<string, ConfigRef>();
  for (const [group] of GROUPS) {
    const { name, version, hash } = await api.putConfig(group, collectorConfig(group), 'first version');
    configs.set(group, { name, version, hash });
    await api.call('PUT', `/groups/${group}`, { body: { selector: `env=${group}` } });
    const stable = formatStableField({ stable: { name, version, hash }, previous: null, trailingHeld: false });
    await commitSpec(client, keys, { guardGroup: null, mustExist: null, set: { [specField.stable(group)]: stable }, del: [], audit: null });
  }
  const { generation, contentHash } = parseSpec(await client.hgetall(keys.spec));
  const nowMs = Date.now();
  const uids = Array.from({ length: agents }, (_, index) => newUid(nowMs - agents + index));
  const byShard = keys.shards.map((): number[] => []);
  for (const [index, uid] of uids.entries()) byShard[shardOf(uid)]?.push(index);
  const connected = new Array<number>(gateways).fill(0);
  const unhealthy = new Array<number>(gateways).fill(0);

  const fillShard = async (shard: ShardKeys, indexes: readonly number[]): Promise<void> => {
    for (let gateway = 0; gateway < gateways; gateway += 1) {
      const own = indexes.filter((index) => index % gateways === gateway);
      for (let from = 0; from < own.length; from += BATCH) {
        const batch = own.slice(from, from + BATCH);
        const id = gatewayId(gateway);
        const replies = await claimAgents(client, shard, { gateway: id, mode: 'force', uids: batch.map((index) => uids[index] as string) });
        const items = batch.map((index, place): FlushItem => {
          const reply = replies[place];
          if (reply?.kind !== 'ok') throw new Error(`agent ${index} could not be claimed`);
          const isAway = index % 200 === 199;
          if (!isAway) {
            connected[gateway] = (connected[gateway] ?? 0) + 1;
            if (kindOf(index) === 'unhealthy') unhealthy[gateway] = (unhealthy[gateway] ?? 0) + 1;
          }
          return { ...recordOf(index, uids[index] as string, configs, nowMs, hosts), epoch: reply.epoch, release: isAway };
        });
        await flushAgents(client, shard, id, items);
      }
    }
  };
  // One after the other: on a machine that has no time, many at once would wait for each other beyond the deadline of a command.
  for (const [index, shard] of keys.shards.entries()) await fillShard(shard, byShard[index] ?? []);
  for (let gateway = 0; gateway < gateways; gateway += 1) {
    const info = {
      address: `10.0.0.${gateway + 1}:4320`,
      version: '0.1.0',
      draining: false,
      observed: `${generation}:${contentHash}`,
      evaluated: `${generation}:${contentHash}`,
      backlog: {},
      connected: connected[gateway] ?? 0,
      unhealthy: unhealthy[gateway] ?? 0,
      startedAtMs: nowMs - 86_400_000,
      trailing: {},
    };
    await renewLease(client, keys, { id: gatewayId(gateway), leaseMs: LEASE_MS, info });
  }
  return uids;
}

const gatewayId = (index: number): string => `gateway-${index + 1}`;

function recordOf(
  index: number,
  uid: string,
  configs: ReadonlyMap<string, ConfigRef>,
  nowMs: number,
  hosts: string,
): Omit<FlushItem, 'epoch' | 'release'> {
  const group = groupAt(index);
  const config = configs.get(group);
  if (config === undefined) throw new Error(`no config for ${group}`);
  const kind = kindOf(index);
  const isHealthy = kind !== 'unhealthy';
  const version = VERSIONS[index % VERSIONS.length] ?? '';
  const attributes = attributesAt(index, uid, {
    identifying: { 'service.version': version },
    nonIdentifying: { 'host.name': `${hosts}-${index}`, 'cloud.region': REGIONS[index % REGIONS.length] ?? '', env: group },
  });
  const other = 'e'.repeat(64);
  const [status, hash, sync] = (
    {
      good: ['APPLIED', config.hash, 'synced'],
      unhealthy: ['APPLIED', config.hash, 'synced'],
      failed: ['FAILED', config.hash, 'failed'],
      drifted: ['APPLIED', other, 'drifted'],
      unverified: ['UNSET', '', 'unverified'],
    } as const
  )[kind];
  const error = kind === 'failed' ? 'cannot start pipelines: listen tcp 127.0.0.1:4317: bind: address already in use' : '';
  const health = isHealthy ? 'healthy' : 'unhealthy';
  const component = {
    healthy: isHealthy,
    status: isHealthy ? 'StatusOK' : 'StatusRecoverableError',
    lastError: isHealthy ? '' : 'queue is full',
  };
  const body = Buffer.from(collectorConfig(group));
  return {
    uid,
    group,
    takesConfig: true,
    facets: [
      `group=${group}`,
      `group-health=${group}=${health}`,
      'service=otelcol-contrib',
      `version=${version}`,
      `health=${health}`,
      `status=${status.toLowerCase()}`,
      `sync=${sync}`,
      `running=${status === 'APPLIED' ? hash.slice(0, 12) : ''}`,
    ].join('\n'),
    effective: encodeEffectiveConfig({ '': { body, contentType: 'text/yaml' } }, nowMs),
    set: {
      seq: '7',
      capabilities: String(kind === 'unverified' ? ALL_CAPABILITIES - REPORTS_REMOTE_CONFIG : ALL_CAPABILITIES),
      attributes: JSON.stringify({ identifying: attributes.identifying, nonIdentifying: attributes.nonIdentifying }),
      health: isHealthy ? '1' : '0',
      healthSince: String(nowMs),
      healthTree: JSON.stringify({
        ...component,
        children: {
          extensions: { ...component, children: { 'extension:opamp': component } },
          'pipeline:traces': {
            ...component,
            children: { 'receiver:otlp': component, 'processor:batch': component, 'exporter:debug': component },
          },
        },
      }),
      reportedHash: hash,
      reportedStatus: status,
      reportedError: error,
      offered: config.hash,
      offerAnswered: '1',
      offeredFor: `group:${group}:1`,
      unhealthyWhenOffered: '0',
      componentsHash: '0'.repeat(64),
      transport: 'ws',
      ...(kind === 'failed' ? { failed: `${config.hash}:group:${group}:1` } : {}),
      history: JSON.stringify(status === 'UNSET' ? [] : [{ hash, status, atMs: nowMs, ...(error === '' ? {} : { error }) }]),
    },
    del: [],
    rows: [],
  };
}

function groupAt(index: number): string {
  const place = (index * 61) % 100;
  let end = 0;
  for (const [group, share] of GROUPS) {
    end += share;
    if (place < end) return group;
  }
  return 'stage';
}

/** Writes a day of history as it would have come about: steady, with one dip of ten minutes. */
export async function fillHistory(
  client: RedisClient,
  keys: Keys,
  options: {
    readonly agents: number;
    readonly gateways: number;
    readonly gatewayIds?: readonly string[];
    /** Writes this minute too, which a coordinator may have noted already. */
    readonly withPresent?: boolean;
  },
): Promise<void> {
  const now = Math.floor(Date.now() / MINUTE_MS);
  const fields: Record<string, string> = {};
  for (let ago = options.withPresent === true ? 0 : 1; ago < HISTORY_MINUTES; ago += 1) {
    const minute = now - ago;
    const isDip = ago > 400 && ago <= 410;
    const share = (isDip ? 0.6 : 0.985) + 0.01 * Math.sin(ago / 90);
    const gateways = Object.fromEntries(
      Array.from({ length: options.gateways }, (_, index) => [
        options.gatewayIds?.[index] ?? gatewayId(index),
        isDip && index === 0 ? 0 : Math.round(((options.agents * share) / options.gateways) * (1 + 0.03 * Math.sin(ago / 60 + index))),
      ]),
    );
    const connected = Object.values(gateways).reduce((sum, count) => sum + count, 0);
    fields[String(minute % HISTORY_MINUTES)] = JSON.stringify({ minute, connected, unhealthy: Math.round(connected * 0.02), gateways });
  }
  await client.hset(keys.history, fields);
}
