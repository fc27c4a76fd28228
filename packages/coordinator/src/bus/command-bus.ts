import { randomUUID } from 'node:crypto';
import { systemClock } from '@opamp-gateway/shared/clock';
import type { Clock } from '@opamp-gateway/shared/clock';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** Something that only the gateway holding an agent's connection can do. */
export type AgentCommand =
  | { type: 'restart'; uid: string }
  | { type: 'custom-message'; uid: string; capability: string; messageType: string; dataBase64: string };

/** What became of a command. After `timeout` it may have been carried out or not. */
export type CommandOutcome = { kind: 'ok' } | { kind: 'refused'; reason: string } | { kind: 'timeout' };

/** Talks to gateways, one channel each; never one message to all of them about one agent. */
export interface CommandBus {
  /** Subscribes to the channel for answers. */
  start(): Promise<void>;
  /** Sends a command once and waits for the answer of the gateway. At most once: nothing is ever repeated. */
  send(gatewayId: string, command: AgentCommand): Promise<CommandOutcome>;
  /** Tells a gateway that it should look at the agents edited in a shard. May be lost: gateways look by themselves every 15 s. */
  hintEdited(gatewayId: string, shard: number): Promise<void>;
  /** Unsubscribes; commands that still wait end as timeout. */
  stop(): Promise<void>;
}

/** How long a gateway may take to answer. */
export const COMMAND_TIMEOUT_MS = 5000;

/** Builds the bus of one coordinator. `subscriber` is a connection of its own, since a subscribed one takes no commands. */
export function createCommandBus(options: {
  client: RedisClient;
  subscriber: RedisClient;
  keys: Keys;
  coordinatorId: string;
  logger: Logger;
  timeoutMs?: number;
  clock?: Clock;
  /** Called once for every command. */
  onOutcome?: (type: AgentCommand['type'], outcome: CommandOutcome['kind']) => void;
}): CommandBus {
  const { client, subscriber, keys, coordinatorId, logger } = options;
  const clock = options.clock ?? systemClock;
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
  const replyTo = keys.channelCoordinator(coordinatorId);
  const waiting = new Map<string, (outcome: CommandOutcome) => void>();

  const onMessage = (channel: string, text: string): void => {
    if (channel !== replyTo) return;
    const answer = parseAnswer(text);
    if (answer === undefined) {
      logger.warn({ text: text.slice(0, 200) }, 'a gateway answered with something unreadable');
      return;
    }
    const settle = waiting.get(answer.requestId);
    if (settle === undefined) logger.info({ requestId: answer.requestId }, 'a gateway answered too late');
    else settle(answer.ok ? { kind: 'ok' } : { kind: 'refused', reason: answer.reason });
  };

  return {
    async start() {
      subscriber.on('message', onMessage);
      await subscriber.subscribe(replyTo);
    },

    async send(gatewayId, command) {
      const requestId = randomUUID();
      const answer = new Promise<CommandOutcome>((resolve) => waiting.set(requestId, resolve));
      const timer = clock.after(timeoutMs, () => waiting.get(requestId)?.({ kind: 'timeout' }));
      try {
        await client.publish(keys.channelGateway(gatewayId), JSON.stringify({ ...command, requestId, replyTo }));
        const outcome = await answer;
        options.onOutcome?.(command.type, outcome.kind);
        return outcome;
      } finally {
        timer.cancel();
        waiting.delete(requestId);
      }
    },

    async hintEdited(gatewayId, shard) {
      try {
        await client.publish(keys.channelGateway(gatewayId), JSON.stringify({ type: 'edited', shard }));
      } catch (error) {
        logger.debug({ err: error, gatewayId }, 'hint to a gateway was lost');
      }
    },

    async stop() {
      subscriber.off('message', onMessage);
      for (const settle of waiting.values()) settle({ kind: 'timeout' });
      if (subscriber.status === 'ready') await subscriber.unsubscribe(replyTo);
    },
  };
}

function parseAnswer(text: string): { requestId: string; ok: boolean; reason: string } | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { requestId, ok, reason } = answer as Record<string, unknown>;
  if (typeof requestId !== 'string' || typeof ok !== 'boolean') return undefined;
  return { requestId, ok, reason: typeof reason === 'string' ? reason : 'the gateway gave no reason' };
}
