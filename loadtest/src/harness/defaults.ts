/** What the command line leaves open. */

/** The scenario that brings its own gateways and agents, in steps, and therefore runs alone. */
export const MILLION = 'million';
/** Agents of a step of it, and of a gateway then. */
export const STEP_AGENTS = 200_000;
export const STEP_GATEWAY_CONNECTIONS = 16_000;
/** Seconds between heartbeats, and in the scenario that fills the machine. */
export const HEARTBEAT_S = 30;
export const STEP_HEARTBEAT_S = 60;
/** Agents of a run. */
export const DEFAULT_AGENTS = 5_000;
/** Agents of a worker process. */
export const AGENTS_PER_WORKER = 10_000;
/** Agents of a destination address: the kernel has 28,000 ports for each. */
export const AGENTS_PER_ADDRESS = 20_000;
/** Connections of a gateway, below the usual limit of 20,000 open files. */
export const GATEWAY_CONNECTIONS = 18_000;
export const SHORTEST_DEADLINE_MS = 300_000;
/** A rollout to 200,000 agents takes minutes on two cores. */
const DEADLINE_MS_PER_AGENT = 3;
const SHORTEST_ACK_TIMEOUT_S = 120;
const ACK_TIMEOUT_MS_PER_AGENT = 2;

/** Longest wait for anything, in milliseconds, that fits a fleet of this size. */
export function defaultDeadlineMs(agents: number): number {
  return Math.max(SHORTEST_DEADLINE_MS, agents * DEADLINE_MS_PER_AGENT);
}

/** How long an agent of a fleet of this size may take to answer an offer: it has to outlast a gateway and a busy machine. */
export function defaultAckTimeout(agents: number): string {
  return `${Math.max(SHORTEST_ACK_TIMEOUT_S, Math.ceil((agents * ACK_TIMEOUT_MS_PER_AGENT) / 1_000))}s`;
}
