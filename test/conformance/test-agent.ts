import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import type { Link } from './link.ts';
import { DeadlineError, pause } from './raw/deadline.ts';
import { AGENT, type CONFIG_STATUS, DEFAULT_CAPABILITIES, encodeMessage, newUid, toHex, uidText, type AgentMessage } from './wire.ts';

/** How a test agent starts. */
export interface AgentOptions {
  readonly uid?: Uint8Array;
  readonly capabilities?: bigint;
  /** Number of its first message. Default 0. */
  readonly sequenceNum?: bigint;
  /** Non-identifying attributes, added to host.name and os.type or instead of them. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** A config offer as it arrived. */
export interface Offer {
  readonly hash: Uint8Array;
  readonly hashHex: string;
  /** File name to body. */
  readonly files: Readonly<Record<string, string>>;
}

const POLL_PAUSE_MS = 20;
const BEAT_EVERY_POLLS = 25;

/** The remote config in a message, or undefined. */
export const offerIn = (message: ServerToAgent): Offer | undefined => {
  if (message.remoteConfig === undefined) return undefined;
  const entries = Object.entries(message.remoteConfig.config?.configMap ?? {});
  return {
    hash: message.remoteConfig.configHash,
    hashHex: toHex(message.remoteConfig.configHash),
    files: Object.fromEntries(entries.map(([name, file]) => [name, Buffer.from(file.body).toString('utf8')])),
  };
};

const attribute = (key: string, text: string) => ({
  key,
  value: { value: { case: 'stringValue' as const, value: text } },
});

/**
 * An agent that does only what a check tells it to: it numbers its messages and remembers every ServerToAgent it got.
 * Nothing is answered by itself, least of all ReportFullState.
 */
export class TestAgent {
  readonly uid: Uint8Array;
  readonly #deadlineMs: number;
  readonly #attributes: Readonly<Record<string, string>>;
  readonly #received: ServerToAgent[] = [];
  #cursor = 0;
  #link: Link;
  capabilities: bigint;
  /** The number that the next message will carry. */
  sequenceNum: bigint;

  constructor(link: Link, deadlineMs: number, options: AgentOptions = {}) {
    this.#link = link;
    this.#deadlineMs = deadlineMs;
    this.uid = options.uid ?? newUid();
    this.capabilities = options.capabilities ?? DEFAULT_CAPABILITIES;
    this.sequenceNum = options.sequenceNum ?? 0n;
    this.#attributes = options.attributes ?? {};
  }

  get link(): Link {
    return this.#link;
  }

  /** Every message this agent got so far, oldest first. */
  get received(): readonly ServerToAgent[] {
    this.#collect();
    return this.#received;
  }

  /** Config offers among {@link received}. */
  get offers(): readonly Offer[] {
    return this.received.map(offerIn).filter((offer) => offer !== undefined);
  }

  /** Goes on over another link with the same uid and sequence. */
  moveTo(link: Link): void {
    this.#collect();
    this.#link = link;
  }

  /** The next message with its number, which it spends. */
  next(parts: AgentMessage = {}): AgentMessage {
    const message = {
      instanceUid: this.uid,
      sequenceNum: this.sequenceNum,
      capabilities: this.capabilities,
      ...parts,
    };
    this.sequenceNum += 1n;
    return message;
  }

