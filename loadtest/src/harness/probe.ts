/** A look at somebody's deployment before a whole fleet is sent to it. */
import { randomBytes } from 'node:crypto';
import { createSocketOpener, parseTarget, type TlsMaterial } from '../server-target.ts';

const TIMEOUT_MS = 15_000;

/** Thrown when no agent could connect; the message says to what, and why. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError';
}

/** What agents will present. */
export interface ProbeOptions {
  readonly agentToken: string | undefined;
  readonly tls: TlsMaterial | undefined;
}

function requestText(path: string, host: string, agentToken: string | undefined): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    ...(agentToken === undefined ? [] : [`Authorization: Bearer ${agentToken}`]),
    '',
    '',
  ].join('\r\n');
}

/** Status of the answer to a WebSocket upgrade. Rejects when there is none. */
async function upgradeStatus(url: string, { agentToken, tls }: ProbeOptions): Promise<number> {
  const target = parseTarget(url);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = createSocketOpener(tls)(target, (data) => {
      text += data.toString('latin1');
      const [, status] = /^HTTP\/1\.\d (\d{3})/.exec(text) ?? [];
      if (status !== undefined) resolve(Number(status));
      else if (text.includes('\n')) reject(new Error('the answer is not HTTP'));
      else return;
      socket.destroy();
    });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('it closed the connection without an answer')));
    socket.on(target.tls ? 'secureConnect' : 'connect', () => {
      socket.write(requestText(target.path, `${target.host}:${target.port}`, agentToken));
    });
  });
}

/**
 * Tries a WebSocket upgrade at each URL, as an agent would. A refusal for now (503, 429) is no reason to stay away. Rejects with
 * ProbeError for the first URL at which no agent could connect.
 */
export async function probeUrls(urls: readonly string[], options: ProbeOptions): Promise<void> {
  for (const url of urls) {
    let status: number;
    try {
      status = await upgradeStatus(url, options);
    } catch (error) {
      throw new ProbeError(`no agent can connect to ${url}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    if (status === 401 || status === 403) {
      throw new ProbeError(
        `${url} refuses agents with ${status}: ${options.agentToken === undefined ? 'it wants a token, see --agent-token-file' : 'is the token of --agent-token-file right?'}`,
      );
    }
    // Somebody may poll only: an http URL need not speak WebSocket.
    const isWebSocket = /^wss?:/.test(url);
    if (isWebSocket && status !== 101 && status !== 503 && status !== 429) {
      throw new ProbeError(`${url} answers ${status} to a WebSocket upgrade: is the path right?`);
    }
  }
}
