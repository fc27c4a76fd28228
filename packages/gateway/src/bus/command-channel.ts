import { toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** Messages on a gateway's own channel. Those without an answer are hints: the truth is in a key. */
export type GatewayCommand =
  | { type: 'release'; uid: string; replyTo: string }
  | { type: 'released'; uid: string }
  | { type: 'edited'; shard: number }
  | { type: 'told' }
  | { type: 'restart'; uid: string; requestId: string; replyTo: string }
  | {
      type: 'custom-message';
      uid: string;
      capability: string;
      messageType: string;
      dataBase64: string;
      requestId: string;
      replyTo: string;
    };

export interface CommandChannelOptions {
  redis: RedisClient;
  subscriber: RedisClient;
  keys: Keys;
  logger: Logger;
  gatewayId: string;
  onSpecLook(): void;
  onTokensLook(): void;
  onCommand(command: GatewayCommand): void;
  /** (Re)subscribed: messages may have been missed, so everything they hint at is to be read. */
  onSubscribed(): void;
}

/** Subscribes this gateway to the spec channel and to its own, and publishes to others. */
export class CommandChannel {
  readonly #options: CommandChannelOptions;

  constructor(options: CommandChannelOptions) {
    this.#options = options;
  }

  /** Resolves when subscribed. */
  async start(): Promise<void> {
    const { subscriber, keys, gatewayId } = this.#options;
    const own = keys.channelGateway(gatewayId);
    subscriber.on('message', (channel: string, text: string) => {
      if (channel === keys.channelSpec) this.#options.onSpecLook();
      else if (channel === keys.channelTokens) this.#options.onTokensLook();
      else if (channel === own) this.#receive(text);
    });
    await subscriber.subscribe(keys.channelSpec, keys.channelTokens, own);
    subscriber.on('ready', () => this.#options.onSubscribed());
  }

  /** Publishes a message; a failure is logged, for nothing but a hint or an answer with a timeout is ever published. */
  async publish(channel: string, message: object): Promise<void> {
    try {
      await this.#options.redis.publish(channel, JSON.stringify(message));
    } catch (thrown) {
      this.#options.logger.warn({ channel, error: toError(thrown).message }, 'cannot publish');
    }
  }

  #receive(text: string): void {
    try {
      this.#options.onCommand(JSON.parse(text) as GatewayCommand);
    } catch (thrown) {
      this.#options.logger.warn({ error: toError(thrown).message }, 'message on the gateway channel is not understood');
    }
  }
}
