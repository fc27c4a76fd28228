/**
 * The oracle: what every simulated agent recorded about itself has to equal what the server says of it. Differences are
 * words; an empty list means that both agree, agent by agent and in the sums.
 */
import type { AgentRecord } from '../agent-record.ts';
import { isFlapping } from './behaviours.ts';
import type { AgentView, Counts, GroupCounts } from './api.ts';

const KEPT = 20;
const SHORT = 8;

/** What has to be true beside the equality. */
export interface Expectation {
  /** Hex hash that every agent has to run and report; null = nothing offered yet. */
  readonly hash: string | null;
  /** Profiles that cannot answer: only the equality of their last report counts, and not whether they are connected. Flapping agents need not be connected. */
  readonly mute?: readonly string[];
}

/** Sums as the server shows them. */
export interface ServerCounts {
  readonly group: GroupCounts;
  /** The last rollout, when there was one, and it has ended. */
  readonly rollout?: { readonly counts: Counts; readonly late?: { readonly counts: Counts }; readonly endedAt: string | null };
}

/** How far before the end of a rollout an agent has to have been offered or applied its config to be surely counted. */
const SURELY_COUNTED_MS = 2_000;
/** Statuses that wait for a report. */
const OPEN = ['offered', 'applying', 'verifying'] as const;

function short(hash: string | null): string {
  return hash === null ? 'nothing' : hash.slice(0, SHORT);
}

function nameOf({ index, uid, profile }: AgentRecord): string {
  return `agent ${index} (${profile}, ${uid})`;
}

/** The first of the differences, and how many more there are. */
export function atMost(differences: readonly string[]): readonly string[] {
  return differences.length > KEPT ? [...differences.slice(0, KEPT), `and ${differences.length - KEPT} more`] : differences;
}

function compareReport(record: AgentRecord, view: AgentView): string[] {
  const { status, hash } = record.lastReported;
  if (view.config.status.toUpperCase() === status && view.config.hash === hash) return [];
  return [
    `${nameOf(record)} reported ${status} of ${short(hash)}, the server has ${view.config.status.toUpperCase()} of ${short(view.config.hash)}`,
  ];
}

function compareState(record: AgentRecord, view: AgentView, hash: string | null): string[] {
  const problems: string[] = [];
  const isSteady = !isFlapping(record);
  if (isSteady && record.connected !== view.connected) {
    problems.push(
      `${nameOf(record)} is ${record.connected ? '' : 'not '}connected, the server says ${view.connected ? 'it is' : 'it is not'}`,
    );
  }
  if (isSteady && !record.connected) problems.push(`${nameOf(record)} is not connected`);
  if (record.running !== hash) problems.push(`${nameOf(record)} runs ${short(record.running)}, not ${short(hash)}`);
  return problems;
}

/** Rules of the protocol that agents saw the server break. */
export function violationsOf(records: readonly AgentRecord[]): readonly string[] {
  return records.flatMap((record) =>
    Object.entries(record.violations)
      .filter(([, count]) => count > 0)
      .map(([rule, count]) => `${nameOf(record)} counted ${rule}: ${count}`),
  );
}

/** Compares the swarm's records with the server's list of the same agents. */
export function compareAgents(
  records: readonly AgentRecord[],
  listed: readonly AgentView[],
  { hash, mute = [] }: Expectation,
): readonly string[] {
  const byUid = new Map(listed.map((view) => [view.uid, view]));
  const problems: string[] = [];
  if (byUid.size !== listed.length) problems.push(`the server lists ${listed.length - byUid.size} agents twice`);
  for (const record of records) {
    const view = byUid.get(record.uid);
    byUid.delete(record.uid);
    if (view === undefined) {
      problems.push(`the server does not know ${nameOf(record)}`);
      continue;
    }
    problems.push(...compareReport(record, view));
    if (!mute.includes(record.profile)) problems.push(...compareState(record, view, hash));
  }
  for (const uid of byUid.keys()) problems.push(`the server lists ${uid}, which no simulated agent is`);
  return [...problems, ...violationsOf(records)];
}

/** Compares sums: the group's counters, and a finished rollout's. */
export function compareCounts(records: readonly AgentRecord[], counts: ServerCounts, expectation: Expectation): readonly string[] {
  const { hash, mute = [] } = expectation;
  const problems: string[] = [];
  const differ = (what: string, shown: number, truth: number): void => {
    if (shown !== truth) problems.push(`${what}: the server counts ${shown}, the agents add up to ${truth}`);
  };
  differ('agents in the group', counts.group.agents, records.length);
  if (!records.some((record) => mute.includes(record.profile) || isFlapping(record))) {
    differ('connected agents', counts.group.connected, records.filter(({ connected }) => connected).length);
  }
  if (counts.rollout !== undefined && hash !== null) problems.push(...compareRollout(records, counts.rollout, hash));
  return problems;
}

/**
 * A rollout ends when enough agents are reached; who was away or had not polled gets the config afterwards and is in none of
 * its counters, and who joined late delays its end by nothing: such a row may be open for ever, whatever the agent has said. So each
 * counter has to lie between those who were surely in time and all.
 */
function compareRollout(
  records: readonly AgentRecord[],
  { counts, late, endedAt }: NonNullable<ServerCounts['rollout']>,
  hash: string,
): readonly string[] {
  const endMs = endedAt === null ? Number.POSITIVE_INFINITY : Date.parse(endedAt) - SURELY_COUNTED_MS;
  const problems: string[] = [];
  const all = Object.entries(counts)
    .map(([status, count]) => `${status} ${count}`)
    .join(', ');
  const between = (what: string, shown: number, least: number, most: number): void => {
    if (shown >= least && shown <= most) return;
    problems.push(
      `${what}: the server counts ${shown}, the agents add up to ${least === most ? most : `${least} to ${most}`} (all counters: ${all})`,
    );
  };
  const applied = records.filter(({ everApplied }) => everApplied.includes(hash));
  const inTime = applied.filter(({ everApplied, appliedAtMs = [] }) => (appliedAtMs[everApplied.indexOf(hash)] ?? 0) < endMs);
  const offered = records.filter(({ offers }) => offers.some((offer) => offer.hash === hash));
  const offeredInTime = offered.filter(({ offers }) => (offers.find((offer) => offer.hash === hash)?.atMs ?? 0) < endMs);
  const failed = records.filter(({ everFailed }) => everFailed.includes(hash));
  // A supervisor's FAILED by timeout is a soft failure: the server may count it as applied once the agent is healthy on the config.
  const soft = failed.filter(
    ({ everApplied, running, health }) => !everApplied.includes(hash) && running === hash && health.healthy,
  ).length;
  const rows = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const open = OPEN.reduce((sum, status) => sum + (late?.counts[status] ?? 0), 0);
  between('applied', counts['applied'] ?? 0, Math.max(0, inTime.length - open), applied.length + soft);
  between('failed', counts['failed'] ?? 0, failed.length - soft, failed.length);
  between('rows of the rollout', rows, offeredInTime.length, records.length);
  return problems;
}

/** Agents that were offered a config more than once, and how often more; who flaps may have lost the first. */
export function repeatedOffers(records: readonly AgentRecord[], hash: string): number {
  return records.reduce(
    (sum, record) => sum + (isFlapping(record) ? 0 : Math.max(0, record.offers.filter((offer) => offer.hash === hash).length - 1)),
    0,
  );
}
