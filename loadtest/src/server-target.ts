/** Where agents connect to. */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { hash32 } from './random.ts';

/** One server address, whichever of ws, wss, http and https the URL named. */
export interface ServerTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly tls: boolean;
}

/** Certificates for wss and https, as PEM. Without a CA any server certificate is taken. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Parses a server URL. Throws TypeError for anything but ws, wss, http and https. */
export function parseTarget(url: string): ServerTarget {
  const { protocol, hostname, port, pathname, search } = new URL(url);
  const tls = protocol === 'wss:' || protocol === 'https:';
  if (!tls && protocol !== 'ws:' && protocol !== 'http:') throw new TypeError(`server URL has to be ws, wss, http or https: ${url}`);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (tls ? 443 : 80), path: pathname + search, tls };
}

const targetNames = new Map<string, string>();

/** Host and port as text, the same text for all agents of a server. */
export function targetName({ host, port }: ServerTarget): string {
  const name = `${host}:${port}`;
  const known = targetNames.get(name);
  if (known !== undefined) return known;
  targetNames.set(name, name);
  return name;
}

/** Settings of a TargetPicker. */
export interface TargetPickerOptions {
  readonly urls: readonly string[];
  readonly random: () => number;
  /**
   * For loopback servers on the wildcard address: every N agents use another 127.x.y.z address, because each
   * destination has its own space of ephemeral ports. 0 = off.
   */
  readonly agentsPerAddress: number;
}

/** Chooses servers: by hash at first, at random after a failure. */
export class TargetPicker {
  readonly #targets: readonly ServerTarget[];
  readonly #random: () => number;
  readonly #agentsPerAddress: number;

  constructor({ urls, random, agentsPerAddress }: TargetPickerOptions) {
    if (urls.length === 0) throw new TypeError('a swarm needs at least one server URL');
    this.#targets = urls.map(parseTarget);
    this.#random = random;
    this.#agentsPerAddress = agentsPerAddress;
  }

  /** The server an agent prefers. */
  first(agentIndex: number): ServerTarget {
    return this.#at(agentIndex, hash32(`target:${agentIndex}`) % this.#targets.length);
  }

  /** Another server after a failure; the same one when there is no other. */
  other(agentIndex: number, failed: ServerTarget): ServerTarget {
    const others = this.#targets.filter(({ port, host }) => port !== failed.port || (host !== failed.host && this.#agentsPerAddress === 0));
    const next = others[Math.floor(this.#random() * others.length)];
    return next === undefined ? failed : this.#spread(agentIndex, next);
  }

  #at(agentIndex: number, targetIndex: number): ServerTarget {
    const target = this.#targets[targetIndex];
    if (target === undefined) throw new RangeError(`no server ${targetIndex}`);
    return this.#spread(agentIndex, target);
  }

  #spread(agentIndex: number, target: ServerTarget): ServerTarget {
    if (this.#agentsPerAddress === 0 || target.host !== '127.0.0.1') return target;
    const block = Math.floor(agentIndex / this.#agentsPerAddress);
    return { ...target, host: `127.1.${block >> 8}.${block & 0xff}` };
  }
}

/** Opens a socket to a target. */
export type OpenSocket = (target: ServerTarget, onData: (data: Buffer) => void) => Socket;

/**
 * Makes the function that opens sockets. All sockets of a process read into one buffer, so what `onData` gets is valid
 * during the call only.
 */
export function createSocketOpener(tls: TlsMaterial = {}): OpenSocket {
  const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
  // One for all sockets: made anew for each it would be most of what a connect costs.
  let secureContext: SecureContext | undefined;
  return (target, onData) => {
    const onread: OnReadOpts = {
      buffer: readBuffer,
      callback: (length) => {
        onData(readBuffer.subarray(0, length));
        return true;
      },
    };
    const { host, port } = target;
    if (!target.tls) return connectTcp({ host, port, noDelay: true, onread });
    secureContext ??= createSecureContext(tls);
    // A server name is a name: addresses are checked without one.
    const socket = connectTls({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      rejectUnauthorized: tls.ca !== undefined,
      secureContext,
    });
    socket.on('data', onData);
    return socket;
  };
}
