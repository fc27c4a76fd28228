import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { coordinatorConfig, type CoordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import type { Coordinator } from '@opamp-gateway/coordinator/coordinator';
import { readGatewayConfig } from '@opamp-gateway/gateway/config';
import { createGateway } from '@opamp-gateway/gateway/gateway';
import type { Gateway } from '@opamp-gateway/gateway/gateway';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { createKeys, type Keys } from '@opamp-gateway/shared/redis/keys';
import { HttpLink } from '../../conformance/http-link.ts';
import type { TlsMaterial } from '../../conformance/raw/endpoint.ts';
import type { HeaderList } from '../../conformance/raw/http-head.ts';
import { RawWebSocket, UpgradeRefusedError } from '../../conformance/raw/websocket-client.ts';
import { TestAgent, type AgentOptions } from '../../conformance/test-agent.ts';
import { WebSocketLink } from '../../conformance/websocket-link.ts';
import { uidText } from '../../conformance/wire.ts';
import { startRedis } from '../../support/rollout-lab.ts';
import type { RedisLab } from '../../support/rollout-lab.ts';

const DEADLINE_MS = 30_000;
const PREFIX = 'agent-auth';

/** A file beside the TLS fixtures' script. */
export function tlsFile(name: string): string {
  return new URL(`../../fixtures/tls/${name}`, import.meta.url).pathname;
}

/** The authority that signed the server's certificate, and a client certificate when one is named. */
export function tlsMaterial(client?: string): TlsMaterial {
  const ca = readFileSync(tlsFile('authority.pem'), 'utf8');
  if (client === undefined) return { ca };
  return { ca, cert: readFileSync(tlsFile(`${client}.pem`), 'utf8'), key: readFileSync(tlsFile(`${client}.key`), 'utf8') };
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  body: Record<string, unknown> & { items: Record<string, unknown>[] };
}

/** How an agent connects. */
export interface Dial {
  transport: 'ws' | 'http';
  gateway?: number;
  headers?: HeaderList;
  tls?: TlsMaterial;
}

/** Redis, a coordinator and gateways in this process, and agents that show what they are told to. */
export class AuthLab {
  readonly redis: RedisLab;
  readonly keys: Keys = createKeys(PREFIX);
  readonly coordinator: Coordinator;
  readonly gateways: Gateway[] = [];
  readonly #links: { abort(): void }[] = [];
  /** Uids of agents that were not refused: theirs may be written at any time. */
  readonly #accepted = new Set<string>();

  constructor(redis: RedisLab, coordinator: Coordinator) {
    this.redis = redis;
    this.coordinator = coordinator;
  }

  static async start(options: {
    gateways: readonly Readonly<Record<string, string>>[];
    coordinator?: Partial<CoordinatorConfig>;
  }): Promise<AuthLab> {
    const redis = await startRedis();
    const coordinator = createCoordinator(
      coordinatorConfig({ redisUrl: redis.url, keyPrefix: PREFIX, sweepMs: 200, graceMs: 1000, ...options.coordinator }),
      { logger: createSilentLogger() },
    );
    const lab = new AuthLab(redis, coordinator);
    await coordinator.start();
    for (const env of options.gateways) await lab.startGateway(env);
    return lab;
  }

  async startGateway(env: Readonly<Record<string, string>>): Promise<Gateway> {
    const gateway = createGateway(
      readGatewayConfig({
        OPAMP_REDIS_URL: this.redis.url,
        OPAMP_KEY_PREFIX: PREFIX,
        OPAMP_GATEWAY_ID: `gw-${this.gateways.length + 1}`,
        OPAMP_GATEWAY_HOST: '127.0.0.1',
        OPAMP_GATEWAY_PORT: '0',
        OPAMP_GATEWAY_ADMIN_HOST: '127.0.0.1',
        OPAMP_GATEWAY_ADMIN_PORT: '0',
        OPAMP_GATEWAY_DRAIN_MS: '0',
        OPAMP_GATEWAY_OFFER_RATE: '500',
        OPAMP_GATEWAY_SPEC_POLL_MS: '500',
        ...env,
      }),
      { logger: createSilentLogger() },
    );
    this.gateways.push(gateway);
    await gateway.start();
    return gateway;
  }

  async stop(): Promise<void> {
    this.disconnect();
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
    await this.coordinator.stop();
    await this.redis.stop();
  }

  /** Breaks every connection of an agent. */
  disconnect(): void {
    for (const link of this.#links.splice(0)) link.abort();
  }

  async call(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const answer = await fetch(`${this.coordinator.apiUrl}/api/v1${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'text/yaml' : 'application/json' }),
        'x-opamp-actor': 'tester',
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    return { status: answer.status, headers: answer.headers, text, body: (isJson ? JSON.parse(text) : {}) as Answer['body'] };
  }

  /** Makes a credential; answers its id and secret. */
  async token(body: Record<string, unknown>): Promise<{ id: string; text: string }> {
    const { status, text, body: made } = await this.call('POST', '/tokens', { name: 'test', ...body });
    if (status !== 201) throw new Error(`POST /tokens answered ${status}: ${text}`);
    return { id: String(made['id']), text: String(made['token']) };
  }

  /** Connects an agent that has said nothing yet. Rejects with an UpgradeRefusedError or, once it speaks, a PollRefusedError. */
  async dial({ transport, gateway = 0, headers = [], tls }: Dial, options: AgentOptions = {}): Promise<TestAgent> {
    const port = this.gateways[gateway]?.port ?? 0;
    const endpoint = {
      host: '127.0.0.1',
      port,
      path: '/v1/opamp',
      secure: tls !== undefined,
      authority: `127.0.0.1:${port}`,
      ...(tls === undefined ? {} : { tls }),
    };
    const open = async (): Promise<RawWebSocket> => {
      for (;;) {
        try {
          return await RawWebSocket.open(endpoint, DEADLINE_MS, { headers });
        } catch (error) {
          // A credential that this gateway has not heard of yet; agents come again too.
          if (!(error instanceof UpgradeRefusedError) || error.response.headers.get('retry-after') !== '1') throw error;
          await sleep(20);
        }
      }
    };
    const link =
      transport === 'ws'
        ? new WebSocketLink(await open(), DEADLINE_MS)
        : new HttpLink({ endpoint, deadlineMs: DEADLINE_MS, isInsecure: false, headers });
    this.#links.push(link);
    const agent = new TestAgent(link, DEADLINE_MS, options);
    this.#accepted.add(uidText(agent.uid));
    return agent;
  }

  /** Status with which an agent is let in (101 or 200) or refused; -1 when the connection itself fails. */
  async status(dial: Dial, options: AgentOptions = {}): Promise<number> {
    let agent: TestAgent | undefined;
    try {
      agent = await this.dial(dial, options);
      if (dial.transport === 'ws') return 101;
      await agent.first();
      return 200;
    } catch (error) {
      if (agent !== undefined) this.#accepted.delete(uidText(agent.uid));
      if (error instanceof UpgradeRefusedError) return error.response.status;
      if (error instanceof Error && 'status' in error) return Number(error.status);
      return -1;
    }
  }

  /** Uids of agents that have a record and were not let in by {@link dial} or {@link status}. */
  async strangers(): Promise<string[]> {
    const lists = await Promise.all(this.keys.shards.map(async (shard) => await this.redis.client.zrange(shard.agents, 0, '-1')));
    return lists.flat().filter((uid) => !this.#accepted.has(uid));
  }

  async audit(): Promise<{ action: string; target: string; actor: string; detail: Record<string, unknown> }[]> {
    return (await this.call('GET', '/audit')).body.items as never;
  }
}

export function bearer(text: string): HeaderList {
  return [['Authorization', `Bearer ${text}`]];
}
