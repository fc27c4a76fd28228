import { claimAgents, deleteAgent } from '@opamp-gateway/shared/redis/agent-scripts';
import type { ClaimMode, ClaimReply } from '@opamp-gateway/shared/redis/agent-scripts';
import type { Clock } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import { newUid, shardOf } from '@opamp-gateway/shared/instance-uid';
import type { Keys, ShardKeys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { Principal } from '../principal.ts';
import type { AgentRecords, Claim } from '../session/ports.ts';
import { CallLimit } from './call-limit.ts';

export interface AgentRecordsOptions {
  redis: RedisClient;
  keys: Keys;
  clock: Clock;
  gatewayId: string;
  /** Silence after which an HTTP agent counts as away. */
  httpSilenceMs: number;
  /** How long a former owner may take to flush and release. */
  releaseWaitMs: number;
  /** Asks another gateway to flush and release an agent. */
  requestRelease(owner: string, uid: string): Promise<void>;
}

interface ClaimRequest {
  uid: string;
  principal: Principal;
  resolve(reply: ClaimReply): void;
  reject(error: Error): void;
}

type Queue = { mode: ClaimMode; transport: 'ws' | 'http'; requests: ClaimRequest[] };

/** Most uids in one claim call. */
const CLAIM_BATCH = 200;
/** Most claim calls under way, fewer while Redis is slow; further agents wait, and join the next call of their shard. */
const CLAIMS_IN_FLIGHT = 4;
/** How long an alias of a re-identified agent lasts. */
const ALIAS_TTL_SECONDS = 365 * 24 * 3600;

/** Claims agents' records in batches: all claims of one turn of the event loop, or of the time until a call may go out, are one call per shard. */
export class RedisAgentRecords implements AgentRecords {
  readonly #options: AgentRecordsOptions;
  readonly #limit: CallLimit;
  readonly #queues = new Map<string, Queue>();
  /** Queues whose turn has come, in this order. */
  readonly #ready: { name: string; shard: number; queue: Queue }[] = [];
  readonly #released = new Map<string, (() => void)[]>();

  constructor(options: AgentRecordsOptions) {
    this.#options = options;
    this.#limit = new CallLimit({ clock: options.clock, most: CLAIMS_IN_FLIGHT });
  }

  async claim(uid: string, transport: 'ws' | 'http', principal: Principal): Promise<Claim> {
    let reply = await this.#ask(uid, 'polite', transport, principal);
    if (reply.kind === 'owned') {
      await this.#waitForRelease(reply.owner, uid);
      reply = await this.#ask(uid, 'force', transport, principal);
    }
    if (reply.kind === 'foreign') return { kind: 'foreign' };
    if (reply.kind === 'alias') return { kind: 'alias', uid: reply.uid };
    if (reply.kind === 'owned') throw new Error(`claim of ${uid} was refused`);
    return { kind: 'ok', uid, epoch: reply.epoch, formerOwner: reply.formerOwner, fields: reply.fields };
  }

  async reclaim(uid: string, epoch: string, principal: Principal): Promise<Claim | { kind: 'owned' }> {
    let reply = await this.#ask(uid, 'again', 'ws', principal);
    // An older claim than ours: the store went back to a copy that lacks ours, and the agent is still here.
    if (reply.kind === 'owned' && Number(reply.epoch) < Number(epoch)) reply = await this.#ask(uid, 'force', 'ws', principal);
    if (reply.kind === 'alias') return { kind: 'alias', uid: reply.uid };
    if (reply.kind !== 'ok') return { kind: reply.kind };
    return { kind: 'ok', uid, epoch: reply.epoch, formerOwner: reply.formerOwner, fields: reply.fields };
  }

  /** Another gateway has let go of an agent that is being claimed here. */
  onReleased(uid: string): void {
    const waiting = this.#released.get(uid);
    this.#released.delete(uid);
    for (const resolve of waiting ?? []) resolve();
  }

  async newUidFor(uid: string): Promise<string> {
    const fresh = newUid(this.#options.clock.nowMs());
    if (uid === '') return fresh;
    const key = this.#shard(uid).alias(uid);
    const set = await this.#options.redis.set(key, fresh, 'EX', ALIAS_TTL_SECONDS, 'NX');
    return set === 'OK' ? fresh : ((await this.#options.redis.get(key)) ?? fresh);
  }

  async forget(uid: string): Promise<void> {
    await deleteAgent(this.#options.redis, this.#shard(uid), uid);
  }

  #shard(uid: string): ShardKeys {
    return this.#options.keys.shards[shardOf(uid)] as ShardKeys;
  }

  async #waitForRelease(owner: string, uid: string): Promise<void> {
    const released = new Promise<void>((resolve) => {
      this.#released.set(uid, [...(this.#released.get(uid) ?? []), resolve]);
    });
    await this.#options.requestRelease(owner, uid);
    await Promise.race([released, this.#options.clock.sleep(this.#options.releaseWaitMs)]);
    this.#released.delete(uid);
  }

  #ask(uid: string, mode: ClaimMode, transport: 'ws' | 'http', principal: Principal): Promise<ClaimReply> {
    return new Promise((resolve, reject) => {
      const shard = shardOf(uid);
      const name = `${shard}:${mode}:${transport}`;
      let queue = this.#queues.get(name);
      if (queue === undefined || queue.requests.length >= CLAIM_BATCH) {
        queue = { mode, transport, requests: [] };
        this.#queues.set(name, queue);
        const started = queue;
        setImmediate(() => {
          this.#ready.push({ name, shard, queue: started });
          this.#next();
        });
      }
      queue.requests.push({ uid, principal, resolve, reject });
    });
  }

  #next(): void {
    while (this.#limit.free) {
      const turn = this.#ready.shift();
      if (turn === undefined) return;
      if (this.#queues.get(turn.name) === turn.queue) this.#queues.delete(turn.name);
      void this.#send(turn.shard, turn.queue).finally(() => this.#next());
    }
  }

  async #send(shard: number, queue: Queue): Promise<void> {
    try {
      const { redis, keys, gatewayId, httpSilenceMs } = this.#options;
      const replies = await this.#limit.run(() =>
        claimAgents(redis, keys.shards[shard] as ShardKeys, {
          gateway: gatewayId,
          mode: queue.mode,
          uids: queue.requests.map((request) => request.uid),
          credentials: queue.requests.map((request) => request.principal),
          ...(queue.transport === 'http' ? { silenceMs: httpSilenceMs } : {}),
        }),
      );
      for (const [i, request] of queue.requests.entries()) {
        const reply = replies[i];
        if (reply === undefined) request.reject(new Error('claim was not answered'));
        else request.resolve(reply);
      }
    } catch (thrown) {
      for (const request of queue.requests) request.reject(toError(thrown));
    }
  }
}
