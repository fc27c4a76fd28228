import { selectorAttributes } from '@opamp-gateway/shared/agent-record';
import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import { acceptsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import { desired } from '@opamp-gateway/shared/fleet-spec';
import type { Desired, FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { AgentReader } from '../bus/agent-reader.ts';
import { ProblemError } from './problem.ts';

/** Agents that may change config without `expectAgents`. */
export const UNGUARDED_AGENTS = 20;

/** How far `expectAgents` may be off. */
const TOLERANCE = 0.1;

/** Records up to which every agent is looked at; a larger fleet is sampled at this size. */
export const MAX_COUNTED_RECORDS = 100_000;

/** How many agents a change of the spec makes run another config. */
export interface Impact {
  agentsChanging: number;
  /** Agents that nothing manages any more: no group, or one that is only observed, and no pin. */
  agentsLeaving: number;
  /** Both together: what `expectAgents` has to say. */
  agentsAffected: number;
  /** True when the number is projected from a sample. */
  estimated: boolean;
  /** Records that were looked at, and how many there are. */
  sampled: number;
  agents: number;
}

/** What an agent should run by this spec. */
export function desiredOf(spec: FleetSpec, record: AgentRecord): Desired {
  return desired(spec, {
    origin: record.origin,
    attributes: selectorAttributes(record),
    scope: record.tokenGroups,
    pin: record.pin,
    failed: record.failed,
    componentsHash: record.componentsHash,
    absence: { fromMs: record.lastSeenMs, toMs: record.connectedAtMs },
    wasOffered(rolloutId) {
      const status = record.rows.get(rolloutId)?.status;
      return status !== undefined && status !== 'skipped' && status !== 'left';
    },
  });
}

/** The hash a gateway would offer to this agent, null when it would offer nothing. */
function targetOf(spec: FleetSpec, record: AgentRecord): string | null {
  if (!acceptsRemoteConfig(record.capabilities)) return null;
  const { group, config } = desiredOf(spec, record);
  return group !== null && group.mode === 'observe' ? null : (config?.hash ?? null);
}

/** One side of a comparison: an agent's record under a spec. */
export type Situation = { spec: FleetSpec; record: AgentRecord };

/** Whether going from one situation to the other makes the agent get another config than it has or was about to get. */
export function changesConfig(before: Situation, after: Situation): boolean {
  const target = targetOf(after.spec, after.record);
  if (target === null) return false;
  const { offered, reportedHash } = before.record;
  return target !== (offered === '' ? reportedHash : offered) && target !== targetOf(before.spec, before.record);
}

/** Whether what this agent runs is ours to say. */
function isManaged({ spec, record }: Situation): boolean {
  if (!acceptsRemoteConfig(record.capabilities)) return false;
  return record.pin !== null || desiredOf(spec, record).group?.mode === 'manage';
}

/** Whether going from one situation to the other leaves the agent to itself: it keeps what it runs, and gets nothing from us. */
export function leavesManagement(before: Situation, after: Situation): boolean {
  return isManaged(before) && !isManaged(after);
}

/** Counts the agents that change config, over all records or, in a fleet above {@link MAX_COUNTED_RECORDS}, a sample of that size. */
export async function countImpact(
  agents: AgentReader,
  before: FleetSpec,
  after: FleetSpec,
  limit: number = MAX_COUNTED_RECORDS,
): Promise<Impact> {
  let changing = 0;
  let leaving = 0;
  const { read, total } = await agents.sample({
    limit,
    rollouts: [...before.rollouts.values()].map(({ id }) => id),
    visit(records) {
      for (const record of records) {
        const sides = [
          { spec: before, record },
          { spec: after, record },
        ] as const;
        if (changesConfig(...sides)) changing += 1;
        if (leavesManagement(...sides)) leaving += 1;
      }
    },
  });
  const estimated = read < total && total > limit;
  const project = (count: number): number => (estimated ? Math.round((count * total) / Math.max(1, read)) : count);
  return {
    agentsChanging: project(changing),
    agentsLeaving: project(leaving),
    agentsAffected: project(changing) + project(leaving),
    estimated,
    sampled: read,
    agents: total,
  };
}

/** Throws a ProblemError when more agents would change config, or leave management, than may do so unasked, unless the caller expects about that many. */
export function guardImpact(impact: Impact, expectAgents: number | undefined): void {
  const { agentsChanging, agentsLeaving, agentsAffected } = impact;
  if (agentsAffected <= UNGUARDED_AGENTS) return;
  if (expectAgents !== undefined && Math.abs(expectAgents - agentsAffected) <= agentsAffected * TOLERANCE) return;
  const about = impact.estimated ? 'about ' : '';
  const leaving = agentsLeaving === 0 ? '' : `, ${agentsLeaving} would leave management and keep what they run`;
  const expected = expectAgents === undefined ? `say "expectAgents": ${agentsAffected} to do it` : `expectAgents says ${expectAgents}`;
  throw new ProblemError('expect-agents', `${about}${agentsChanging} agents would change config${leaving}; ${expected}`, {
    extensions: { ...impact },
  });
}
