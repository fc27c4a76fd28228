import { formatFailed, parseFailed } from '@opamp-gateway/shared/agent-record';
import { desired, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { FailedHash, FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { claimAgents, flushAgents } from '@opamp-gateway/shared/redis/agent-scripts';
import type { FlushItem, FlushReply, RowWrite } from '@opamp-gateway/shared/redis/agent-scripts';
import { endLease, renewLease } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { LeaseInfo } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import { parseRow } from '@opamp-gateway/shared/rollout-types';
import type { Row } from '@opamp-gateway/shared/rollout-types';
import { flushItem } from './flush-item.ts';

/** How a played agent answers the offer of a config hash. */
export type Answer = 'applied' | 'failed' | 'silent';

/** An agent that a {@link FakeGateway} plays. */
export interface FakeAgent {
  readonly uid: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** What it says to an offer; the default applies everything. */
  answer: (hash: string) => Answer;
  connected: boolean;
  epoch: string;
  running: string;
  offered: string;
  failed: Map<string, FailedHash>;
  rows: Map<string, Row>;
  /** Every hash it was offered, in order. */
  readonly offers: string[];
}

const TOUCHED = new Set([
  'offered',
  'applying',
  'verifying',
  'applied',
  'failed',
  'degraded',
  'lost',
  'timedOut',
  'unverified',
  'restoring',
  'restored',
  'restoreFailed',
]);
const FAILING = new Set(['failed', 'degraded', 'lost', 'timedOut']);
/** AcceptsRemoteConfig, ReportsRemoteConfig, ReportsStatus, ReportsHealth. */
const CAPABILITIES = String(1 | 2 | 2048 | 4096);

/**
 * Plays a gateway and its agents with the real scripts and the real `desired`, without sockets, one round at a time: so a
 * test decides what happens between two steps of a coordinator.
 */
export class FakeGateway {
  readonly id: string;
  readonly agents = new Map<string, FakeAgent>();
  readonly #client: RedisClient;
  readonly #keys: Keys;
  readonly #leaseMs: number;
  spec: FleetSpec = parseSpec({});
  observed = '';
  /** Agents that it says it holds, and how many of them are unhealthy: for the breaker of the whole fleet. */
  census = { connected: 0, unhealthy: 0 };

  constructor(options: { id: string; client: RedisClient; keys: Keys; leaseMs?: number }) {
    this.id = options.id;
    this.#client = options.client;
    this.#keys = options.keys;
    this.#leaseMs = options.leaseMs ?? 60_000;
  }

  /** Connects agents: claims them and books their group and attributes. */
  async connect(uids: readonly string[], attributes: Readonly<Record<string, string>> = {}): Promise<void> {
    for (const uid of uids) {
      const agent = this.agents.get(uid) ?? {
        uid,
        attributes,
        answer: () => 'applied' as const,
        connected: false,
        epoch: '0',
        running: '',
        offered: '',
        failed: new Map(),
        rows: new Map(),
        offers: [],
      };
      this.agents.set(uid, agent);
      const [reply] = await claimAgents(this.#client, this.#shard(uid), { gateway: this.id, mode: 'force', uids: [uid] });
      if (reply?.kind !== 'ok') throw new Error(`agent ${uid} could not be claimed: ${JSON.stringify(reply)}`);
      agent.connected = true;
      agent.epoch = reply.epoch;
      agent.offered = reply.fields['offered'] ?? '';
      agent.failed = parseFailed(reply.fields['failed'] ?? '');
      agent.rows = new Map();
      for (const [field, text] of Object.entries(reply.fields)) {
        const row = field.startsWith('r:') ? parseRow(text) : undefined;
        if (row !== undefined) agent.rows.set(field.slice(2), row);
      }
      const group = this.#desired(agent).group?.name ?? '-';
      await this.#flush(agent, [], {
        group,
        takesConfig: true,
        facets: `group=${group}`,
        set: {
          capabilities: CAPABILITIES,
          attributes: JSON.stringify({ identifying: {}, nonIdentifying: agent.attributes }),
          health: '1',
          healthSince: '1',
        },
      });
    }
  }

  /** Gives an agent a config of its own, which takes it out of those that a rollout reaches. */
  async pin(uid: string): Promise<void> {
    const pin = JSON.stringify({ id: 'p1', config: { name: 'own', version: 1, hash: 'aa' } });
    await this.#flush(this.#agent(uid), [], { takesConfig: false, set: { pin } });
  }

  /** Ends agents' connections. */
  async disconnect(uids: readonly string[]): Promise<void> {
    for (const uid of uids) {
      const agent = this.#agent(uid);
      await this.#flush(agent, [], { release: true });
      agent.connected = false;
    }
  }

  /** Reads the spec, brings every agent in line with it, lets the agents answer, and says so in the lease. */
  async round(): Promise<void> {
    await this.readSpec();
    for (const agent of this.agents.values()) if (agent.connected) await this.#evaluate(agent);
    this.observed = `${this.spec.generation}:${this.spec.contentHash}`;
    await this.renew();
  }

  async readSpec(): Promise<void> {
    this.spec = parseSpec(await this.#client.hgetall(this.#keys.spec));
  }

  /** Renews the lease with what was observed last. */
  async renew(backlog: Record<string, number> = {}, trailing: LeaseInfo['trailing'] = {}): Promise<void> {
    await renewLease(this.#client, this.#keys, {
      id: this.id,
      leaseMs: this.#leaseMs,
      info: {
        address: '',
        version: '',
        draining: false,
        observed: this.observed,
        evaluated: this.observed,
        backlog,
        ...this.census,
        startedAtMs: 0,
        trailing,
      },
    });
  }

  /** Gives the lease back and forgets the agents; their records still name this gateway. */
  async vanish(): Promise<void> {
    await endLease(this.#client, this.#keys, this.id, false);
  }

  /** Sets an agent's health as the record has it. */
  async setHealth(uid: string, healthy: boolean): Promise<void> {
    await this.#flush(this.#agent(uid), [], { set: { health: healthy ? '1' : '0' } });
  }

  /** Books one row as it is, for tests of single moves. */
  async book(uid: string, row: RowWrite): Promise<FlushReply> {
    return this.#flush(this.#agent(uid), [row], {});
  }

  async #evaluate(agent: FakeAgent): Promise<void> {
    const want = this.#desired(agent);
    const { rollout } = want;
    const row = rollout === null ? undefined : agent.rows.get(rollout.id);
    if (rollout !== null && rollout.direction === 'back' && row !== undefined && TOUCHED.has(row.status)) {
      await this.#restore(agent, rollout, row, want.config?.hash);
      return;
    }
    if (want.config === null) return;
    const { hash } = want.config;
    const known = agent.offered === '' ? agent.running : agent.offered;
    if (want.source !== 'rollout' || rollout === null) {
      if (known !== hash) await this.#offer(agent, hash, null);
      return;
    }
    if (known !== hash) {
      await this.#offer(agent, hash, rollout);
    } else if (row === undefined || (row.attempt < rollout.attempt && FAILING.has(row.status))) {
      await this.#flush(agent, [this.#row(rollout, 'applied')], {});
    } else if (row.status === 'offered') {
      await this.#answer(agent, hash, rollout);
    }
  }

  async #offer(agent: FakeAgent, hash: string, rollout: RolloutSpec | null): Promise<void> {
    const rows = rollout === null ? [] : [this.#row(rollout, 'offered', rollout.ackTimeoutMs)];
    await this.#flush(agent, rows, { set: { offered: hash } });
    agent.offered = hash;
    agent.offers.push(hash);
    await this.#answer(agent, hash, rollout);
  }

  async #answer(agent: FakeAgent, hash: string, rollout: RolloutSpec | null): Promise<void> {
    const answer = agent.answer(hash);
    if (answer === 'silent') return;
    if (answer === 'applied') {
      agent.running = hash;
      const held = rollout !== null && rollout.healthHoldMs > 0;
      const rows = rollout === null ? [] : [held ? this.#row(rollout, 'verifying', rollout.healthHoldMs) : this.#row(rollout, 'applied')];
      await this.#flush(agent, rows, { set: { reportedHash: hash, reportedStatus: 'APPLIED' } });
      return;
    }
    agent.failed.set(hash, { by: rollout?.id ?? '', attempt: rollout?.attempt ?? 1 });
    const rows = rollout === null ? [] : [{ ...this.#row(rollout, 'failed'), error: 'refused by the agent' }];
    await this.#flush(agent, rows, { set: { failed: formatFailed(agent.failed), reportedHash: hash, reportedStatus: 'FAILED' } });
    // Taken back at once.
    await this.#evaluate(agent);
  }

  async #restore(agent: FakeAgent, rollout: RolloutSpec, row: Row, hash: string | undefined): Promise<void> {
    if (row.status === 'restored' || row.status === 'restoreFailed') return;
    const attempt = { attempt: row.attempt };
    if (row.status !== 'restoring')
      await this.#flush(agent, [{ ...this.#row(rollout, 'restoring', rollout.ackTimeoutMs), ...attempt }], {});
    if (hash === undefined) {
      await this.#flush(agent, [{ ...this.#row(rollout, 'restoreFailed'), ...attempt, error: 'no version to go back to' }], {});
      return;
    }
    if (agent.offered !== hash) {
      await this.#flush(agent, [], { set: { offered: hash } });
      agent.offered = hash;
      agent.offers.push(hash);
    }
    const answer = agent.answer(hash);
    if (answer === 'silent') return;
    if (answer === 'applied') agent.running = hash;
    await this.#flush(agent, [{ ...this.#row(rollout, answer === 'applied' ? 'restored' : 'restoreFailed'), ...attempt }], {});
  }

  #row(rollout: RolloutSpec, status: RowWrite['status'], deadlineInMs = -1): RowWrite {
    return {
      rollout: rollout.id,
      wave: rollout.wave,
      status,
      attempt: rollout.attempt,
      deadlineInMs,
      ackTimeoutMs: rollout.ackTimeoutMs,
      soft: false,
      error: '',
    };
  }

  #desired(agent: FakeAgent): ReturnType<typeof desired> {
    return desired(this.spec, {
      origin: agent.uid,
      attributes: agent.attributes,
      pin: null,
      failed: agent.failed,
      wasOffered: (id) => TOUCHED.has(agent.rows.get(id)?.status ?? ''),
    });
  }

  async #flush(agent: FakeAgent, rows: readonly RowWrite[], over: Partial<FlushItem>): Promise<FlushReply> {
    const item = flushItem(agent.uid, agent.epoch, { rows, ...over });
    const [reply] = await flushAgents(this.#client, this.#shard(agent.uid), this.id, [item]);
    if (reply === undefined) throw new Error('no reply to a flush');
    if (reply.kind === 'ok') {
      for (const [id, text] of Object.entries(reply.rows)) {
        const row = parseRow(text);
        if (row === undefined) agent.rows.delete(id);
        else agent.rows.set(id, row);
      }
    }
    return reply;
  }

  #agent(uid: string): FakeAgent {
    const agent = this.agents.get(uid);
    if (agent === undefined) throw new Error(`agent ${uid} was never connected`);
    return agent;
  }

  #shard(uid: string): ShardKeys {
    return this.#keys.shards[shardOf(uid)] as ShardKeys;
  }
}

/** Writes a group and, when given, its proven version straight into the spec. */
export async function putGroup(
  client: RedisClient,
  keys: Keys,
  group: { name: string; selector: string; stable?: { name: string; version: number; hash: string } },
): Promise<void> {
  await client.hset(keys.spec, specField.group(group.name), JSON.stringify({ selector: group.selector, priority: 1, mode: 'manage' }));
  if (group.stable !== undefined)
    await client.hset(keys.spec, specField.stable(group.name), JSON.stringify({ stable: group.stable, previous: null }));
  await client.hincrby(keys.spec, specField.generation, 1);
}
