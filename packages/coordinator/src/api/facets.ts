/** Agents by one facet. */
export type FacetCounts = Record<string, number>;

/** What the counters of all shards say, sorted by kind. */
export interface Facets {
  /** Agents that have reported at least once. */
  agents: number;
  connected: number;
  /** Of the connected agents: by kind of facet (`health`, `status`, `version`, …), by value. */
  kinds: Map<string, FacetCounts>;
  groups: Map<string, { agents: number; connected: number; health: FacetCounts }>;
}

/** Facet of an agent's group, counted once for each agent. */
const GROUP = 'group';

/** Facet of group and health together: `<group>=<health>`. */
const GROUP_HEALTH = 'group-health';

/** Facet of an agent's build in its group. */
const BUILD = 'build';

/** Sorts counters `<kind>=<value>|<1 connected, 0 away>` as gateways keep them. */
export function readFacets(counters: ReadonlyMap<string, number>): Facets {
  const facets: Facets = { agents: 0, connected: 0, kinds: new Map(), groups: new Map() };
  const groupOf = (name: string): { agents: number; connected: number; health: FacetCounts } => {
    const known = facets.groups.get(name) ?? { agents: 0, connected: 0, health: {} };
    facets.groups.set(name, known);
    return known;
  };
  for (const [field, count] of counters) {
    const bar = field.lastIndexOf('|');
    const equals = field.indexOf('=');
    if (bar < 0 || equals < 0 || equals > bar) continue;
    const kind = field.slice(0, equals);
    const value = field.slice(equals + 1, bar);
    const connected = field.slice(bar + 1) === '1';
    if (kind === GROUP) {
      groupOf(value).agents += count;
      facets.agents += count;
      if (!connected) continue;
      groupOf(value).connected += count;
      facets.connected += count;
    } else if (kind === GROUP_HEALTH) {
      const split = value.lastIndexOf('=');
      if (connected) groupOf(value.slice(0, split)).health[value.slice(split + 1)] = count;
    } else if (kind === BUILD) {
      // Read by the preflight alone: hashes say nothing to people.
    } else if (connected) {
      const counts = facets.kinds.get(kind) ?? {};
      counts[value] = count;
      facets.kinds.set(kind, counts);
    }
  }
  return facets;
}
