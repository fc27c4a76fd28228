import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startStack, type Stack } from '../support/stack.ts';
import { NotApplicableError } from './check.ts';
import { GatewayApi } from './own-target.ts';
import { toHttpUrl, type ServerSettings, type StartedServer, type Target } from './target.ts';

const ACCEPTED_TOKEN = 'conformance-agent-token';
/** Small enough that a config can be larger, large enough for everything else that the suite sends. */
const MAX_MESSAGE_BYTES = 256 * 1024;
/** What is spread over it can be told from what comes at once, also by a test that was stopped for a while. */
const DRAIN_WINDOW_MS = 3_000;
const HTTP_SILENCE_MS = 6_000;
/** Longer than a busy machine stops a gateway between a connection and what comes on it. */
const FIRST_MESSAGE_MS = 8_000;

/**
 * Starts two gateways of this project with coordinator and store as real processes, and gives the suite all there is to
 * give: API, second node, authentication, a small limit, power over the processes, other settings. The packages have to
 * be built.
 */
export const startStackTarget = async (): Promise<StartedServer> => {
  const stack = await startStack({ gateways: 0, redis: { appendOnly: true } });
  try {
    const tokensFile = join(stack.directory, 'agent-tokens');
    await writeFile(tokensFile, `${ACCEPTED_TOKEN}\n`);
    const environment = {
      OPAMP_AGENT_AUTH: 'token',
      OPAMP_AGENT_TOKENS_FILE: tokensFile,
      OPAMP_GATEWAY_MAX_MESSAGE_BYTES: String(MAX_MESSAGE_BYTES),
      OPAMP_GATEWAY_DRAIN_MS: String(DRAIN_WINDOW_MS),
      OPAMP_GATEWAY_HTTP_SILENCE_MS: String(HTTP_SILENCE_MS),
      OPAMP_GATEWAY_IDENTIFY_TIMEOUT_MS: String(FIRST_MESSAGE_MS),
    };
    const nodes = [await stack.startGateway(environment), await stack.startGateway(environment)] as const;
    return { target: toTarget(stack, nodes, environment), stop: () => stack.stop() };
  } catch (error) {
    await stack.stop();
    throw error;
  }
};

const toTarget = (stack: Stack, nodes: readonly [string, string], environment: Readonly<Record<string, string>>): Target => {
  const urlOf = (name: string, path = '/v1/opamp'): string => `ws://127.0.0.1:${stack.port(name)}${path}`;
  const shared = {
    authorization: `Bearer ${ACCEPTED_TOKEN}`,
    refusedAuthorization: 'Bearer wrong',
    api: new GatewayApi({ baseUrl: stack.apiUrl }),
  };
  const start = async (settings: ServerSettings): Promise<StartedServer> => {
    if (settings.port === 'default') throw new NotApplicableError('every process of a test gets a port of its own');
    const { path, maxMessageBytes = MAX_MESSAGE_BYTES, maxConnections } = settings;
    const name = await stack.startGateway({
      ...environment,
      OPAMP_GATEWAY_MAX_MESSAGE_BYTES: String(maxMessageBytes),
      ...(path === undefined ? {} : { OPAMP_GATEWAY_PATH: path }),
      ...(maxConnections === undefined ? {} : { OPAMP_GATEWAY_MAX_CONNECTIONS: String(maxConnections) }),
    });
    const url = urlOf(name, path);
    return {
      target: { ...shared, url, httpUrl: toHttpUrl(url), limits: { maxMessageBytes } },
      stop: async () => {
        await stack.kill(name, 'SIGTERM');
      },
    };
  };
  // The outage has ended when every process has noticed, also the coordinator whose API the next check uses.
  const startStore = async (): Promise<void> => {
    await stack.startRedis();
    await Promise.all([...nodes, ...stack.names('coordinator')].map((name) => stack.waitUntilReady(name)));
  };
  return {
    ...shared,
    url: urlOf(nodes[0]),
    httpUrl: toHttpUrl(urlOf(nodes[0])),
    secondUrl: urlOf(nodes[1]),
    secondHttpUrl: toHttpUrl(urlOf(nodes[1])),
    settings: { start },
    // A gateway without its store can take nobody in: new agents on open connections, upgrades and posts are put off.
    overload: { begin: () => stack.stopRedis(), end: startStore },
    control: {
      stopStore: () => stack.stopRedis(),
      startStore,
      killNode: async (node) => {
        await stack.kill(nodes[node]);
      },
      restartNode: (node) => stack.restart(nodes[node]),
      drainNode: async (node) => {
        await stack.kill(nodes[node], 'SIGTERM');
      },
    },
    limits: {
      maxMessageBytes: MAX_MESSAGE_BYTES,
      drainWindowMs: DRAIN_WINDOW_MS,
      httpSilenceMs: HTTP_SILENCE_MS,
      firstMessageMs: FIRST_MESSAGE_MS,
    },
  };
};
