import type { Clock } from '@opamp-gateway/shared/clock';
import { toError } from '@opamp-gateway/shared/errors';
import type { ComponentDetails } from '@opamp-gateway/proto/opamp';
import { valueText } from '@opamp-gateway/shared/key-value';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { ComponentStore } from '../session/ports.ts';

const ASK_AGAIN_MS = 30_000;
const MAX_KNOWN = 10_000;
/** Most bytes of one list. A full contrib build has about 42 kB. */
const MAX_LIST_BYTES = 1024 * 1024;

interface ListNode {
  metadata?: Record<string, string>;
  components?: Record<string, ListNode>;
}

function toNode(details: ComponentDetails, depth: number): ListNode {
  const node: ListNode = {};
  if (details.metadata.length > 0) {
    node.metadata = Object.fromEntries(
      details.metadata.slice(0, 16).map(({ key, value }) => [key.slice(0, 256), valueText(value).slice(0, 512)]),
    );
  }
  const names = Object.entries(details.subComponentMap);
  if (names.length > 0 && depth < 4) {
    node.components = Object.fromEntries(names.map(([name, child]) => [name.slice(0, 256), toNode(child, depth + 1)]));
  }
  return node;
}

/**
 * Component lists by hash: one per build of a collector, not one per agent. A list that nobody has is asked from one
 * agent at a time. [OpAMP AvailableComponents]
 */
export class RedisComponentStore implements ComponentStore {
  readonly #redis: RedisClient;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known = new Set<string>();
  readonly #askedAtMs = new Map<string, number>();
  readonly #checking = new Set<string>();

  constructor(options: { redis: RedisClient; keys: Keys; clock: Clock; logger: Logger }) {
    this.#redis = options.redis;
    this.#keys = options.keys;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  shouldAsk(hash: string): boolean {
    if (this.#known.has(hash)) return false;
    const now = this.#clock.nowMs();
    const asked = this.#askedAtMs.get(hash);
    if (asked !== undefined && now - asked < ASK_AGAIN_MS) return false;
    if (this.#askedAtMs.size >= MAX_KNOWN) this.#askedAtMs.clear();
    this.#askedAtMs.set(hash, now);
    void this.#check(hash);
    return true;
  }

  put(hash: string, components: unknown): void {
    const list = Object.fromEntries(
      Object.entries(components as Record<string, ComponentDetails>).map(([kind, details]) => [kind, toNode(details, 0)]),
    );
    const text = JSON.stringify(list);
    if (text.length > MAX_LIST_BYTES) {
      this.#logger.warn({ hash, bytes: text.length }, 'component list is too long and is not kept');
      return;
    }
    this.#remember(hash);
    this.#redis.set(this.#keys.components(hash), text).catch((thrown: unknown) => {
      this.#known.delete(hash);
      this.#logger.warn({ hash, error: toError(thrown).message }, 'cannot keep a component list, will ask again');
    });
  }

  /** Another gateway may have the list already: then no further agent is asked. */
  async #check(hash: string): Promise<void> {
    if (this.#checking.has(hash)) return;
    this.#checking.add(hash);
    try {
      if ((await this.#redis.exists(this.#keys.components(hash))) === 1) this.#remember(hash);
    } catch (thrown) {
      this.#logger.debug({ hash, error: toError(thrown).message }, 'cannot look up a component list');
    } finally {
      this.#checking.delete(hash);
    }
  }

  #remember(hash: string): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.add(hash);
  }
}
