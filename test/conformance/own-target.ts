import {
  ALL_VIEW_PARTS,
  ApiRefusedError,
  toHttpUrl,
  toWebSocketUrl,
  type AgentView,
  type ConfigFiles,
  type Target,
  type TargetApi,
} from './target.ts';
import { uidText } from './wire.ts';

/** How to reach the management API of an OpAMP gateway. */
export interface GatewayApiOptions {
  /** http://host:port of a coordinator. */
  readonly baseUrl: string;
  /** Bearer token; undefined when the API takes calls without one. */
  readonly token?: string;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** The management side of this project's own gateway, through its REST API. */
export class GatewayApi implements TargetApi {
  readonly shows = ALL_VIEW_PARTS;
  readonly reachesPollers = false;
  readonly #baseUrl: string;
  readonly #token: string | undefined;
  /** Each config gets a name of its own, so that runs do not meet. */
  readonly #prefix = `conformance-${process.pid}-${Date.now().toString(36)}`;
  #configCount = 0;

  constructor(options: GatewayApiOptions) {
    this.#baseUrl = options.baseUrl.replace(/\/$/, '');
    this.#token = options.token;
  }

  async assignConfig(uid: Uint8Array, files: ConfigFiles): Promise<void> {
    const config = await this.#storeConfig(files);
    await this.#call('PUT', `/agents/${uidText(uid)}/pin`, { config });
  }

