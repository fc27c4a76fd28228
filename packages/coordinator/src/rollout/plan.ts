import { BUCKET_SPACE } from '@opamp-gateway/shared/bucket';
import { countOf, reachedConnected, verdictsOf } from './counters.ts';
import type { Counters } from './counters.ts';
import { currentStrategy, sliceIndexOf } from './document.ts';
import type { RolloutDocument, SliceDocument } from './document.ts';
import { MAX_CANARY } from './strategy.ts';
import type { Strategy, WaveSize } from './strategy.ts';

/** A connected member of the group that takes configs. */
export interface RankedMember {
  origin: string;
  /** Place in the rollout's order, 0 … 2^48 − 1. */
  hash: number;
  /** Index in the document's canary list, −1 for all others. */
  canary: number;
  /** Which of the `labels` selectors match, in the order of the waves. */
  labels: readonly boolean[];
  /** Polls over plain HTTP, so that it meets a new boundary at its next poll only. */
  http: boolean;
  /** Its failure domain, null when it has none or none is asked for. */
  domain: string | null;
}

/** The connected members of the group: one by one (sorted by hash) up to a limit, only counted above it. */
export type Members = { kind: 'ranked'; members: readonly RankedMember[] } | { kind: 'counted'; connected: number; http: number };

/** How many connected members there are. */
export function memberCount(members: Members): number {
  return members.kind === 'ranked' ? members.members.length : members.connected;
}

/** Agents that a share of `members` comes to: the smaller of count and percent, at least one, at most all. */
export function shareOf(size: Extract<WaveSize, { kind: 'share' }>, members: number): number {
  const byPercent = size.percent === null ? members : Math.floor((members * size.percent) / 100 + 1e-9);
  const byCount = size.count ?? members;
  return Math.min(members, Math.max(1, Math.min(byPercent, byCount)));
}

function isInSlice(slice: SliceDocument, index: number, member: RankedMember): boolean {
  return member.hash < slice.boundary && (index === 0 || member.labels[index - 1] === true);
}

function isInside(document: RolloutDocument, member: RankedMember): boolean {
  if (member.canary >= 0 && member.canary < document.canaryAssigned) return true;
  return document.slices.some((slice, index) => isInSlice(slice, index, member));
}

/** Connected members inside the boundary as the document has it, and how many of them poll. */
export function insideCount(document: RolloutDocument, members: Members): { inside: number; http: number } {
  if (members.kind === 'counted') {
    const share = (document.slices[0]?.boundary ?? 0) / BUCKET_SPACE;
    const inside = members.connected * share + document.canaryAssigned * (1 - share);
    return { inside: Math.min(members.connected, Math.round(inside)), http: Math.round(members.http * share) };
  }
  let inside = 0;
  let http = 0;
  for (const member of members.members) {
    if (!isInside(document, member)) continue;
    inside += 1;
    if (member.http) http += 1;
  }
  return { inside, http };
}

/** How a wave begins: the members it was planned over, how many agents it is to reach in all, where its boundary stops. */
export interface WavePlan {
  members: number;
  target: number;
  sliceIndex: number;
  end: number;
}

/** Plans a wave that moves a boundary. The end is an exact rank when the members are known one by one; it never lies below the present boundary. */
export function planWave(document: RolloutDocument, members: Members): WavePlan {
  const size = currentStrategy(document).size;
  const sliceIndex = sliceIndexOf(document.strategy, document.waveIndex);
  const present = document.slices[sliceIndex]?.boundary ?? 0;
  if (size.kind === 'agents') return { members: memberCount(members), target: size.agents.length, sliceIndex, end: present };
  const everybody = size.kind === 'labels' ? size.percent === 100 : size.count === null && size.percent === 100;
  if (members.kind === 'counted') {
    const count = members.connected;
    const share = size.kind === 'labels' ? size.percent / 100 : count === 0 ? 0 : shareOf(size, count) / count;
    const end = everybody ? BUCKET_SPACE : Math.floor(share * BUCKET_SPACE);
    return { members: count, target: Math.round(share * count), sliceIndex, end: Math.max(present, end) };
  }
  const eligible = size.kind === 'labels' ? members.members.filter((member) => member.labels[sliceIndex - 1] === true) : members.members;
  const target =
    eligible.length === 0
      ? 0
      : shareOf(size.kind === 'labels' ? { kind: 'share', count: null, percent: size.percent } : size, eligible.length);
  const outside = eligible.filter((member) => !isInside(document, member));
  const missing = Math.max(0, target - (eligible.length - outside.length));
  // The boundary lies on the first member that stays outside.
  const end = everybody ? BUCKET_SPACE : missing === 0 ? present : (outside[missing]?.hash ?? BUCKET_SPACE);
  return { members: eligible.length, target, sliceIndex, end: Math.max(present, end) };
}

