import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { coordinatorConfig } from '@opamp-gateway/coordinator/config';
import { createCoordinator } from '@opamp-gateway/coordinator/coordinator';
import { readGatewayConfig } from '@opamp-gateway/gateway/config';
import { createGateway } from '@opamp-gateway/gateway/gateway';

import { RedisServer } from '../../support/redis-server.ts';
import { CleanUp } from './suite.ts';

/** A running installation: a Redis of its own, gateways and a coordinator. */
export interface Stack {
  /** WebSocket URLs of the gateways; the same address takes plain HTTP. */
  readonly gatewayUrls: readonly string[];
  /** Base of the REST API, without `/api/v1`. */
  readonly apiUrl: string;
  /** Starts one more gateway with these settings and returns its URL. */
  addGateway(settings?: Readonly<Record<string, string>>): Promise<string>;
  stop(): Promise<void>;
}

/** Settings of every gateway of a stack: short times, so that a test of them is through soon. */
const GATEWAY_SETTINGS: Readonly<Record<string, string>> = {
  OPAMP_GATEWAY_HOST: '127.0.0.1',
  OPAMP_GATEWAY_PORT: '0',
  OPAMP_GATEWAY_ADMIN_HOST: '127.0.0.1',
  OPAMP_GATEWAY_ADMIN_PORT: '0',
  OPAMP_GATEWAY_DRAIN_MS: '0',
  OPAMP_GATEWAY_RETRY_AFTER_SECONDS: '1',
  OPAMP_LOG_LEVEL: 'warn',
};

/** Starts a Redis, `gateways` gateways (2 unless told otherwise) and a coordinator. */
export async function startStack(gateways = 2): Promise<Stack> {
  const cleanUp = new CleanUp();
  try {
    const directory = cleanUp.add(await mkdtemp(path.join(tmpdir(), 'opamp-interop-')), (dir) => rm(dir, { recursive: true, force: true }));
    const redis = cleanUp.add(await RedisServer.start({ directory }), (server) => server.stop());
    const coordinator = createCoordinator(coordinatorConfig({ redisUrl: redis.url, logLevel: 'warn' }));
    await coordinator.start();
    cleanUp.add(coordinator, (service) => service.stop());

    let count = 0;
    const addGateway = async (settings: Readonly<Record<string, string>> = {}): Promise<string> => {
      count++;
      const gateway = createGateway(
        readGatewayConfig({ ...GATEWAY_SETTINGS, OPAMP_REDIS_URL: redis.url, OPAMP_GATEWAY_ID: `gateway-${count}`, ...settings }),
      );
      await gateway.start();
      cleanUp.add(gateway, (service) => service.stop());
      return `ws://127.0.0.1:${gateway.port}/v1/opamp`;
    };
    const gatewayUrls: string[] = [];
    for (let i = 0; i < gateways; i++) {
      gatewayUrls.push(await addGateway());
    }
    return { gatewayUrls, apiUrl: coordinator.apiUrl, addGateway, stop: () => cleanUp.run() };
  } catch (error) {
    await cleanUp.run();
    throw error;
  }
}