  /** Parts of a complete state, as far as the capabilities promise them. */
  fullState(): AgentMessage {
    const has = (bit: bigint): boolean => (this.capabilities & bit) !== 0n;
    return {
      agentDescription: {
        identifyingAttributes: [
          attribute('service.name', 'conformance-agent'),
          attribute('service.version', '1.0.0'),
          attribute('service.instance.id', uidText(this.uid)),
        ],
        nonIdentifyingAttributes: Object.entries({
          'host.name': `host-${uidText(this.uid).slice(-12)}`,
          'os.type': 'linux',
          ...this.#attributes,
        }).map(([key, text]) => attribute(key, text)),
      },
      ...(has(AGENT.reportsHealth) ? { health: { healthy: true, startTimeUnixNano: 1_700_000_000_000_000_000n, status: 'StatusOK' } } : {}),
      ...(has(AGENT.reportsEffectiveConfig)
        ? {
            effectiveConfig: {
              configMap: {
                configMap: {
                  '': { body: Buffer.from('receivers: {}\n'), contentType: 'text/yaml' },
                },
              },
            },
          }
        : {}),
      ...(has(AGENT.reportsRemoteConfig) ? { remoteConfigStatus: {} } : {}),
      ...(has(AGENT.reportsPackageStatuses) ? { packageStatuses: {} } : {}),
    };
  }

  /** Sends the complete state and returns the reply. */
  first(parts: AgentMessage = {}): Promise<ServerToAgent> {
    return this.send({ ...this.fullState(), ...parts });
  }

  /** Sends uid, number and capabilities only. */
  beat(): Promise<ServerToAgent> {
    return this.send();
  }

  /** Sends a message and returns the reply. */
  send(parts: AgentMessage = {}): Promise<ServerToAgent> {
    return this.sendBytes(encodeMessage(this.next(parts)));
  }

  /** Sends ready protobuf bytes and returns the reply. Spends no number. */
  async sendBytes(body: Uint8Array): Promise<ServerToAgent> {
    this.#collect();
    const reply = await this.#link.exchange(this.uid, body);
    this.#received.push(reply);
    return reply;
  }

  /** Reports what became of a config. */
  reportConfig(hash: Uint8Array, status: (typeof CONFIG_STATUS)[keyof typeof CONFIG_STATUS], errorMessage = ''): Promise<ServerToAgent> {
    return this.send({ remoteConfigStatus: { lastRemoteConfigHash: hash, status, errorMessage } });
  }

  /** Forgets what came so far, so that {@link until} looks at newer messages only. */
  mark(): void {
    this.#collect();
    this.#cursor = this.#received.length;
  }

  /**
   * Waits for a message that fits: on WebSocket for a push, with a beat now and then for servers that do not push; over
   * HTTP by polling. Starts after the last {@link mark} or the last match.
   */
  until(what: string, accept: (message: ServerToAgent) => boolean): Promise<ServerToAgent> {
    return this.#until(what, accept, true);
  }

  /** As {@link until}, but without sending anything: the server has to speak first. */
  untilPush(what: string, accept: (message: ServerToAgent) => boolean): Promise<ServerToAgent> {
    return this.#until(what, accept, false);
  }

  /** Waits for a config offer, optionally a certain one. */
  async untilOffer(what = 'a config offer', accept: (offer: Offer) => boolean = () => true): Promise<Offer> {
    const message = await this.until(what, (candidate) => {
      const offer = offerIn(candidate);
      return offer !== undefined && accept(offer);
    });
    return offerIn(message) as Offer;
  }

  async #until(what: string, accept: (message: ServerToAgent) => boolean, mayBeat: boolean): Promise<ServerToAgent> {
    const expiresAt = Date.now() + this.#deadlineMs;
    const isHttp = this.#link.transport === 'http';
    for (let round = 1; ; round++) {
      this.#collect();
      while (this.#cursor < this.#received.length) {
        const message = this.#received[this.#cursor++];
        if (message !== undefined && accept(message)) return message;
      }
      if (Date.now() > expiresAt) throw new DeadlineError(what, this.#deadlineMs);
      if (this.#link.isEnded) throw new Error(`the connection ended while waiting for ${what}`);
      if (mayBeat && (isHttp || round % BEAT_EVERY_POLLS === 0)) await this.beat();
      else await pause(POLL_PAUSE_MS);
    }
  }

  #collect(): void {
    this.#received.push(...this.#link.drainInbox(this.uid));
  }
}