/** True when everything that the wave is to let in has been let in. */
export function isAtEnd(document: RolloutDocument): boolean {
  const slice = document.slices[sliceIndexOf(document.strategy, document.waveIndex)];
  return document.canaryAssigned >= document.canary.length && (slice === undefined || slice.boundary >= slice.end);
}

/** A moved boundary: what changes in the document, and how many connected members it let in. */
export interface BoundaryMove {
  canaryAssigned: number;
  sliceIndex: number;
  boundary: number;
  admitted: number;
}

/** Room in failure domains: how many agents of each are under way, and how many may be. */
export interface DomainRoom {
  inFlight: ReadonlyMap<string, number>;
  max: number;
}

/** Lets members in one after the other while their domain has room. */
export class DomainGate {
  readonly #added = new Map<string, number>();
  readonly #room: DomainRoom | null;

  constructor(room: DomainRoom | null) {
    this.#room = room;
  }

  admit(domain: string | null | undefined): boolean {
    if (this.#room === null || domain === null || domain === undefined) return true;
    const added = this.#added.get(domain) ?? 0;
    if ((this.#room.inFlight.get(domain) ?? 0) + added >= this.#room.max) return false;
    this.#added.set(domain, added + 1);
    return true;
  }
}

/** Canaries of the list, from the next on, that may be let in: at most `allowed`, up to the first whose domain is full. */
function canariesToAdmit(document: RolloutDocument, members: Members, allowed: number, gate: DomainGate): number {
  const { canary, canaryAssigned } = document;
  const most = Math.min(allowed, canary.length - canaryAssigned);
  if (members.kind === 'counted') return most;
  const domains = domainsOf(members);
  for (let count = 0; count < most; count += 1) if (!gate.admit(domains.get(canary[canaryAssigned + count]?.origin ?? ''))) return count;
  return most;
}

/** Failure domains of the connected members that are in one, by their origin. */
export function domainsOf(members: Members): ReadonlyMap<string, string> {
  if (members.kind === 'counted') return new Map();
  return new Map(members.members.flatMap(({ origin, domain }) => (domain === null ? [] : [[origin, domain] as const])));
}

/**
 * Moves the boundary over at most `allowed` connected members, canaries first, and up to the first whose failure domain is full.
 * Null when nothing moves.
 */
export function moveBoundary(
  document: RolloutDocument,
  members: Members,
  allowed: number,
  domains: DomainRoom | null = null,
): BoundaryMove | null {
  const sliceIndex = sliceIndexOf(document.strategy, document.waveIndex);
  const slice = document.slices[sliceIndex];
  if (slice === undefined || isAtEnd(document)) return null;
  const gate = new DomainGate(domains);
  let admitted = canariesToAdmit(document, members, allowed, gate);
  const canaryAssigned = document.canaryAssigned + admitted;
  let boundary = slice.boundary;
  if (slice.boundary < slice.end && canaryAssigned === document.canary.length) {
    const room = allowed - admitted;
    const next =
      members.kind === 'counted'
        ? advanceShare(slice, members.connected, room)
        : advanceRank(document, sliceIndex, members.members, room, gate);
    boundary = next.boundary;
    admitted += next.admitted;
  }
  if (canaryAssigned === document.canaryAssigned && boundary === slice.boundary) return null;
  return { canaryAssigned, sliceIndex, boundary, admitted };
}

function advanceShare(slice: SliceDocument, connected: number, room: number): { boundary: number; admitted: number } {
  const step = connected === 0 ? BUCKET_SPACE : Math.floor((room / connected) * BUCKET_SPACE);
  const boundary = Math.min(slice.end, slice.boundary + step);
  return { boundary, admitted: Math.round(((boundary - slice.boundary) / BUCKET_SPACE) * connected) };
}

function advanceRank(
  document: RolloutDocument,
  sliceIndex: number,
  members: readonly RankedMember[],
  room: number,
  gate: DomainGate,
): { boundary: number; admitted: number } {
  const slice = document.slices[sliceIndex] as SliceDocument;
  let admitted = 0;
  for (const member of members) {
    if (member.hash < slice.boundary || (sliceIndex > 0 && member.labels[sliceIndex - 1] !== true) || isInside(document, member)) continue;
    if (member.hash >= slice.end) break;
    if (admitted === room || !gate.admit(member.domain)) return { boundary: member.hash, admitted };
    admitted += 1;
  }
  return { boundary: slice.end, admitted };
}

/** What is under way, against the limit. */
export interface Flight {
  /** Connected members inside the boundary that no row speaks of yet. */
  unreached: number;
  reached: number;
  inFlight: number;
}

/**
 * Connected agents under way: let in without a row yet, offered, or applying. Once every gateway has met this boundary
 * (`observed`) and has no backlog, only pollers can still be without a row; others have a pin or have left.
 */
export function flightOf(document: RolloutDocument, members: Members, counters: Counters, observed: boolean): Flight {
  const { inside, http } = insideCount(document, members);
  const reached = reachedConnected(counters.total);
  const missing = Math.max(0, inside - reached);
  const unreached = observed ? Math.min(missing, http) : missing;
  return {
    unreached,
    reached: Math.min(reached, inside),
    inFlight: unreached + countOf(counters.total, ['offered', 'applying'], 'connected'),
  };
}

/** Most agents that may be under way: as asked for, else 10 % of the group, at least 1, at most 5,000. */
export function maxInFlightOf(strategy: Strategy, members: number): number {
  return strategy.maxInFlight ?? Math.min(5_000, Math.max(1, Math.floor(members / 10)));
}

/** Share of failures above which the ramp is halved. */
const RAMP_FAILURE_SHARE = 0.005;

/** Offers per second now; null = unlimited. Grows with successes, and is halved while failures exceed 0.5 %. */
export function rateOf(strategy: Strategy, counters: Counters): number | null {
  if (strategy.rate === 'unlimited') return null;
  const { good, failing, decided } = verdictsOf(counters.total);
  const { start, factor, per, max } = strategy.rate;
  const rate = Math.min(max, start * factor ** Math.floor(good / per));
  return decided > 0 && failing / decided > RAMP_FAILURE_SHARE ? rate / 2 : rate;
}

/** Offers that one pause between steps may save up, in seconds of the rate. */
const CREDIT_LIMIT_SECONDS = 2;

/** How many agents may be let in now, and the credit there is (Infinity when the rate is unlimited). */
export function allowanceOf(
  document: RolloutDocument,
  options: { nowMs: number; rate: number | null; maxInFlight: number; inFlight: number },
): { allowed: number; credit: number } {
  const room = Math.max(0, options.maxInFlight - options.inFlight);
  if (options.rate === null) return { allowed: room, credit: Number.POSITIVE_INFINITY };
  const elapsedMs = Math.max(0, options.nowMs - document.pacing.atMs);
  const credit = Math.min(document.pacing.credit + (options.rate * elapsedMs) / 1_000, Math.max(1, options.rate * CREDIT_LIMIT_SECONDS));
  return { allowed: Math.min(room, Math.floor(credit)), credit };
}

/** An agent that could be a canary. */
export interface CanaryCandidate {
  uid: string;
  origin: string;
  hash: number;
  /** Reports its remote config status. */
  canAcknowledge: boolean;
  /** Undefined when it never reports health, which counts as healthy. */
  healthy: boolean | undefined;
  healthSinceMs: number;
  connectedAtMs: number;
  pinned: boolean;
  /** Hash of the config that it last reported, empty when it did not. */
  reportedHash: string;
  /** Values of the `spreadBy` attributes. */
  stratum: string;
  /** Hash of its component list, empty when it has told none. */
  componentsHash?: string;
}

/** The canaries that were chosen. */
export interface CanaryChoice {
  chosen: CanaryCandidate[];
  strata: number;
  strataCovered: number;
  /** Of the chosen, how many have not been connected and healthy for long enough. */
  unproven: number;
}

/** Builds of collectors by what is known of them. */
export interface BuildKnowledge {
  /** Hashes of builds that lack a component of the config. */
  lacks: readonly string[];
  /** Hashes of builds whose list nobody sent; null when nothing was compared. An agent without a hash is unknown then. */
  unknown: readonly string[] | null;
}

/** What a rollout knows of builds. */
export function buildsOf({ to, preflight }: Pick<RolloutDocument, 'to' | 'preflight'>): BuildKnowledge {
  return { lacks: to.lacks ?? [], unknown: preflight?.unknownBuilds ?? null };
}

/**
 * Chooses at most `count` canaries of those that are able to load the config, to acknowledge, and not unhealthy: first one of each
 * stratum, the largest stratum first; within a stratum those come first that have been connected and healthy for `minHealthyMs`. At
 * least half of them, as far as there are so many, are agents of which nobody knows whether their build can load it.
 */
export function chooseCanary(
  candidates: readonly CanaryCandidate[],
  options: { count: number; nowMs: number; minHealthyMs: number; builds?: BuildKnowledge },
): CanaryChoice {
  const { lacks, unknown } = options.builds ?? { lacks: [], unknown: null };
  const isUnknown = ({ componentsHash = '' }: CanaryCandidate): boolean =>
    unknown !== null && (componentsHash === '' || unknown.includes(componentsHash));
  const isProven = (candidate: CanaryCandidate): boolean => {
    const sinceMs = candidate.healthy === undefined ? candidate.connectedAtMs : Math.max(candidate.connectedAtMs, candidate.healthSinceMs);
    return options.nowMs - sinceMs >= options.minHealthyMs;
  };
  const fit = candidates
    .filter((candidate) => candidate.canAcknowledge && candidate.healthy !== false && !candidate.pinned)
    .filter(({ componentsHash = '' }) => !lacks.includes(componentsHash))
    .toSorted((a, b) => Number(isProven(b)) - Number(isProven(a)) || a.hash - b.hash || (a.uid < b.uid ? -1 : 1));
  const count = Math.min(options.count, fit.length, MAX_CANARY);
  const strata = new Map<string, CanaryCandidate[]>();
  for (const candidate of fit) strata.set(candidate.stratum, [...(strata.get(candidate.stratum) ?? []), candidate]);
  const bySize = [...strata.values()].toSorted((a, b) => b.length - a.length || ((a[0]?.stratum ?? '') < (b[0]?.stratum ?? '') ? -1 : 1));
  const firstOf = (stratum: CanaryCandidate[], index: number): CanaryCandidate[] =>
    [index % 2 === 0 ? (stratum.find(isUnknown) ?? stratum[0]) : stratum[0]].filter((candidate) => candidate !== undefined);
  const chosen = new Set(bySize.slice(0, count).flatMap(firstOf));
  const strataCovered = chosen.size;
  const half = Math.ceil(count / 2);
  let unknownChosen = [...chosen].filter(isUnknown).length;
  for (const candidate of fit.filter(isUnknown)) {
    if (chosen.size >= count || unknownChosen >= half) break;
    if (!chosen.has(candidate)) unknownChosen += 1;
    chosen.add(candidate);
  }
  for (const candidate of fit) {
    if (chosen.size >= count) break;
    chosen.add(candidate);
  }
  const list = [...chosen];
  return { chosen: list, strata: strata.size, strataCovered, unproven: list.filter((candidate) => !isProven(candidate)).length };
}
