/** Just enough of the Redis protocol to read INFO: the harness adds one command a second, and no library. */
import { createConnection } from 'node:net';

const TIMEOUT_MS = 2_000;
const SCRIPT_COMMANDS = ['eval', 'evalsha', 'eval_ro', 'evalsha_ro', 'fcall', 'fcall_ro'];

/** Sends one command and answers the bulk or simple string that comes back. Rejects on errors and silence. */
async function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    let received = Buffer.alloc(0);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(TIMEOUT_MS, () => fail(new Error('Redis did not answer')));
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('Redis closed the connection')));
    socket.once('connect', () => socket.write(`${command}\r\n`));
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      const end = received.indexOf('\r\n');
      if (end === -1) return;
      const head = received.toString('latin1', 0, end);
      if (head.startsWith('-')) {
        fail(new Error(head.slice(1)));
        return;
      }
      const length = head.startsWith('$') ? Number(head.slice(1)) : 0;
      if (received.length < end + 2 + length) return;
      resolve(head.startsWith('$') ? received.toString('utf8', end + 2, end + 2 + length) : head.slice(1));
      socket.destroy();
    });
  });
}

/** Numbers of a Redis server; counters start again with the server. */
export interface RedisInfo {
  readonly commands: number;
  /** Scripts that clients called; the commands inside them count under `commands`. */
  readonly scripts: number;
  readonly memoryBytes: number;
  readonly netInputBytes: number;
  readonly netOutputBytes: number;
  readonly version: string;
}

/** Reads `INFO everything` as a map of its lines. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':');
      return colon > 0 && !line.startsWith('#') ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
    }),
  );
}

/** `calls=12,usec=…` of a line of the command statistics. */
function callsOf(line: string | undefined): number {
  return Number(/^calls=(\d+)/.exec(line ?? '')?.[1] ?? 0);
}

/** Asks a Redis on the loopback address; undefined when it does not answer. */
export async function readRedisInfo(port: number): Promise<RedisInfo | undefined> {
  try {
    const info = parseInfo(await ask(port, 'INFO everything'));
    const number = (name: string): number => Number(info.get(name) ?? 0);
    return {
      commands: number('total_commands_processed'),
      scripts: SCRIPT_COMMANDS.reduce((sum, name) => sum + callsOf(info.get(`cmdstat_${name}`)), 0),
      memoryBytes: number('used_memory'),
      netInputBytes: number('total_net_input_bytes'),
      netOutputBytes: number('total_net_output_bytes'),
      version: `${info.get('server_name') ?? 'redis'} ${info.get('valkey_version') ?? info.get('redis_version') ?? ''}`.trim(),
    };
  } catch {
    return undefined;
  }
}
