import { missingComponents } from './component-set.ts';
import type { ComponentType } from './component-set.ts';
import { KIND_SINGULAR } from './ids.ts';
import type { ReportedComponents } from './validation-context.ts';

/** One collector build among the selected agents, known by the hash of its component list [OpAMP available_components.hash]. */
export interface AgentBuild {
  readonly hash: string;
  /** Selected agents that run it. */
  readonly count: number;
  /** null while no agent of the build has sent its list, or none can. */
  readonly components: ReportedComponents | null;
}

/** A component that some selected agents lack. */
export interface LackingComponent extends ComponentType {
  /** Agents without it. */
  readonly agents: number;
  /** Hashes of the builds without it. */
  readonly builds: readonly string[];
  /** The name under which some of these builds have it; only a hint. */
  readonly alias?: string;
  /** The whole as a sentence. */
  readonly text: string;
}

/** Which selected agents could load a config, judged once per build. */
export interface PreflightReport {
  readonly agents: number;
  /** Agents whose build has everything. */
  readonly able: number;
  /** Agents that would answer with an unknown type; they do not belong into the rollout. */
  readonly unable: number;
  /** Agents whose build is not known; they belong into the canary wave, not into the wide ones. */
  readonly unknown: number;
  readonly unableBuilds: readonly string[];
  readonly unknownBuilds: readonly string[];
  readonly missing: readonly LackingComponent[];
  /** One line per missing component, and one about agents whose build is unknown. */
  readonly lines: readonly string[];
}

/**
 * Compares the components that a config defines with the builds of the selected agents. Pure; costs one set operation per build.
 */
export function preflight(used: readonly ComponentType[], builds: readonly AgentBuild[]): PreflightReport {
  let unknown = 0;
  let unable = 0;
  const unableBuilds: string[] = [];
  const unknownBuilds: string[] = [];
  const lacking = new Map<string, { component: ComponentType; agents: number; builds: string[]; alias?: string }>();
  for (const build of builds) {
    if (build.components === null) {
      unknown += build.count;
      unknownBuilds.push(build.hash);
      continue;
    }
    const missing = missingComponents(used, build.components);
    if (missing.length === 0) continue;
    unable += build.count;
    unableBuilds.push(build.hash);
    for (const { kind, type, alias } of missing) {
      const key = `${kind}/${type}`;
      const entry = lacking.get(key) ?? { component: { kind, type }, agents: 0, builds: [] };
      entry.agents += build.count;
      entry.builds.push(build.hash);
      if (alias !== undefined) entry.alias = alias;
      lacking.set(key, entry);
    }
  }
  const agents = builds.reduce((sum, build) => sum + build.count, 0);
  const missing = [...lacking.values()].map(({ component, ...rest }) => ({
    ...component,
    ...rest,
    text: sentence({ ...component, ...rest }, agents),
  }));
  missing.sort((a, b) => b.agents - a.agents || (a.text < b.text ? -1 : 1));
  const lines = missing.map((entry) => entry.text);
  if (unknown > 0) {
    lines.push(
      `${number(unknown)} of ${number(agents)} selected agents (${plural(unknownBuilds.length, 'build')}) have not told their components: try them in the canary wave first`,
    );
  }
  return { agents, able: agents - unable - unknown, unable, unknown, unableBuilds, unknownBuilds, missing, lines };
}

function sentence(lacking: Omit<LackingComponent, 'text'>, agents: number): string {
  const lack = lacking.agents === 1 ? 'lacks' : 'lack';
  const hint = lacking.alias === undefined ? '' : `; write \`${lacking.alias}\` for builds that know it by that name`;
  return `this config needs the \`${lacking.type}\` ${KIND_SINGULAR[lacking.kind]}; ${number(lacking.agents)} of ${number(agents)} selected agents (${plural(lacking.builds.length, 'build')}) ${lack} it${hint}`;
}

function plural(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A count with commas, independent of the machine's language. */
function number(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
