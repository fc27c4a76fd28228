import type { AlertStore } from './ports.ts';

/** When agents that FAILED are an alert. */
export interface FailedRateLimits {
  /** Share of the connected agents, in percent. 0 = never. */
  percent: number;
  /** Fewest agents. */
  minAgents: number;
}

const STATE = 'failed_rate';

/**
 * Tells once when the share of connected agents whose last config status is FAILED reaches the limit, and once when it has
 * fallen below half of it. The state is kept beside the outbox, so that any coordinator may look.
 */
export async function watchFailedRate(
  store: Pick<AlertStore, 'stateOf' | 'change'>,
  limits: FailedRateLimits,
  fleet: { connected: number; failed: number },
): Promise<'raised' | 'cleared' | 'unchanged'> {
  const share = fleet.connected === 0 ? 0 : (100 * fleet.failed) / fleet.connected;
  const above = limits.percent > 0 && fleet.failed >= limits.minAgents && share >= limits.percent;
  const below = limits.percent === 0 || share < limits.percent / 2 || fleet.failed < limits.minAgents / 2;
  const raised = (await store.stateOf(STATE)) !== '';
  if (raised ? !below : !above) return 'unchanged';
  const changed = await store.change({
    name: STATE,
    from: raised ? 'raised' : '',
    to: raised ? '' : 'raised',
    alert: {
      type: raised ? 'fleet.failed_rate_over' : 'fleet.failed_rate',
      severity: raised ? 'info' : 'critical',
      summary: `${fleet.failed} of ${fleet.connected} connected agents (${share.toFixed(1)} %) report FAILED${raised ? ', which is below the limit again' : ''}`,
      group: null,
      rollout: null,
      data: { ...fleet, limitPercent: limits.percent },
    },
  });
  if (!changed) return 'unchanged';
  return raised ? 'cleared' : 'raised';
}
