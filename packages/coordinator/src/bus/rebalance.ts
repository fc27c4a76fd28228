/** A gateway as the plan looks at it. */
export interface LoadedGateway {
  readonly id: string;
  readonly alive: boolean;
  readonly draining: boolean;
  readonly connected: number;
}

/** How many agents a gateway is to send away. */
export interface Shed {
  readonly id: string;
  readonly connected: number;
  readonly count: number;
}

/**
 * Which gateways have too many agents: those more than `tolerancePercent` above the mean of all that serve send away what is
 * above the mean. Where these agents go is up to the load balancer, which should prefer the gateway with the fewest connections.
 */
export function planRebalance(
  gateways: readonly LoadedGateway[],
  tolerancePercent: number,
): { readonly mean: number; readonly sheds: readonly Shed[] } {
  const serving = gateways.filter(({ alive, draining }) => alive && !draining);
  const mean = serving.length === 0 ? 0 : Math.ceil(serving.reduce((sum, { connected }) => sum + connected, 0) / serving.length);
  const sheds = serving
    .filter(({ connected }) => connected > mean * (1 + tolerancePercent / 100))
    .map(({ id, connected }) => ({ id, connected, count: connected - mean }));
  return { mean, sheds };
}
