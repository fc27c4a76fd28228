import { isRowStatus } from '@opamp-gateway/shared/rollout-types';
import type { FailureGroup, FailureGroups } from '../rollout/service.ts';

/** Groups that an answer shows of each kind, and examples of each group. */
const MAX_GROUPS = 100;
const MAX_EXAMPLES = 5;

/** Adds up the fields of `failure-groups` of all shards, see `lua/common.lua`. Fields of another form are ignored. */
export function sumFailureGroups(shards: readonly Readonly<Record<string, string>>[]): FailureGroups {
  const kinds = { m: new Map<string, FailureGroup>(), v: new Map<string, FailureGroup>(), s: new Map<string, FailureGroup>() };
  let omitted = 0;
  let attributes: string[] = [];
  for (const fields of shards) {
    omitted += Number(fields['omitted'] ?? 0);
    if (fields['spreadBy'] !== undefined) attributes = fields['spreadBy'].split('\n');
    for (const [field, value] of Object.entries(fields)) {
      const [, what, kind, key] = /^([cx])\|([mvs])\|(.*)$/s.exec(field) ?? [];
      if (kind === undefined || key === undefined) continue;
      const groups = kinds[kind as keyof typeof kinds];
      const group = groups.get(key) ?? { count: 0, examples: [] };
      groups.set(key, group);
      if (what === 'c') group.count += Number(value);
      else group.examples.push(...value.split(',').filter((uid) => uid !== ''));
    }
  }
  const largest = (groups: ReadonlyMap<string, FailureGroup>): [string, FailureGroup][] =>
    [...groups]
      .filter(([, { count }]) => count > 0)
      .toSorted(([left, a], [right, b]) => b.count - a.count || (left < right ? -1 : 1))
      .slice(0, MAX_GROUPS)
      .map(([key, { count, examples }]) => [key, { count, examples: examples.slice(0, MAX_EXAMPLES) }]);
  return {
    total: [...kinds.m.values()].reduce((sum, { count }) => sum + count, 0),
    omitted,
    byMessage: largest(kinds.m).map(([key, group]) => {
      const [status = ''] = key.split('|', 1);
      return { status: isRowStatus(status) ? status : 'failed', message: key.slice(status.length + 1), ...group };
    }),
    byVersion: largest(kinds.v).map(([version, group]) => ({ version, ...group })),
    byStratum:
      attributes.length === 0
        ? []
        : largest(kinds.s).map(([key, group]) => {
            const values = key.split('\n');
            return { stratum: Object.fromEntries(attributes.map((name, index) => [name, values[index] ?? ''])), ...group };
          }),
  };
}
