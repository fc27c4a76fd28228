import { hash } from 'node:crypto';
import { acceptsRemoteConfig, reportsRemoteConfig } from '@opamp-gateway/shared/capabilities';
import { isInCohort } from '@opamp-gateway/shared/fleet-spec';
import type { ConfigRef, Desired, FleetSpec } from '@opamp-gateway/shared/fleet-spec';
import type { AgentSession } from './agent-session.ts';

const shapes = new WeakMap<FleetSpec, string>();

/** Hash of all that an agent's desired config follows from but the boundaries: specs of one shape differ in how far their rollouts have got within a wave. */
export function shapeOf(spec: FleetSpec): string {
  let shape = shapes.get(spec);
  if (shape === undefined) {
    const { frozen, groups, rollouts } = spec;
    const unplaced = [...rollouts.values()].map((rollout) => ({ ...rollout, slices: rollout.slices.map(({ selector }) => selector) }));
    shape = hash('sha256', JSON.stringify([frozen, groups, unplaced]), 'hex').slice(0, 16);
    shapes.set(spec, shape);
  }
  return shape;
}

/**
 * What an agent should run by a spec in which nothing but boundaries has moved, where that is what it runs already: a paced rollout
 * moves its boundary several times a second, past a few agents of a gateway, and all others need no more than their place compared.
 * Undefined when the agent has to be evaluated in full: the spec has another shape, the boundary has passed the agent, or anything about
 * the agent is open.
 */
export function carriedOver(session: AgentSession, spec: FleetSpec): Desired | undefined {
  const { desired, record } = session;
  if (session.shape !== shapeOf(spec) || desired === undefined || desired.group === null || desired.rollout === null) return undefined;
  if (session.offer !== undefined || session.waiting !== undefined || session.awaitingReportUntilMs !== 0 || record.pin !== null)
    return undefined;
  const { name } = desired.group;
  const rollout = spec.rollouts.get(name);
  const group = spec.groups.find((candidate) => candidate.name === name);
  if (group === undefined || rollout === undefined || rollout.direction === 'back') return undefined;
  const config = desired.source === 'rollout' ? rollout.to : desired.source === 'stable' ? group.stable : null;
  if (config === null || !runs(session, config)) return undefined;
  const row = record.rows.get(rollout.id);
  const isSettled = desired.source === 'rollout' ? row?.status === 'applied' && row.attempt === rollout.attempt : row === undefined;
  if (!isSettled || isInCohort(rollout, session.desiredInput) !== desired.inCohort) return undefined;
  return { ...desired, group, rollout, config };
}

function runs({ record }: AgentSession, config: ConfigRef): boolean {
  const { capabilities, reportedHash, reportedStatus, offered } = record;
  if (!acceptsRemoteConfig(capabilities) || !reportsRemoteConfig(capabilities)) return false;
  return reportedStatus === 'APPLIED' && reportedHash === config.hash && (offered === '' || offered === config.hash);
}
