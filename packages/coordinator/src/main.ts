import { EXIT_CODES, exitCodeOf, toError } from '@opamp-gateway/shared/errors';
import { runUntilSignal } from '@opamp-gateway/shared/lifecycle';
import { createLogger } from '@opamp-gateway/shared/logger';
import { readConfig } from './config.ts';
import { createCoordinator } from './coordinator.ts';

/** Longest shutdown; everything in it has shorter limits of its own. */
const SHUTDOWN_MS = 4500;

async function main(): Promise<number> {
  let read: ReturnType<typeof readConfig>;
  try {
    read = readConfig();
  } catch (error) {
    process.stderr.write(`${toError(error).message}\n`);
    return exitCodeOf(error);
  }
  const { config, ignored } = read;
  const logger = createLogger({ level: config.logLevel, name: 'opamp-coordinator', bindings: { coordinator: config.id } });
  if (ignored.length > 0) logger.debug({ variables: ignored }, 'variables that Kubernetes made for services are ignored');
  return await runUntilSignal([createCoordinator(config, { logger })], { deadlineMs: SHUTDOWN_MS, logger });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${toError(error).stack ?? ''}\n`);
    process.exitCode = EXIT_CODES.software;
  },
);
