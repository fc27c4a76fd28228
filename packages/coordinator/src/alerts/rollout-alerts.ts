import type { HoldReason } from '@opamp-gateway/shared/rollout-types';
import type { RolloutDocument } from '../rollout/document.ts';
import type { RolloutEvent } from '../rollout/service.ts';
import type { Alert, AlertSeverity, AlertType } from './alert.ts';

/** Who does what a rollout does by itself. */
const SYSTEM = 'system';

/** How much each hold matters to somebody who is not looking; null = it was planned and is nobody's alert. */
const HOLD_SEVERITY: Readonly<Record<string, AlertSeverity | null>> = {
  manual: 'info',
  approval: 'info',
  not_started: null,
  predecessor: null,
  window_closed: null,
} satisfies Partial<Record<HoldReason, AlertSeverity | null>>;

/** What must be told outside of the events of one step. Pure: the same step gives the same alerts. */
export function alertsOf(document: Pick<RolloutDocument, 'id' | 'group' | 'from' | 'to'>, events: readonly RolloutEvent[]): Alert[] {
  const name = `rollout ${document.id} of group ${document.group} to ${document.to.name}@${document.to.version}`;
  return events.flatMap((event) => {
    const told = tell(event);
    if (told === undefined) return [];
    const { type, severity, text } = told;
    return [
      {
        type,
        severity,
        at: event.at,
        summary: `${name} ${text}${event.detail === '' ? '' : `: ${event.detail}`}`,
        group: document.group,
        rollout: document.id,
        data: {
          from: document.from,
          to: document.to,
          event: event.seq,
          actor: event.actor,
          detail: event.detail,
          phase: event.to.phase,
          waveIndex: event.to.waveIndex,
          holds: event.to.holds,
          ...(event.data === undefined ? {} : { evidence: event.data }),
        },
      },
    ];
  });
}

function tell(event: RolloutEvent): { type: AlertType; severity: AlertSeverity; text: string } | undefined {
  switch (event.type) {
    case 'hold.added': {
      const reason = holdOf(event);
      const severity = reason in HOLD_SEVERITY ? HOLD_SEVERITY[reason] : 'warning';
      return severity === null || severity === undefined
        ? undefined
        : { type: 'rollout.held', severity, text: reason === 'approval' ? 'waits for an approval' : `is held (${reason})` };
    }
    case 'hold.removed':
      if (event.to.holds.length > 0 || HOLD_SEVERITY[holdOf(event)] === null) return undefined;
      return { type: 'rollout.resumed', severity: 'info', text: 'goes on' };
    case 'rollback.started':
      return event.actor === SYSTEM
        ? { type: 'rollout.failed', severity: 'critical', text: 'failed and is rolled back' }
        : { type: 'rollout.aborted', severity: 'warning', text: `was aborted by ${event.actor} and is rolled back` };
    case 'rollout.rolled_back':
      return { type: 'rollout.rolled_back', severity: 'warning', text: 'is rolled back' };
    case 'rollout.cancelled':
      return { type: 'rollout.cancelled', severity: 'warning', text: 'has ended' };
    case 'rollout.rollback_failed':
      return { type: 'rollout.rollback_failed', severity: 'critical', text: 'could not be rolled back' };
    case 'rollout.succeeded':
      return { type: 'rollout.succeeded', severity: 'info', text: 'succeeded' };
    default:
      return undefined;
  }
}

/** The hold that an event is about. */
function holdOf({ data }: RolloutEvent): string {
  const hold = data?.['hold'];
  return typeof hold === 'string' ? hold : '';
}
