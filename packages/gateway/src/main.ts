import { ConfigurationError, exitCodeOf, toError } from '@opamp-gateway/shared/errors';
import { runUntilSignal } from '@opamp-gateway/shared/lifecycle';
import { createLogger } from '@opamp-gateway/shared/logger';
import { readGatewayConfig } from './config.ts';
import { createGateway } from './gateway.ts';

/** Time beyond the drain window that a shutdown may take. */
const SHUTDOWN_MS = 8_000;

async function main(): Promise<number> {
  try {
    const config = readGatewayConfig();
    const logger = createLogger({ level: config.logLevel, name: 'opamp-gateway', bindings: { gateway: config.id } });
    return await runUntilSignal([createGateway(config, { logger })], { deadlineMs: config.drainMs + SHUTDOWN_MS, logger });
  } catch (thrown) {
    const error = toError(thrown);
    process.stderr.write(thrown instanceof ConfigurationError ? `${error.message}\n` : `${error.stack ?? error.message}\n`);
    return exitCodeOf(thrown);
  }
}

process.exitCode = await main();
