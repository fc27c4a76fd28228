import { COMPONENT_KINDS } from './ids.ts';
import type { ComponentKind } from './ids.ts';
import { lookUp } from './signals-table.ts';
import type { ReportedComponents } from './validation-context.ts';

/** A component type of one kind, the grain of AvailableComponents [OpAMP available_components]. */
export interface ComponentType {
  readonly kind: ComponentKind;
  readonly type: string;
}

/** New component type names and the ones they replace. Recent builds list both, older ones only the old name. */
const RENAMED: Readonly<Record<ComponentKind, Readonly<Record<string, string>>>> = {
  receivers: { file_log: 'filelog' },
  processors: {
    resource_detection: 'resourcedetection',
    cumulative_to_delta: 'cumulativetodelta',
    k8s_attributes: 'k8sattributes',
  },
  exporters: { otlp_grpc: 'otlp', otlp_http: 'otlphttp' },
  connectors: { span_metrics: 'spanmetrics', otlp_json: 'otlpjson', metrics_as_logs: 'metricsaslogs' },
  extensions: {},
};

/** Renamed so lately that the old name is still what everybody writes: worth a hint where a build lacks one, and no warning. */
const RENAMED_LATELY: Readonly<Partial<Record<ComponentKind, Readonly<Record<string, string>>>>> = {
  receivers: { host_metrics: 'hostmetrics' },
};

/** The name that a type had before, undefined when it was never renamed. */
export function oldName(kind: ComponentKind, type: string): string | undefined {
  return lookUp(RENAMED[kind], type);
}

/** The name that replaces a type, undefined when it is current. */
export function newName(kind: ComponentKind, type: string): string | undefined {
  return Object.entries(RENAMED[kind]).find(([, old]) => old === type)?.[0];
}

/** The other name of a type that was renamed, old or new. Only for hints: an agent has what it lists and nothing else. */
export function otherName(kind: ComponentKind, type: string): string | undefined {
  const late = RENAMED_LATELY[kind] ?? {};
  const isOther = (pair: [string, string]): boolean => pair.includes(type);
  return (
    oldName(kind, type) ??
    newName(kind, type) ??
    Object.entries(late)
      .find(isOther)
      ?.find((name) => name !== type)
  );
}

/** A component that a build lacks, and the other name under which the build has it. */
export interface MissingComponent extends ComponentType {
  readonly alias?: string;
}

/**
 * The components of a config that a build does not have. Every *defined* component counts, because the collector decodes
 * unused ones too. An alias is named as a hint and never accepted in place of the type.
 */
export function missingComponents(used: Iterable<ComponentType>, reported: ReportedComponents): MissingComponent[] {
  const sets = new Map(COMPONENT_KINDS.map((kind) => [kind, new Set(reported[kind] ?? [])] as const));
  const missing: MissingComponent[] = [];
  for (const { kind, type } of used) {
    const listed = sets.get(kind);
    if (listed === undefined || listed.has(type)) continue;
    const alias = otherName(kind, type);
    missing.push(alias !== undefined && listed.has(alias) ? { kind, type, alias } : { kind, type });
  }
  return missing;
}

/** Collects component types without duplicates, in the order of kinds and then of types. */
export function uniqueComponents(components: Iterable<ComponentType>): ComponentType[] {
  const seen = new Map<string, ComponentType>();
  for (const { kind, type } of components) seen.set(`${kind}/${type}`, { kind, type });
  const rank = (component: ComponentType): number => COMPONENT_KINDS.indexOf(component.kind);
  return [...seen.values()].sort((a, b) => rank(a) - rank(b) || (a.type < b.type ? -1 : a.type > b.type ? 1 : 0));
}
