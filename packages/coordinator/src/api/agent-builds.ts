import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { AgentReader } from '../bus/agent-reader.ts';
import { preflight } from '../validation/preflight.ts';
import type { PreflightReport } from '../validation/preflight.ts';
import type { ComponentType } from '../validation/component-set.ts';
import { MAX_COUNTED_RECORDS } from './impact.ts';

/** Which selected agents could load a config; numbers of a sample in a large fleet. */
export type SelectionReport = PreflightReport & { estimated: boolean };

/** Compares the components of a config with the builds of the agents that `accept` takes. */
export async function checkBuilds(
  agents: AgentReader,
  accept: (record: AgentRecord) => boolean,
  used: readonly ComponentType[],
): Promise<SelectionReport> {
  const counts = new Map<string, number>();
  const { read, total } = await agents.sample({
    limit: MAX_COUNTED_RECORDS,
    rollouts: [],
    visit(records) {
      for (const record of records) {
        if (accept(record)) counts.set(record.componentsHash, (counts.get(record.componentsHash) ?? 0) + 1);
      }
    },
  });
  const lists = await agents.componentLists([...counts.keys()].filter((hash) => hash !== ''));
  const builds = [...counts].map(([hash, count]) => ({ hash, count, components: lists.get(hash) ?? null }));
  return { ...preflight(used, builds), estimated: read < total && total > MAX_COUNTED_RECORDS };
}
