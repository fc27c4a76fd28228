import type { Clock } from '@opamp-gateway/shared/clock';
import type { CloseReason } from './close-reasons.ts';

const STEP_MS = 50;

/**
 * Closes connections in random order, spread evenly over a window: agents come back at once, and the neighbours must take
 * them. A window of 0 closes all at once. Ends early when `signal` is aborted.
 */
export async function drainConnections(options: {
  connections: readonly { close(reason: CloseReason): void }[];
  windowMs: number;
  clock: Clock;
  reason: CloseReason;
  /** Only so many of them. Default: all. */
  count?: number;
  signal?: AbortSignal;
}): Promise<void> {
  const left = [...options.connections];
  for (let i = left.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [left[i], left[j]] = [left[j]!, left[i]!];
  }
  left.splice(options.count ?? left.length);
  const steps = Math.max(1, Math.floor(options.windowMs / STEP_MS));
  const perStep = Math.max(1, Math.ceil(left.length / steps));
  while (left.length > 0 && options.signal?.aborted !== true) {
    for (const connection of left.splice(0, perStep)) connection.close(options.reason);
    if (left.length > 0) await options.clock.sleep(STEP_MS);
  }
}
