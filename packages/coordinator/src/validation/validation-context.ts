import type { FindingSink } from './finding.ts';
import type { ComponentKind } from './ids.ts';
import type { SignalsTable } from './signals-table.ts';
import type { Suggester } from './suggest.ts';

/** The component types that a collector build contains, as AvailableComponents reports them. A kind that is left out has none. */
export type ReportedComponents = Readonly<Partial<Record<ComponentKind, Iterable<string>>>>;

/** What a caller allows; everything that is left out is the strict or the usual choice. */
export interface ValidationPolicy {
  /** Substitutions that read files or fetch documents. true: silent, left out: W_PROVIDER, false: E_PROVIDER. */
  readonly allowProviders?: boolean;
  /** Accept a config without pipelines, receivers or exporters; default false. */
  readonly allowNoPipelines?: boolean;
  /** The text is one part of what the agent merges, so what it lacks may come from elsewhere; default false. */
  readonly allowFragments?: boolean;
  /** The agents are supervisors, which merge the text last over their own part; adds W_NULL_SECTION; default false. */
  readonly supervised?: boolean;
  /** Collectors run with the gate `service.profilesSupport`; default false. */
  readonly profilesSupport?: boolean;
  /** Substitution schemes of the build; default env, file, http, https, yaml. */
  readonly schemes?: readonly string[];
}

/** What all rules need. */
export interface ValidationContext {
  readonly sink: FindingSink;
  readonly suggester: Suggester;
  readonly policy: ValidationPolicy;
  readonly signals: SignalsTable;
  /** null: nothing is known about the build, so no type is unknown. */
  readonly components: Readonly<Record<ComponentKind, ReadonlySet<string>>> | null;
}
