import type { AgentRecord } from '@opamp-gateway/shared/agent-record';
import type { AgentReader } from '../bus/agent-reader.ts';
import { preflight } from '../validation/preflight.ts';
import type { AgentBuild, PreflightReport } from '../validation/preflight.ts';
import type { ComponentType } from '../validation/component-set.ts';

/** Which selected agents could load a config; projected from a sample in a large fleet. */
export type SelectionReport = PreflightReport & { estimated: boolean };

/** Agents looked at to judge a free selector; a larger fleet is sampled at this size. Groups are counted exactly, without looking at agents. */
const MAX_LOOKED_AT = 20_000;

/** Facet under which gateways count each agent that takes configs: `build=<hash of its components>=<group>`. */
const BUILD_FACET = 'build=';

/** Builds of a group's agents that take configs, connected or not, from counters: costs nothing for each agent. */
export async function groupBuilds(agents: AgentReader, group: string): Promise<AgentBuild[]> {
  const counts = new Map<string, number>();
  for (const [facet, count] of await agents.facets()) {
    if (!facet.startsWith(BUILD_FACET)) continue;
    const split = facet.indexOf('=', BUILD_FACET.length);
    if (facet.slice(split + 1, facet.lastIndexOf('|')) !== group) continue;
    const hash = facet.slice(BUILD_FACET.length, split);
    counts.set(hash, (counts.get(hash) ?? 0) + count);
  }
  return await withLists(agents, counts);
}

/** Compares the components of a config with the builds of the agents that `accept` takes. */
export async function checkBuilds(
  agents: AgentReader,
  accept: (record: AgentRecord) => boolean,
  used: readonly ComponentType[],
): Promise<SelectionReport> {
  const counts = new Map<string, number>();
  const { read, total } = await agents.sample({
    limit: MAX_LOOKED_AT,
    rollouts: [],
    visit(records) {
      for (const record of records) {
        if (accept(record)) counts.set(record.componentsHash, (counts.get(record.componentsHash) ?? 0) + 1);
      }
    },
  });
  const estimated = read < total && total > MAX_LOOKED_AT;
  if (estimated) for (const [hash, count] of counts) counts.set(hash, Math.round((count * total) / Math.max(1, read)));
  return { ...preflight(used, await withLists(agents, counts)), estimated };
}

async function withLists(agents: AgentReader, counts: ReadonlyMap<string, number>): Promise<AgentBuild[]> {
  const lists = await agents.componentLists([...counts.keys()].filter((hash) => hash !== ''));
  return [...counts].map(([hash, count]) => ({ hash, count, components: lists.get(hash) ?? null }));
}
