import { formatGroupField, formatStableField, parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import type { FleetSpec, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import { commitSpec, swapSpecField } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { SpecCommit } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';
import type { ReplicaWait } from './replica-wait.ts';

/** Most groups. */
export const MAX_GROUPS = 1000;

/** What an operator says of a group. */
export type GroupInput = Pick<GroupSpec, 'name' | 'selector' | 'priority' | 'mode' | 'policy'>;

/** Outcome of a change: the new generation of the spec, or the active rollout that forbids it. */
export type GroupChange = { kind: 'ok'; generation: number } | { kind: 'active'; id: string } | { kind: 'missing' };

/** The operators' part of the fleet spec: groups and the freeze. */
export interface GroupStore {
  /** The whole fleet spec as it stands. */
  spec(): Promise<FleetSpec>;
  /** Id of the active rollout by group. The spec lacks those that have offered nothing yet. */
  activeRollouts(): Promise<Map<string, string>>;
  /** Writes a group. With `guarded` only when the group has no active rollout; check and write are one step. */
  put(group: GroupInput, options: { guarded: boolean; audit: string }): Promise<GroupChange>;
  /** Removes a group and what it was proven on, only when it has no active rollout. Its agents keep what they run. */
  delete(name: string, options: { audit: string }): Promise<GroupChange>;
  /** Lets offers outside rollouts go on that were stopped because they failed; false when they were not. */
  liftTrailingHold(name: string, options: { audit: string }): Promise<boolean>;
  /** Stops (or allows again) all offers but those of rollbacks and take-backs. */
  setFrozen(frozen: boolean, options: { audit: string }): Promise<GroupChange>;
}

/** Builds the store on the hash `{opamp}:spec`. */
export function createGroupStore(options: { client: RedisClient; keys: Keys; replicas?: ReplicaWait }): GroupStore {
  const { client, keys, replicas } = options;
  const commit = async (change: SpecCommit): Promise<GroupChange> => {
    const outcome = await commitSpec(client, keys, change);
    if (outcome.kind === 'ok') await replicas?.();
    return outcome;
  };

  return {
    async spec() {
      return parseSpec(await client.hgetall(keys.spec));
    },
    async activeRollouts() {
      return new Map(Object.entries(await client.hgetall(keys.rolloutsActive)));
    },
    async put(group, { guarded, audit }) {
      return await commit({
        guardGroup: guarded ? group.name : null,
        mustExist: null,
        set: { [specField.group(group.name)]: formatGroupField(group) },
        del: [],
        audit,
      });
    },
    async delete(name, { audit }) {
      return await commit({
        guardGroup: name,
        mustExist: specField.group(name),
        set: {},
        del: [specField.group(name), specField.stable(name)],
        audit,
      });
    },
    async liftTrailingHold(name, { audit }) {
      const field = specField.stable(name);
      for (;;) {
        const fields = await client.hgetall(keys.spec);
        const group = parseSpec(fields).groups.find((candidate) => candidate.name === name);
        if (group?.trailingHeld !== true) return false;
        const to = formatStableField({ ...group, trailingHeld: false, trailingRound: (group.trailingRound ?? 0) + 1 });
        if (!(await swapSpecField(client, keys, { field, from: fields[field] ?? '', to, audit }))) continue;
        await replicas?.();
        return true;
      }
    },
    async setFrozen(frozen, { audit }) {
      return await commit({
        guardGroup: null,
        mustExist: null,
        set: { [specField.frozen]: frozen ? '1' : '0' },
        del: [],
        audit,
      });
    },
  };
}
