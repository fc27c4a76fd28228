import type { FlushItem } from '@opamp-gateway/shared/redis/agent-scripts';

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
