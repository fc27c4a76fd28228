import { setImmediate } from 'node:timers/promises';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { acceptsRemoteConfig, reportsEffectiveConfig, reportsHealth, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import type { EffectiveConfigDocument, UnreadableEffectiveConfig } from '@opamp-gateway/shared/effective-config';
import type { FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { AgentReader } from '../bus/agent-reader.ts';
import type { ConfigFiles, ConfigStore } from '../stores/config-store.ts';
import { groupWord } from './agent-view.ts';
import { compareConfigs, noDrift } from './drift.ts';
import type { Drift, DriftState } from './drift.ts';
import { desiredOf, MAX_COUNTED_RECORDS } from './impact.ts';

/** How long one call compares; the answer says how far it came. A text of 20 KB takes some 6 ms. */
const SURVEY_MS = 5000;

/** Effective configs read at the same time. */
const READ_AT_ONCE = 16;

type FileReader = Pick<ConfigStore, 'files'>;

/** What one agent runs, held against what it should run. */
export async function driftOf(
  record: AgentRecord,
  spec: FleetSpec,
  effective: EffectiveConfigDocument | UnreadableEffectiveConfig | undefined,
  configs: FileReader,
): Promise<Drift> {
  const { config, group } = desiredOf(spec, record);
  if (config === null) return noDrift('unknown', 'no config is desired');
  if (effective === undefined) {
    return noDrift(
      'unknown',
      reportsEffectiveConfig(record.capabilities)
        ? 'no effective config has been reported yet'
        : 'the agent does not report its effective config',
    );
  }
  if ('unreadable' in effective) return noDrift('unknown', `the effective config cannot be read: ${effective.unreadable}`);
  // Without a status nobody says when a config has been applied; where nothing is offered, nothing is awaited.
  const awaited = acceptsRemoteConfig(record.capabilities) && reportsRemoteConfig(record.capabilities) && group?.mode !== 'observe';
  if (awaited && !(record.reportedStatus === 'APPLIED' && record.reportedHash === config.hash))
    return noDrift('pending', `${config.name}@${config.version} has not been applied yet`);
  const files = await configs.files(config.hash);
  return files === undefined ? noDrift('unknown', 'the desired config is not stored') : compareConfigs(files, effective);
}

/** An agent in the list of {@link surveyDrift}. */
export interface DriftedAgent {
  uid: string;
  group: string | null;
  desired: { name: string; version: number; hash: string } | null;
  drift: Drift;
}

/** Drift in a fleet, or in a sample of it. */
export interface DriftSurvey {
  /** Connected agents that were asked for; projected when `estimated`. */
  agents: number;
  /** Of these: agents that were compared. */
  compared: number;
  /** True when not every agent was compared. */
  sampled: boolean;
  /** True when `agents` is projected from a sample of all records. */
  estimated: boolean;
  states: Record<DriftState, number>;
  /** Compared agents that have drifted, at most `limit`. */
  items: DriftedAgent[];
}

/** Which agents {@link surveyDrift} looks at. */
export interface DriftQuery {
  /** Most agents compared. */
  compare: number;
  /** Most drifted agents listed. */
  limit: number;
  /** Undefined: every connected agent. */
  accept: ((record: AgentRecord) => boolean) | undefined;
}

/** Records read for each agent that is compared, where nobody is looked for in particular: most of them are connected. */
const READ_PER_COMPARED = 4;

/** Compares up to `compare` connected agents, chosen at random, that `accept` takes. */
export async function surveyDrift(
  dependencies: { agents: AgentReader; configs: FileReader },
  spec: FleetSpec,
  query: DriftQuery,
): Promise<DriftSurvey> {
  const { chosen, matching, estimated } = await choose(dependencies.agents, spec, query);
  const configs = rememberFiles(dependencies.configs);
  const states: Record<DriftState, number> = { none: 0, drifted: 0, pending: 0, unknown: 0 };
  const items: DriftedAgent[] = [];
  let compared = 0;
  const endMs = performance.now() + SURVEY_MS;
  for (let at = 0; at < chosen.length && performance.now() < endMs; at += READ_AT_ONCE) {
    const batch = chosen.slice(at, at + READ_AT_ONCE);
    const documents = await Promise.all(batch.map(async ({ uid }) => await dependencies.agents.effective(uid)));
    for (const [index, record] of batch.entries()) {
      const effective = documents[index];
      const drift = await driftOf(record, spec, effective, configs);
      states[drift.state] += 1;
      compared += 1;
      if (drift.state === 'drifted' && items.length < query.limit)
        items.push({ uid: record.uid, group: groupWord(record), desired: desiredOf(spec, record).config, drift });
      // Other requests take their turn.
      await setImmediate();
    }
  }
  return { agents: matching, compared, sampled: compared < matching, estimated, states, items };
}

/** What connected agents can do and report. */
export interface FleetAbilities {
  agents: number;
  estimated: boolean;
  acceptsRemoteConfig: number;
  reportsRemoteConfig: number;
  reportsEffectiveConfig: number;
  reportsHealth: number;
}

/** Records that tell what a fleet can do: the shares are then right to one or two percent. */
const ABILITY_RECORDS = 5_000;

/** Counts the connected agents that `accept` takes by what they announced; a sample in a large fleet. */
export async function countAbilities(agents: AgentReader, accept: (record: AgentRecord) => boolean): Promise<FleetAbilities> {
  const counts = { agents: 0, acceptsRemoteConfig: 0, reportsRemoteConfig: 0, reportsEffectiveConfig: 0, reportsHealth: 0 };
  const { read, total } = await agents.sample({
    limit: ABILITY_RECORDS,
    rollouts: [],
    fields: ['owner', 'group', 'capabilities'],
    visit(records) {
      for (const record of records) {
        const { owner, capabilities } = record;
        if (owner === '' || !accept(record)) continue;
        counts.agents += 1;
        if (acceptsRemoteConfig(capabilities)) counts.acceptsRemoteConfig += 1;
        if (reportsRemoteConfig(capabilities)) counts.reportsRemoteConfig += 1;
        if (reportsEffectiveConfig(capabilities)) counts.reportsEffectiveConfig += 1;
        if (reportsHealth(capabilities)) counts.reportsHealth += 1;
      }
    },
  });
  return { ...counts, estimated: read < total && total > ABILITY_RECORDS };
}

/** A random choice of the accepted records, each equally likely whatever their number (algorithm R). */
async function choose(
  agents: AgentReader,
  spec: FleetSpec,
  { compare, accept }: DriftQuery,
): Promise<{ chosen: AgentRecord[]; matching: number; estimated: boolean }> {
  const chosen: AgentRecord[] = [];
  let matching = 0;
  const most = accept === undefined ? Math.max(2_000, READ_PER_COMPARED * compare) : MAX_COUNTED_RECORDS;
  const { read, total } = await agents.sample({
    limit: most,
    rollouts: [...spec.rollouts.values()].map(({ id }) => id),
    visit(records) {
      for (const record of records) {
        if (record.owner === '' || accept?.(record) === false) continue;
        matching += 1;
        const place = chosen.length < compare ? chosen.length : Math.floor(Math.random() * matching);
        if (place < compare) chosen[place] = record;
      }
    },
  });
  const estimated = read < total && total > most;
  return { chosen, matching: estimated ? Math.round((matching * total) / Math.max(1, read)) : matching, estimated };
}

/** Many agents share one desired config. */
function rememberFiles(configs: FileReader): FileReader {
  const known = new Map<string, Promise<ConfigFiles | undefined>>();
  return {
    async files(hash) {
      const found = known.get(hash) ?? configs.files(hash);
      known.set(hash, found);
      return await found;
    },
  };
}
