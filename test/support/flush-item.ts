import type { FlushItem, RowWrite } from '@opamp-gateway/shared/redis/agent-scripts';
import type { RowStatus } from '@opamp-gateway/shared/rollout-types';

/** The rollout of {@link rowWrite}. */
export const ROLLOUT = 'r1';

/** A write of one agent that changes nothing but what `over` says. */
export function flushItem(uid: string, epoch: string, over: Partial<FlushItem> = {}): FlushItem {
  return {
    uid,
    epoch,
    release: false,
    group: undefined,
    takesConfig: undefined,
    facets: undefined,
    effective: undefined,
    set: {},
    del: [],
    rows: [],
    ...over,
  };
}

/** A row of the first wave with an hour left. */
export function rowWrite(status: RowStatus, over: Partial<RowWrite> = {}): RowWrite {
  return { rollout: ROLLOUT, wave: '0', status, attempt: 1, deadlineInMs: 3_600_000, ackTimeoutMs: 1_000, soft: false, error: '', ...over };
}
