import type { RecordField } from '@opamp-gateway/shared/agent-record';
import type { RowChange } from './reconciler/reconcile.ts';

/** Changes of one session that Redis does not have yet. */
export interface PendingWrite {
  set: Partial<Record<RecordField, string>>;
  del: string[];
  rows: RowChange[];
  effective: Buffer | undefined;
  group: string | undefined;
  takesConfig: boolean | undefined;
  /** Facets, one a line. */
  facets: string | undefined;
  release: boolean;
}

/** An empty write. */
export function emptyWrite(): PendingWrite {
  return { set: {}, del: [], rows: [], effective: undefined, group: undefined, takesConfig: undefined, facets: undefined, release: false };
}

/** Puts `newer` over `older`: newest state wins, rows stay in order. */
export function mergeWrites(older: PendingWrite, newer: PendingWrite): PendingWrite {
  return {
    set: { ...older.set, ...newer.set },
    del: [...new Set([...older.del, ...newer.del])],
    rows: [...older.rows, ...newer.rows],
    effective: newer.effective ?? older.effective,
    group: newer.group ?? older.group,
    takesConfig: newer.takesConfig ?? older.takesConfig,
    facets: newer.facets ?? older.facets,
    release: older.release || newer.release,
  };
}
