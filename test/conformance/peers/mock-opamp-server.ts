import { createRequire } from 'node:module';
import { toWebSocketUrl, type Target } from '../target.ts';

/** Ways in which the mock server misbehaves on purpose. */
export type MockBadMode = 'server_error_response_unknown' | 'server_error_response_unavailable';

/** The few members of the published mock server that are used here. */
interface MockServer {
  readonly endpoint: string;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface MockModule {
  readonly MockOpAMPServer: new (options: {
    readonly logLevel: string;
    readonly hostname: string;
    readonly port: number;
    readonly badMode?: string;
  }) => MockServer;
}

/** A running server and how to end it. */
export interface RunningPeer {
  readonly target: Target;
  stop(): Promise<void>;
}

/** Starts the npm package @elastic/mockopampserver in this process. It speaks plain HTTP only and keeps one config for all. */
export const startMockOpampServer = async (badMode?: MockBadMode): Promise<RunningPeer> => {
  const require = createRequire(import.meta.url);
  const { MockOpAMPServer } = require('@elastic/mockopampserver') as MockModule;
  const server = new MockOpAMPServer({
    logLevel: 'fatal',
    hostname: '127.0.0.1',
    port: 0,
    ...(badMode === undefined ? {} : { badMode }),
  });
  await server.start();
  return {
    target: { url: toWebSocketUrl(server.endpoint), httpUrl: server.endpoint },
    stop: () => server.close(),
  };
};
