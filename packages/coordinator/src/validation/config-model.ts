import type { ConfigNode, MapNode } from './config-node.ts';
import type { ComponentKind, Signal } from './ids.ts';

/** A component that a config defines, with a readable id. */
export interface ComponentDefinition {
  readonly kind: ComponentKind;
  /** The trimmed id, `type` or `type/name`. */
  readonly id: string;
  readonly type: string;
  readonly keyOffset: number;
  readonly path: string;
  readonly body: ConfigNode;
}

/** One of the five sections of components. */
export interface Section {
  readonly kind: ComponentKind;
  /** `unknown`: its content cannot be read (wrong shape, or a substitution), so that nothing may be concluded from what is missing. */
  readonly state: 'absent' | 'null' | 'map' | 'unknown';
  /** Where to point for what is missing in it. */
  readonly offset: number;
  /** True when it has at least one key, also one whose id is refused. */
  readonly hasEntries: boolean;
  readonly definitions: ReadonlyMap<string, ComponentDefinition>;
}

export type Sections = Readonly<Record<ComponentKind, Section>>;

/** A component named in `service`. */
export interface ComponentReference {
  readonly id: string;
  readonly type: string;
  readonly offset: number;
  readonly path: string;
}

/** A list of references. */
export interface ReferenceList {
  readonly references: readonly ComponentReference[];
  /** A substitution may add more, so nothing may be concluded from what is missing. */
  readonly open: boolean;
  /** Something in it could not be read and is reported; what that should have been is not guessed. */
  readonly broken: boolean;
}

export const PIPELINE_ROLES = ['receivers', 'processors', 'exporters'] as const;
export type PipelineRole = (typeof PIPELINE_ROLES)[number];

export interface Pipeline {
  /** The trimmed id, or the key as written when the id is refused. */
  readonly id: string;
  /** null when the id is refused: then nothing counts as used by it. */
  readonly signal: Signal | null;
  readonly keyOffset: number;
  readonly path: string;
  readonly receivers: ReferenceList;
  readonly processors: ReferenceList;
  readonly exporters: ReferenceList;
}

export interface Service {
  readonly extensions: ReferenceList;
  readonly pipelines: readonly Pipeline[];
  /** A substitution may add pipelines. */
  readonly open: boolean;
  /** Some pipeline could not be read and is reported. */
  readonly broken: boolean;
}

/** A config taken apart. */
export interface ConfigModel {
  readonly root: MapNode;
  readonly sections: Sections;
  readonly service: Service;
}
