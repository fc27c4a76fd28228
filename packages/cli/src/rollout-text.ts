import type { ConfigRef, Rollout } from './api-types.ts';
import { formatAge } from './duration.ts';

/** `applied 20, failed 1`, without those that are 0. */
export function formatCounts(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${status} ${count}`)
    .join(', ');
}

/** `name@3`, or `-`. */
export function formatRef(ref: Pick<ConfigRef, 'name' | 'version'> | null): string {
  return ref === null ? '-' : `${ref.name}@${ref.version}`;
}

/** What a frozen fleet means for a rollout. */
export const FROZEN = 'the fleet is frozen: nobody new is offered it; rollbacks go on; `opampctl unfreeze` ends that';

/** A rollout as `key: value` pairs. */
export function rolloutFields(rollout: Rollout, nowMs: number): [string, string][] {
  const held = rollout.holdDetails.map(
    ({ reason, since, detail }) =>
      ['held', `${reason} for ${formatAge(since, nowMs)}${detail === '' ? '' : `: ${detail}`}`] as [string, string],
  );
  const waves = rollout.waves.map(
    ({ phase, counts }, index) =>
      [`wave ${index + 1}`, [phase, formatCounts(counts)].filter((text) => text !== '').join(', ')] as [string, string],
  );
  return [
    ['rollout', `${rollout.id} (revision ${rollout.rev})`],
    ['phase', rollout.phase],
    ...held,
    ...(rollout.fleetFrozen === true ? [['held', FROZEN] as [string, string]] : []),
    ['group', rollout.group],
    ['config', `${formatRef(rollout.from)} -> ${formatRef(rollout.to)}`],
    ['agents', formatCounts(rollout.counts) || 'none touched yet'],
    ...waves,
    ['created', `${rollout.createdAt} by ${rollout.createdBy}`],
    ['reason', rollout.reason === '' ? '-' : rollout.reason],
    ...(rollout.endedAt === null ? [] : [['ended', rollout.endedAt] as [string, string]]),
    ...(rollout.outcome === '' ? [] : [['outcome', rollout.outcome] as [string, string]]),
    ...(rollout.preflight?.lines ?? []).map((line) => ['components', line] as [string, string]),
    ...rollout.warnings.map((warning) => ['warning', warning] as [string, string]),
  ];
}
