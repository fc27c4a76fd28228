import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** The logger that every module takes: constant messages, data in fields, errors under `err`. */
export type Logger = PinoLogger;

/** The accepted log levels, most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names of fields that may hold a secret; they are replaced wherever they stand, down to two objects deep. */
const SECRET_FIELDS = ['authorization', 'Authorization', 'cookie', 'token', 'tokens', 'apiToken', 'password', 'secret'];
const REDACTED_PATHS = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]);

/** Options of `createLogger`. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** Name of the process, `opamp-gateway` for example. */
  readonly name: string;
  /** Fields on every line, the gateway's id for example. */
  readonly bindings?: Readonly<Record<string, unknown>>;
  /** Where lines go; standard output when unset. */
  readonly destination?: DestinationStream;
}

/** Builds the logger of one process object: one JSON object per line, RFC 3339 UTC times, secrets replaced. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    name: options.name,
    base: { pid: process.pid, ...options.bindings },
    serializers: { err: serializeError },
    redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** A logger that writes nothing. */
export function createSilentLogger(): Logger {
  return pino({ level: 'silent' });
}

/** Redis errors carry the command that failed; its arguments can be a password or a megabyte, so only its name is logged. */
function serializeError(error: Error): Record<string, unknown> {
  const serialized: Record<string, unknown> = { ...pino.stdSerializers.err(error) };
  // The serializer's own accessor to the original error, which must not become a field.
  delete serialized['raw'];
  const { command } = serialized;
  if (typeof command === 'object' && command !== null) serialized['command'] = 'name' in command ? command.name : undefined;
  return serialized;
}
