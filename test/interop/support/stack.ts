import { startStack as startProcesses } from '../../support/stack.ts';
import type { Stack as Processes } from '../../support/stack.ts';

/** A running installation as the suite sees it: a Redis of its own, gateways and a coordinator, each a process. */
export interface Stack {
  /** WebSocket URLs of the gateways; the same address takes plain HTTP. */
  readonly gatewayUrls: readonly string[];
  /** Base of the REST API, without `/api/v1`. */
  readonly apiUrl: string;
  /** Starts one more gateway with these settings and returns its URL. */
  addGateway(settings?: Readonly<Record<string, string>>): Promise<string>;
  stop(): Promise<void>;
}

/** What real agents depend on is as in production: they send something every 30 s, and their pongs may be late. */
const GATEWAY_SETTINGS = {
  OPAMP_GATEWAY_LEASE_MS: '15000',
  OPAMP_GATEWAY_LEASE_RENEW_MS: '5000',
  OPAMP_GATEWAY_PONG_TIMEOUT_MS: '60000',
  OPAMP_GATEWAY_HEARTBEAT_INTERVAL_MS: '30000',
  OPAMP_GATEWAY_HTTP_SILENCE_MS: '90000',
  OPAMP_GATEWAY_DEGRADED_AFTER_MS: '15000',
  OPAMP_GATEWAY_FULL_STATE_INTERVAL_MS: '30000',
};

/** Starts a Redis, two gateways and a coordinator. The packages have to be built. */
export async function startStack(): Promise<Stack> {
  const processes: Processes = await startProcesses({ gatewayEnv: GATEWAY_SETTINGS });
  const { gatewayUrls, apiUrl } = processes;
  return {
    gatewayUrls,
    apiUrl,
    async addGateway(settings = {}) {
      const port = processes.port(await processes.startGateway(settings));
      return `ws://127.0.0.1:${port}/v1/opamp`;
    },
    stop: () => processes.stop(),
  };
}
