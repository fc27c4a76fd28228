import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withDeadline } from '../raw/deadline.ts';
import { ALL_VIEW_PARTS, ApiRefusedError, type AgentView, type ConfigFiles, type TargetApi } from '../target.ts';
import { uidText } from '../wire.ts';
import type { RunningPeer } from './mock-opamp-server.ts';

const SOURCE = join(import.meta.dirname, 'opamp-go');

/** A built peer. */
export interface BuiltPeer {
  readonly binary: string;
  remove(): void;
}

/** The compiler cannot get at the library: no network, no module proxy. */
const UNREACHABLE = /dial tcp|lookup |i\/o timeout|connection refused|module lookup disabled|TLS handshake/;

/**
 * Builds the opamp-go peer into a temporary directory; answers with the reason when this machine cannot (no Go, no way to
 * the library). Throws with the compiler's words when the source is wrong.
 */
export const tryToBuildOpampGoServer = (): BuiltPeer | { readonly reason: string } => {
  if (spawnSync('go', ['version']).status !== 0) return { reason: 'there is no Go toolchain' };
  const directory = mkdtempSync(join(tmpdir(), 'opamp-go-peer-'));
  const binary = join(directory, 'peer');
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  const build = spawnSync('go', ['build', '-o', binary, '.'], { cwd: SOURCE, encoding: 'utf8' });
  if (build.status === 0) return { binary, remove };
  remove();
  if (UNREACHABLE.test(build.stderr)) return { reason: 'the opamp-go library cannot be downloaded' };
  throw new Error(`go build failed: ${build.stderr}`);
};

/** Starts a built peer on a free port. `compress` lets it negotiate permessage-deflate. */
export const startOpampGoServer = async (binary: string, options: { readonly compress?: boolean } = {}): Promise<RunningPeer> => {
  const child = spawn(binary, options.compress === true ? ['-compress'] : [], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  const address = new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk: string) => {
      output += chunk;
      const match = /listening on (\S+)\n/.exec(output);
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the peer ended with ${code}`)));
  });
  const host = await withDeadline(address, 30_000, 'the peer to listen');
  return {
    target: {
      url: `ws://${host}/v1/opamp`,
      httpUrl: `http://${host}/v1/opamp`,
      api: new PeerApi(`http://${host}/admin`),
    },
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
};

/** The peer's management API; its views already have the suite's shape, but for the 64-bit number as text. */
class PeerApi implements TargetApi {
  readonly shows = ALL_VIEW_PARTS;
  readonly reachesPollers = true;
  readonly #baseUrl: string;

  constructor(baseUrl: string) {
    this.#baseUrl = baseUrl;
  }

  async assignConfig(uid: Uint8Array, files: ConfigFiles): Promise<void> {
    await this.#call('PUT', `/agents/${uidText(uid)}/config`, files);
  }

  async getAgent(uid: Uint8Array): Promise<AgentView | undefined> {
    try {
      const text = await this.#call('GET', `/agents/${uidText(uid)}`);
      const view = JSON.parse(text) as Omit<AgentView, 'capabilities'> & { capabilities: string };
      return { ...view, capabilities: BigInt(view.capabilities) };
    } catch (error) {
      if (error instanceof ApiRefusedError && error.status === 404) return undefined;
      throw error;
    }
  }

  async restart(uid: Uint8Array): Promise<void> {
    await this.#call('POST', `/agents/${uidText(uid)}/restart`);
  }

  async sendCustomMessage(
    uid: Uint8Array,
    message: { readonly capability: string; readonly type: string; readonly data: Uint8Array },
  ): Promise<void> {
    const { capability, type, data } = message;
    await this.#call('POST', `/agents/${uidText(uid)}/messages`, {
      capability,
      type,
      data: Buffer.from(data).toString('base64'),
    });
  }

  async #call(method: string, path: string, body?: unknown): Promise<string> {
    const response = await fetch(`${this.#baseUrl}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiRefusedError(`${method} ${path}`, response.status, text.trim());
    return text;
  }
}
