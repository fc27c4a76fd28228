/** What can be told outside. The list is closed; docs/alerts.md describes each. */
export const ALERT_TYPES = [
  'rollout.failed',
  'rollout.aborted',
  'rollout.cancelled',
  'rollout.held',
  'rollout.resumed',
  'rollout.rolled_back',
  'rollout.rollback_failed',
  'rollout.succeeded',
  'group.trailing_held',
  'fleet.failed_rate',
  'fleet.failed_rate_over',
  'test',
] as const;
export type AlertType = (typeof ALERT_TYPES)[number];

/** How much it matters, least first. */
export const ALERT_SEVERITIES = ['info', 'warning', 'critical'] as const;
export type AlertSeverity = (typeof ALERT_SEVERITIES)[number];

/** One thing that is to be told outside, as it stands in the outbox. */
export interface Alert {
  type: AlertType;
  severity: AlertSeverity;
  /** RFC 3339 UTC. */
  at: string;
  /** One sentence for people. */
  summary: string;
  group: string | null;
  /** Id of the rollout. */
  rollout: string | null;
  /** What it rests on; differs by type. */
  data: Record<string, unknown>;
}

/** True when `severity` is at least `least`. */
export function isAtLeast(severity: AlertSeverity, least: AlertSeverity): boolean {
  return ALERT_SEVERITIES.indexOf(severity) >= ALERT_SEVERITIES.indexOf(least);
}

/** Reads a message of the outbox; undefined when it is none that this release knows. */
export function parseAlert(text: string): Alert | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, severity, at, summary } = value as Partial<Alert>;
  if (typeof at !== 'string' || typeof summary !== 'string') return undefined;
  if (type === undefined || severity === undefined || !ALERT_TYPES.includes(type) || !ALERT_SEVERITIES.includes(severity)) return undefined;
  const { group = null, rollout = null, data = {} } = value as Partial<Alert>;
  return { type, severity, at, summary, group, rollout, data };
}

/** The body of the webhook that tells of an alert. The same in every attempt. */
export function toWebhookBody(id: string, alert: Alert): string {
  const { type, at, severity, summary, group, rollout, data } = alert;
  return JSON.stringify({ type, timestamp: at, id, data: { severity, summary, group, rollout, ...data } });
}
