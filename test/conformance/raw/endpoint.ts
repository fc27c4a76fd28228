import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectSecure } from 'node:tls';
import { withDeadline } from './deadline.ts';

/** Where a server listens, taken apart for raw sockets. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** TLS or not. */
  readonly secure: boolean;
  /** Value for the Host header. */
  readonly authority: string;
  /** Certificates (PEM) of a TLS connection: whom to believe, and what to show. */
  readonly tls?: TlsMaterial;
}

/** PEM texts. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'ws:': 80,
  'http:': 80,
  'wss:': 443,
  'https:': 443,
};

/** Reads a ws, wss, http or https URL. Throws a TypeError for anything else. */
export const parseEndpoint = (url: string): Endpoint => {
  const parsed = new URL(url);
  const defaultPort = DEFAULT_PORTS[parsed.protocol];
  if (defaultPort === undefined) throw new TypeError(`not a ws, wss, http or https URL: ${url}`);
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? defaultPort : Number(parsed.port),
    path: parsed.pathname + parsed.search,
    secure: parsed.protocol === 'wss:' || parsed.protocol === 'https:',
    authority: parsed.host,
  };
};

/** Opens a TCP (or TLS) connection. Rejects when it is refused or takes longer than `deadlineMs`. */
export const connectSocket = async (endpoint: Endpoint, deadlineMs: number, insecure = false): Promise<Socket> => {
  const { host, port, secure, tls = {} } = endpoint;
  const socket = secure
    ? connectSecure({ host, port, rejectUnauthorized: !insecure, ALPNProtocols: ['http/1.1'], ...tls })
    : connectPlain({ host, port });
  socket.setNoDelay(true);
  const connected = new Promise<void>((resolve, reject) => {
    socket.once(secure ? 'secureConnect' : 'connect', () => resolve());
    socket.once('error', reject);
  });
  try {
    await withDeadline(connected, deadlineMs, `connecting to ${host}:${port}`);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
};
