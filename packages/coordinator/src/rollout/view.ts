import type { CommandRights } from './approval.ts';
import type { ConfigRef } from '@opamp-gateway/shared/fleet-spec';
import type { Counters } from './counters.ts';
import type { FleetWatch, WatchedGateway } from './fleet-breaker.ts';
import type { HealthSamples } from './gates.ts';
import type { CanaryCandidate, Members } from './plan.ts';
import type { RolloutAction } from './service.ts';

/** One gateway whose lease runs. */
export interface GatewayView extends WatchedGateway {
  /** It has evaluated every session against the spec that holds this document's latest change, and Redis has the rows. */
  observed: boolean;
  /** It has evaluated every session against that spec; rows may still be on the way to Redis. */
  evaluated: boolean;
  /** Sessions that the spec made eligible for this rollout and that are not offered yet. */
  backlog: number;
}

/** State of one canary that was let in, as its record says. */
export interface CanaryState {
  uid: string;
  connected: boolean;
  http: boolean;
  hasRow: boolean;
}

/** What a step may know of the world. Gateways were read first, then the counters, then the rest. */
export interface FleetView {
  /** Redis time. */
  nowMs: number;
  gateways: readonly GatewayView[];
  counters: Counters;
  /** Rows past their deadline that have not been judged yet. */
  overdue: number;
  members: Members;
  /** Whether the rollout of the same group that goes first has ended; true when there is none. */
  predecessorEnded: boolean;
  /** The group's proven version now; read when a rollout starts. */
  stable: ConfigRef | null;
  /** Unhealthy and connected agents before the oldest running rollout; read when a rollout starts. */
  fleetBefore: FleetWatch['before'];
  /** How long a gateway may lag before the rollout is held. */
  lagHoldMs: number;
  /** How long too many agents must be unhealthy before the breaker of the fleet holds. */
  fleetBreakerMs: number;
  candidates?: readonly CanaryCandidate[];
  canaryStates?: readonly CanaryState[];
  healthSamples?: HealthSamples;
  /** `maxInFlightPer`: agents under way by failure domain. */
  domains?: ReadonlyMap<string, number>;
  /** `offline: wait`: known agents inside the boundary that are away and not settled. */
  awaited?: number;
  /** Agents under way in all other rollouts; may be a second old. */
  openElsewhere?: number;
}

/** What {@link FleetView} must be filled up with before the step can be decided. */
export type Need = 'candidates' | 'canaryStates' | 'healthSamples' | 'domains' | 'awaited' | 'openElsewhere';

/** An action of a person, or a repair that the engine asks for. */
export interface Command {
  action: Exclude<RolloutAction, 'rollback'>;
  actor: string;
  reason: string;
  /** Undefined: the coordinator itself, or a caller that may do everything. */
  rights?: CommandRights | undefined;
}
