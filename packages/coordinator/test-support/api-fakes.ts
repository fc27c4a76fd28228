import type { GatewayDirectory } from '../src/bus/gateway-directory.ts';
import type { EffectiveConfigDocument, UnreadableEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import { parseRecord } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { formatGroupField, formatRolloutField, formatStableField, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { ConfigRef, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import type { InstanceUid } from '@opamp-gateway/shared/instance-uid';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { FastifyInstance } from 'fastify';
import { createApiServer } from '../src/api/api-server.ts';
import type { ApiDependencies, GatewayEntry } from '../src/api/dependencies.ts';
import type { AlertService, AlertTargetView, AlertView } from '../src/alerts/ports.ts';
import type { AgentReader } from '../src/bus/agent-reader.ts';
import type { AgentCommand, CommandBus, CommandOutcome } from '../src/bus/command-bus.ts';
import type { RolloutService } from '../src/rollout/service.ts';
import type { AgentTokenStore } from '../src/stores/agent-token-store.ts';
import type { AuditItem, AuditLog } from '../src/stores/audit-log.ts';
import { hashOfFiles } from '../src/stores/config-store.ts';
import type { ConfigFiles, ConfigStore, ConfigVersion } from '../src/stores/config-store.ts';
import type { GroupStore } from '../src/stores/group-store.ts';

/** What the fakes hold; tests read and change it. */
export interface FakeState {
  configs: Map<string, ConfigVersion[]>;
  blobs: Map<string, ConfigFiles>;
  /** Fields of the fleet spec. */
  spec: Record<string, string>;
  /** Fields of records by uid. */
  agents: Map<string, Record<string, string>>;
  facets: Map<string, number>;
  /** Component types by kind, by the hash of a build. */
  builds: Map<string, Record<string, string[]>>;
  effective: Map<string, EffectiveConfigDocument | UnreadableEffectiveConfig>;
  audit: AuditItem[];
  alerts: AlertView[];
  alertTargets: AlertTargetView[];
  gateways: GatewayEntry[];
  told: ({ id: string } & Parameters<GatewayDirectory['tell']>[1])[];
  /** What was recorded by the minute. */
  history: Awaited<ReturnType<ApiDependencies['history']['read']>>;
  sent: { gateway: string; command: AgentCommand }[];
  hints: { gateway: string; shard: number }[];
  commandOutcome: CommandOutcome;
  /** Pretends that the fleet is larger than what `agents` holds: every sample counts for this many. */
  pretendTotal: number | undefined;
}

/** The API on fakes. */
export interface FakeApi {
  app: FastifyInstance;
  state: FakeState;
  /** Sends a request as a local client would; an object becomes a JSON body. */
  call(
    method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<FakeAnswer>;
}

/** An answer, its body read as JSON where it is JSON. */
export interface FakeAnswer {
  status: number;
  type: string;
  headers: Record<string, unknown>;
  body: Record<string, unknown> & { items: Record<string, unknown>[]; errors: Record<string, unknown>[] };
}

/** Builds the API on fakes that keep everything in memory. */
export async function createFakeApi(overrides: Partial<ApiDependencies> = {}): Promise<FakeApi> {
  const state: FakeState = {
    configs: new Map(),
    blobs: new Map(),
    spec: {},
    agents: new Map(),
    facets: new Map(),
    builds: new Map(),
    effective: new Map(),
    audit: [],
    alerts: [],
    alertTargets: [],
    gateways: [],
    told: [],
    history: { nowMs: 0, minutes: [] },
    sent: [],
    hints: [],
    commandOutcome: { kind: 'ok' },
    pretendTotal: undefined,
  };
  const app = await createApiServer({
    configs: fakeConfigs(state),
    groups: fakeGroups(state),
    audit: fakeAudit(state),
    backups: {
      create: () => Promise.reject(new Error('the fakes have no backup')),
      restore: () => Promise.reject(new Error('the fakes have no backup')),
    },
    agents: fakeAgents(state),
    commands: fakeCommands(state),
    rollouts: fakeRollouts(),
    agentTokens: fakeAgentTokens(),
    publicEndpoint: undefined,
    gateways: {
      list: async () => state.gateways,
      tell: async (id, order) => {
        if (!state.gateways.some((gateway) => gateway.id === id && gateway.alive)) return false;
        state.told.push({ id, ...order });
        return true;
      },
    },
    history: { read: async () => state.history },
    alerts: fakeAlerts(state),
    validate: (files) => ({
      findings: Object.values(files).join('').includes('bad')
        ? [{ code: 'E_YAML', severity: 'error', path: '', line: 1, column: 1, message: 'it is bad' }]
        : [],
      components: [{ kind: 'exporters', type: 'kafka' }],
      unchecked: ['exporters::kafka'],
      omitted: 0,
    }),
    logger: createSilentLogger(),
    tokens: undefined,
    ...overrides,
  });
  return {
    app,
    state,
    async call(method, path, body, headers = {}) {
      const isText = typeof body === 'string';
      const answer = await app.inject({
        method,
        url: path.startsWith('/problems') || path.startsWith('/api') ? path : `/api/v1${path}`,
        headers: {
          host: 'localhost:4330',
          ...(body === undefined ? {} : { 'content-type': isText ? 'text/yaml' : 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: isText ? body : JSON.stringify(body) }),
      });
      const type = String(answer.headers['content-type'] ?? '');
      return {
        status: answer.statusCode,
        type,
        headers: answer.headers,
        body: (type.includes('json') ? answer.json() : { text: answer.body }) as FakeAnswer['body'],
      };
    },
  };
}

/** Fields of a record of a connected, healthy agent that takes configs. */
export function agentFields(over: Record<string, string> = {}): Record<string, string> {
  return {
    owner: 'gw-1',
    epoch: '1',
    origin: '',
    createdAt: '1700000000000',
    connectedAt: '1700000000000',
    capabilities: '15431',
    attributes: JSON.stringify({ identifying: { 'service.name': 'otelcol' }, nonIdentifying: { env: 'prod' } }),
    health: '1',
    healthSince: '1700000000000',
    ...over,
  };
}

/** A uid that ends in this number. */
export function uidOf(n: number): string {
  return `0190aaaa-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Puts a group into the spec. */
export function addGroup(
  state: FakeState,
  name: string,
  selector: string,
  more: { stable?: ConfigRef; priority?: number; mode?: 'manage' | 'observe' } = {},
): void {
  state.spec[specField.group(name)] = formatGroupField({ selector, priority: more.priority ?? 0, mode: more.mode ?? 'manage' });
  if (more.stable !== undefined) state.spec[specField.stable(name)] = formatStableField({ stable: more.stable, previous: null });
}

/** Puts an active rollout into the spec. */
export function addRollout(state: FakeState, id: string, group: string): void {
  const rollout: RolloutSpec = {
    id,
    group,
    to: { name: 'c', version: 1, hash: 'aa' },
    from: null,
    direction: 'forward',
    held: false,
    wave: '0',
    attempt: 1,
    salt: id,
    canary: [],
    slices: [],
    bucketBy: null,
    ackTimeoutMs: 1000,
    healthHoldMs: 0,
    joinRate: null,
  };
  state.spec[specField.rollout(id)] = formatRolloutField(rollout);
}

/** A rollout service of which every method fails; tests replace those they need. */
export function fakeRollouts(over: Partial<RolloutService> = {}): RolloutService {
  const unused = (): never => {
    throw new Error('not faked in this test');
  };
  return {
    create: unused,
    get: unused,
    list: unused,
    act: unused,
    tune: unused,
    failures: unused,
    events: unused,
    follow: unused,
    ...over,
  };
}

function fakeConfigs(state: FakeState): ConfigStore {
  return {
    async put({ name, files, message, by, validation }) {
      const hash = hashOfFiles(files);
      const history = state.configs.get(name) ?? [];
      const newest = history.at(-1);
      if (newest?.hash === hash) return { created: false, version: newest };
      const sizes = Object.entries(files).map(
        ([file, { body, contentType }]) => [file, { contentType, sizeBytes: Buffer.byteLength(body) }] as const,
      );
      const version: ConfigVersion = {
        name,
        version: history.length + 1,
        hash,
        createdAt: '2026-01-01T00:00:00.000Z',
        createdBy: by.actor,
        message,
        files: Object.fromEntries(sizes),
        validation,
      };
      state.blobs.set(hash, files);
      state.configs.set(name, [...history, version]);
      return { created: true, version };
    },
    names: async () => new Map([...state.configs.keys()].toSorted().map((name) => [name, state.configs.get(name)?.length ?? 0])),
    newest: async (name) => state.configs.get(name)?.length,
    versions: async (name, numbers) => numbers.flatMap((number) => state.configs.get(name)?.[number - 1] ?? []),
    files: async (hash) => state.blobs.get(hash),
  };
}

function fakeGroups(state: FakeState): GroupStore {
  const generation = (): number => {
    const next = Number(state.spec[specField.generation] ?? 0) + 1;
    state.spec[specField.generation] = String(next);
    return next;
  };
  const activeOf = (name: string): string | undefined => parseSpec(state.spec).rollouts.get(name)?.id;
  const record = (entry: string): void =>
    void state.audit.unshift({ id: `${state.audit.length + 1}-0`, ...(JSON.parse(entry) as Omit<AuditItem, 'id'>) });
  return {
    spec: async () => parseSpec(state.spec),
    activeRollouts: async () => new Map([...parseSpec(state.spec).rollouts.values()].map(({ id, group }) => [group, id])),
    async put(group, { guarded, audit }) {
      const active = activeOf(group.name);
      if (guarded && active !== undefined) return { kind: 'active', id: active };
      state.spec[specField.group(group.name)] = formatGroupField(group);
      record(audit);
      return { kind: 'ok', generation: generation() };
    },
    async delete(name, { audit }) {
      if (state.spec[specField.group(name)] === undefined) return { kind: 'missing' };
      const active = activeOf(name);
      if (active !== undefined) return { kind: 'active', id: active };
      delete state.spec[specField.group(name)];
      delete state.spec[specField.stable(name)];
      record(audit);
      return { kind: 'ok', generation: generation() };
    },
    async liftTrailingHold(name, { audit }) {
      const group = parseSpec(state.spec).groups.find((candidate) => candidate.name === name);
      if (group?.trailingHeld !== true) return false;
      state.spec[specField.stable(name)] = formatStableField({
        ...group,
        trailingHeld: false,
        trailingRound: (group.trailingRound ?? 0) + 1,
      });
      record(audit);
      return true;
    },
    async setFrozen(frozen, { audit }) {
      state.spec[specField.frozen] = frozen ? '1' : '0';
      record(audit);
      return { kind: 'ok', generation: generation() };
    },
  };
}

function fakeAlerts(state: FakeState): AlertService {
  return {
    targets: () => state.alertTargets,
    store: {
      async list({ limit, before, state: wanted }) {
        const start = before === undefined ? 0 : state.alerts.findIndex(({ id }) => id === before) + 1;
        const matching = state.alerts
          .slice(start)
          .filter(({ deliveries }) => wanted === undefined || deliveries.some((one) => one.state === wanted));
        return matching.slice(0, limit);
      },
      async retry({ ids, target }) {
        const dead = state.alerts
          .filter(({ id }) => ids === undefined || ids.includes(id))
          .flatMap(({ deliveries }) => deliveries.filter((one) => one.state === 'dead' && (target === undefined || one.target === target)));
        for (const one of dead) one.state = 'pending';
        return dead.length;
      },
      counts: async () => ({ outbox: 0, pending: 0, dead: 0 }),
      async add(alert) {
        state.alerts.unshift({ id: `${state.alerts.length + 1}-0`, at: '2026-01-01T00:00:00.000Z', deliveries: [], ...alert });
      },
    },
  };
}

function fakeAudit(state: FakeState): AuditLog {
  const format = async (entry: object): Promise<string> => JSON.stringify({ at: '2026-01-01T00:00:00.000Z', ...entry });
  return {
    format,
    async append(entry) {
      state.audit.unshift({ id: `${state.audit.length + 1}-0`, at: '2026-01-01T00:00:00.000Z', ...entry });
    },
    async list({ limit, before, accept }) {
      const start = before === undefined ? 0 : state.audit.findIndex(({ id }) => id === before) + 1;
      const items = state.audit.slice(start).filter((entry) => accept?.(entry) ?? true);
      return { items: items.slice(0, limit), next: items.length > limit ? items[limit - 1]?.id : undefined };
    },
    verify: async () => ({ ok: true, entries: state.audit.length, unchained: 0, first: null, last: null, defects: [] }),
    trim: async () => 0,
  };
}

function fakeAgents(state: FakeState): AgentReader {
  const recordOf = (uid: string): AgentRecord | undefined => {
    const fields = state.agents.get(uid);
    return fields === undefined
      ? undefined
      : parseRecord(uid, { ...fields, origin: fields['origin'] === '' ? uid : (fields['origin'] ?? uid) });
  };
  const inOrder = (): { shard: number; uid: string }[] =>
    [...state.agents.keys()]
      .map((uid) => ({ shard: shardOf(uid as InstanceUid), uid }))
      .toSorted((a, b) => a.shard - b.shard || (a.uid < b.uid ? -1 : 1));
  return {
    get: async (uid) => recordOf(uid),
    async page({ after, limit, scanLimit, accept }) {
      const rest = inOrder().filter(
        ({ shard, uid }) => after === undefined || shard > after.shard || (shard === after.shard && uid > after.uid),
      );
      const records: AgentRecord[] = [];
      for (const [index, position] of rest.entries()) {
        const record = recordOf(position.uid);
        if (record !== undefined && accept(record)) records.push(record);
        if (records.length === limit || index + 1 >= scanLimit) return { records, next: position };
      }
      return { records, next: undefined };
    },
    effective: async (uid) => state.effective.get(uid),
    total: async () => state.pretendTotal ?? state.agents.size,
    async sample({ visit }) {
      const records = inOrder().flatMap(({ uid }) => recordOf(uid) ?? []);
      visit(records);
      return { read: records.length, total: state.pretendTotal ?? records.length };
    },
    facets: async () => state.facets,
    componentLists: async (hashes) =>
      new Map(hashes.flatMap((hash) => (state.builds.has(hash) ? [[hash, state.builds.get(hash) ?? {}]] : []))),
    async edit(uid, { set, del }) {
      const fields = state.agents.get(uid);
      if (fields === undefined) return undefined;
      Object.assign(fields, set);
      for (const field of del) delete fields[field];
      return fields['owner'] ?? '';
    },
    async delete(uid) {
      const record = recordOf(uid);
      if (record === undefined) return 'unknown';
      if (record.owner !== '') return 'connected';
      state.agents.delete(uid);
      return 'ok';
    },
  };
}

/** Credentials are tested with a real store; here there are none. */
function fakeAgentTokens(): AgentTokenStore {
  return {
    nowMs: async () => 1_700_000_000_000,
    create: async () => true,
    find: async () => undefined,
    list: async () => ({ items: [], next: undefined }),
    change: async () => undefined,
    enrol: async () => ({ kind: 'unknown' }),
  };
}

function fakeCommands(state: FakeState): CommandBus {
  return {
    start: async () => {},
    stop: async () => {},
    async send(gateway, command) {
      state.sent.push({ gateway, command });
      return state.commandOutcome;
    },
    async hintEdited(gateway, shard) {
      state.hints.push({ gateway, shard });
    },
  };
}
