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

/** Counts the agents that change config, over all records or, in a fleet above {@link MAX_COUNTED_RECORDS}, a sample of that size. */
export async function countImpact(
  agents: AgentReader,
  before: FleetSpec,
  after: FleetSpec,
  limit: number = MAX_COUNTED_RECORDS,
): Promise<Impact> {
  let changing = 0;
  const { read, total } = await agents.sample({
    limit,
    rollouts: [...before.rollouts.values()].map(({ id }) => id),
    visit(records) {
      for (const record of records) if (changesConfig({ spec: before, record }, { spec: after, record })) changing += 1;
    },
  });
  const estimated = read < total && total > limit;
  return {
    agentsChanging: estimated ? Math.round((changing * total) / Math.max(1, read)) : changing,
    estimated,
    sampled: read,
    agents: total,
  };
}

/** Throws a ProblemError when more agents would change config than may do so unasked, unless the caller expects about that many. */
export function guardImpact(impact: Impact, expectAgents: number | undefined): void {
  const { agentsChanging } = impact;
  if (agentsChanging <= UNGUARDED_AGENTS) return;
  if (expectAgents !== undefined && Math.abs(expectAgents - agentsChanging) <= agentsChanging * TOLERANCE) return;
  const about = impact.estimated ? 'about ' : '';
  const expected = expectAgents === undefined ? `say "expectAgents": ${agentsChanging} to do it` : `expectAgents says ${expectAgents}`;
  throw new ProblemError('expect-agents', `${about}${agentsChanging} agents would change config; ${expected}`, {
    extensions: { ...impact },
  });
}
