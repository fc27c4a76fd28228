/** Benchmarks without any I/O. */
import { create, toBinary } from '@bufbuild/protobuf';
import { AgentToServerSchema, RemoteConfigStatuses, ServerToAgentSchema } from '@opamp-gateway/proto/opamp';
import { BUCKET_SPACE, hash48 } from '@opamp-gateway/shared/bucket';
import { configHash } from '@opamp-gateway/shared/config-hash';
import {
  type DesiredInput,
  desired,
  formatGroupField,
  formatRolloutField,
  formatStableField,
  parseSpec,
  specField,
} from '@opamp-gateway/shared/fleet-spec';
import { matches, parseSelector } from '@opamp-gateway/shared/selector';
import { attributesAt, encodeDescription } from '../agent-attributes.ts';
import { FULL_SUPERVISOR_CAPABILITIES } from '../agent-profile.ts';
import { configText } from '../harness/config-text.ts';
import { seededInstanceUid, uuidText } from '../random.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { AgentDescriptionSchema } from '@opamp-gateway/proto/opamp';
import { loadGatewayCode, type ReconcileState } from './gateway-code.ts';
import { type BenchResult, measure } from './measure.ts';

const UID = seededInstanceUid(1, 1);
const UID_TEXT = uuidText(UID);
const ATTRIBUTES = attributesAt(1, UID_TEXT, { nonIdentifying: { env: 'prod', 'cloud.region': 'eu-west-1' } });
const FLAT = { ...ATTRIBUTES.nonIdentifying, ...ATTRIBUTES.identifying };
const BODY = Buffer.from(configText('bench', 4_096));
const HASH = configHash(new Map([['', { body: BODY, contentType: 'text/yaml' }]]));
const HASH_HEX = Buffer.from(HASH).toString('hex');
const GROUPS = 20;

function framed(message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0]), message]);
}

function messages(): { readonly heartbeat: Uint8Array; readonly applied: Uint8Array; readonly full: Uint8Array } {
  const base = { instanceUid: UID, sequenceNum: 7n, capabilities: BigInt(FULL_SUPERVISOR_CAPABILITIES) };
  const remoteConfigStatus = { lastRemoteConfigHash: HASH, status: RemoteConfigStatuses.RemoteConfigStatuses_APPLIED, errorMessage: '' };
  const encode = (message: object): Uint8Array => framed(toBinary(AgentToServerSchema, create(AgentToServerSchema, message)));
  return {
    heartbeat: encode(base),
    applied: encode({ ...base, remoteConfigStatus }),
    full: encode({
      ...base,
      agentDescription: fromBinary(AgentDescriptionSchema, encodeDescription(ATTRIBUTES)),
      health: { healthy: true, startTimeUnixNano: 1n, status: 'StatusOK' },
      remoteConfigStatus,
      effectiveConfig: { configMap: { configMap: { '': { body: BODY, contentType: 'text/yaml' } } } },
    }),
  };
}

const STABLE = { name: 'collector', version: 1, hash: 'aa' };

function specWithRollout(boundary: number) {
  const ref = { name: 'collector', version: 2, hash: HASH_HEX };
  const fields: Record<string, string> = { [specField.generation]: '5' };
  for (let index = 1; index < GROUPS; index += 1) {
    fields[specField.group(`g${index}`)] = formatGroupField({ selector: `env=other-${index}`, priority: 100, mode: 'manage' });
  }
  fields[specField.group('prod')] = formatGroupField({
    selector: 'env=prod,cloud.region in (eu-west-1,us-east-1)',
    priority: 10,
    mode: 'manage',
  });
  fields[specField.stable('prod')] = formatStableField({ stable: STABLE, previous: null });
  fields[specField.rollout('r1')] = formatRolloutField({
    id: 'r1',
    group: 'prod',
    to: ref,
    from: null,
    direction: 'forward',
    held: false,
    wave: '1',
    attempt: 1,
    salt: 'r1',
    canary: [],
    slices: [{ selector: '', boundary }],
    bucketBy: null,
    ackTimeoutMs: 60_000,
    healthHoldMs: 0,
    joinRate: null,
  });
  return parseSpec(fields);
}

/** Runs them all. */
export async function benchPure(): Promise<readonly BenchResult[]> {
  const { carriedOver, decodeWebSocketMessage, reconcile, shapeOf } = await loadGatewayCode();
  const { heartbeat, applied, full } = messages();
  const offer = create(ServerToAgentSchema, {
    instanceUid: UID,
    remoteConfig: { config: { configMap: { '': { body: BODY, contentType: 'text/yaml' } } }, configHash: HASH },
  });
  const spec = specWithRollout(BUCKET_SPACE);
  const input: DesiredInput = { origin: UID_TEXT, attributes: FLAT, pin: null, failed: new Map(), wasOffered: () => false };
  const state: ReconcileState = {
    capabilities: BigInt(FULL_SUPERVISOR_CAPABILITIES),
    healthy: true,
    reportedHash: '',
    reportedStatus: 'UNSET',
    offered: '',
    offerAnswered: false,
    offeredFor: undefined,
    failed: new Map(),
    rows: new Map(),
    pin: null,
  };
  const wanted = desired(spec, input);
  if (reconcile(spec, state, wanted).offer === null) throw new Error('the benchmark of reconcile offers nothing');
  const [before, after] = [specWithRollout(1), specWithRollout(2)];
  const running = { ...state, reportedHash: STABLE.hash, reportedStatus: 'APPLIED' };
  const outside = {
    shape: shapeOf(before),
    desired: desired(before, input),
    record: running,
    offer: undefined,
    waiting: undefined,
    awaitingReportUntilMs: 0,
    desiredInput: input,
  };
  if (carriedOver(outside, after) === undefined) throw new Error('the benchmark of a moved boundary carries nothing over');
  const selector = parseSelector('env=prod,cloud.region in (eu-west-1,us-east-1),!label.canary');
  return [
    measure(`decode a heartbeat (${heartbeat.length} B)`, () => decodeWebSocketMessage(heartbeat)),
    measure(`decode an APPLIED status (${applied.length} B)`, () => decodeWebSocketMessage(applied)),
    measure(`decode a full state (${full.length} B)`, () => decodeWebSocketMessage(full)),
    measure('encode an offer of 4 KB', () => toBinary(ServerToAgentSchema, offer)),
    measure('hash of a config of 4 KB', () => configHash(new Map([['', { body: BODY, contentType: 'text/yaml' }]]))),
    measure('hash48: place of an agent in a rollout', () => hash48('r1', UID_TEXT)),
    measure('selector with 3 terms', () => matches(selector, FLAT)),
    measure(`desired config of an agent, ${GROUPS} groups`, () => desired(spec, input)),
    measure('reconcile: an offer is due', () => reconcile(spec, state, wanted)),
    measure('a boundary moves, an agent outside: worked out anew', () => reconcile(after, running, desired(after, input))),
    measure('a boundary moves, an agent outside: carried over', () => carriedOver(outside, after)),
  ];
}