  async assignConfigToMatching(attributes: Readonly<Record<string, string>>, files: ConfigFiles): Promise<void> {
    const config = await this.#storeConfig(files);
    const group = config.name;
    const selector = Object.entries(attributes)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    await this.#call('PUT', `/groups/${group}`, { selector, priority: 900 });
    const rollout = await this.#call('POST', '/rollouts', {
      group,
      config,
      strategy: {
        waves: [{ size: { percent: 100 }, soak: '0s' }],
        rate: 'unlimited',
        healthHold: '0s',
      },
      reason: 'conformance',
    });
    if (textOf(rollout['id']) === undefined) throw new Error('the rollout has no id');
  }

  async getAgent(uid: Uint8Array): Promise<AgentView | undefined> {
    try {
      const answer = await this.#call('GET', `/agents/${uidText(uid)}`);
      // A uid that was replaced leads to the agent under its new one, which is another entry of the list.
      if ((answer as { uid?: unknown }).uid !== uidText(uid)) return undefined;
      return toAgentView(answer);
    } catch (error) {
      if (error instanceof ApiRefusedError && error.status === 404) return undefined;
      throw error;
    }
  }

  async restart(uid: Uint8Array): Promise<void> {
    await this.#call('POST', `/agents/${uidText(uid)}/restart`, {});
  }

  async sendCustomMessage(
    uid: Uint8Array,
    message: { readonly capability: string; readonly type: string; readonly data: Uint8Array },
  ): Promise<void> {
    await this.#call('POST', `/agents/${uidText(uid)}/custom-messages`, {
      capability: message.capability,
      messageType: message.type,
      dataBase64: Buffer.from(message.data).toString('base64'),
    });
  }

  async #storeConfig(files: ConfigFiles): Promise<{ readonly name: string; readonly version: number }> {
    this.#configCount += 1;
    const name = `${this.#prefix}-${this.#configCount}`;
    const stored = await this.#call('PUT', `/configs/${name}`, { files, message: 'conformance' });
    const version = stored['version'];
    if (typeof version !== 'number') throw new Error('the stored config has no version');
    return { name, version };
  }

  async #call(method: string, path: string, body?: Json): Promise<Json> {
    const response = await fetch(`${this.#baseUrl}/api/v1${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiRefusedError(`${method} ${path}`, response.status, text);
    const parsed: unknown = text === '' ? {} : JSON.parse(text);
    return isObject(parsed) ? parsed : {};
  }
}

/** Capability names of the specification by bit, as the API spells them. */
const CAPABILITY_NAMES = [
  'ReportsStatus',
  'AcceptsRemoteConfig',
  'ReportsEffectiveConfig',
  'AcceptsPackages',
  'ReportsPackageStatuses',
  'ReportsOwnTraces',
  'ReportsOwnMetrics',
  'ReportsOwnLogs',
  'AcceptsOpAMPConnectionSettings',
  'AcceptsOtherConnectionSettings',
  'AcceptsRestartCommand',
  'ReportsHealth',
  'ReportsRemoteConfig',
  'ReportsHeartbeat',
  'ReportsAvailableComponents',
  'ReportsConnectionSettingsStatus',
];

/** The mask of a list of names, where bits without a name are `Bit<n>`. Throws for a name it does not know. */
const toMask = (names: readonly unknown[]): bigint => {
  let mask = 0n;
  for (const name of names) {
    const bit = CAPABILITY_NAMES.indexOf(String(name));
    const number = bit >= 0 ? bit : Number(/^Bit(\d+)$/.exec(String(name))?.[1]);
    if (!Number.isInteger(number)) throw new Error(`unknown capability name ${String(name)}`);
    mask |= 1n << BigInt(number);
  }
  return mask;
};

const textValues = (value: Json): Record<string, string> =>
  Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));

/** Reads the answer of `GET /agents/{uid}`; parts that are not there are left out. */
export const toAgentView = (record: Json): AgentView => {
  const { capabilities, attributes, health, healthTree, config, effective } = record;
  const healthWord = isObject(health) ? health['status'] : undefined;
  const status = isObject(config) ? textOf(config['status'])?.toUpperCase() : undefined;
  const hash = isObject(config) ? textOf(config['hash']) : undefined;
  const error = isObject(config) ? textOf(config['error']) : undefined;
  const children = isObject(healthTree) ? (healthTree['children'] ?? {}) : undefined;
  const files = isObject(effective) && isObject(effective['files']) ? effective['files'] : undefined;
  return {
    isConnected: record['connected'] === true,
    ...(Array.isArray(capabilities) ? { capabilities: toMask(capabilities) } : {}),
    ...(isObject(attributes) ? { attributes: textValues(attributes) } : {}),
    ...(healthWord === 'healthy' || healthWord === 'unhealthy' ? { isHealthy: healthWord === 'healthy' } : {}),
    ...(isObject(children) ? { healthComponents: Object.keys(children).toSorted() } : {}),
    ...(isConfigStatus(status) ? { configStatus: status } : {}),
    ...(hash === undefined ? {} : { configHash: hash }),
    ...(error === undefined ? {} : { configError: error }),
    ...(files === undefined
      ? {}
      : {
          effectiveConfig: Object.fromEntries(
            Object.entries(files).map(([name, file]) => [name, (isObject(file) ? textOf(file['body']) : undefined) ?? '']),
          ),
        }),
  };
};

const isConfigStatus = (text: string | undefined): text is NonNullable<AgentView['configStatus']> =>
  text === 'UNSET' || text === 'APPLYING' || text === 'APPLIED' || text === 'FAILED';

/** Addresses and knowledge about a server as a command line gives them. */
export interface TargetOptions {
  readonly url: string;
  readonly secondUrl?: string;
  readonly apiUrl?: string;
  readonly apiToken?: string;
  readonly authorization?: string;
  readonly refusedAuthorization?: string;
  readonly isInsecure?: boolean;
  readonly maxMessageBytes?: number;
  readonly httpSilenceMs?: number;
}

/** Makes a {@link Target} of addresses; with `apiUrl` it is one of this project's own gateways. */
export const createTarget = (options: TargetOptions): Target => {
  const { url, secondUrl, apiUrl, apiToken, authorization, refusedAuthorization } = options;
  const { maxMessageBytes, httpSilenceMs } = options;
  return {
    url: toWebSocketUrl(url),
    httpUrl: toHttpUrl(toWebSocketUrl(url)),
    ...(secondUrl === undefined ? {} : { secondUrl: toWebSocketUrl(secondUrl), secondHttpUrl: toHttpUrl(toWebSocketUrl(secondUrl)) }),
    ...(apiUrl === undefined
      ? {}
      : {
          api: new GatewayApi({
            baseUrl: apiUrl,
            ...(apiToken === undefined ? {} : { token: apiToken }),
          }),
        }),
    ...(authorization === undefined ? {} : { authorization }),
    ...(refusedAuthorization === undefined ? {} : { refusedAuthorization }),
    ...(options.isInsecure === true ? { isInsecure: true } : {}),
    limits: {
      ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
      ...(httpSilenceMs === undefined ? {} : { httpSilenceMs }),
    },
  };
};
