import type { ConfigModel, Section } from './config-model.ts';
import { PIPELINE_ROLES } from './config-model.ts';
import { quoted } from './finding.ts';
import { COMPONENT_KINDS, KIND_SINGULAR } from './ids.ts';
import type { ComponentKind } from './ids.ts';
import type { ValidationContext } from './validation-context.ts';

/**
 * Components that are defined but stand in no readable pipeline or in `service.extensions` (W_UNUSED). Silent about a kind whose
 * use cannot be known because of a substitution, and about fragments.
 */
export function warnUnused(model: ConfigModel, context: ValidationContext): void {
  const { service, sections } = model;
  if (context.policy.allowFragments === true || service.open) return;
  const used: Record<ComponentKind, Set<string>> = {
    receivers: new Set(),
    processors: new Set(),
    exporters: new Set(),
    connectors: new Set(),
    extensions: new Set(service.extensions.references.map((reference) => reference.id)),
  };
  const open = new Set<ComponentKind>(service.extensions.open ? ['extensions'] : []);
  for (const pipeline of service.pipelines) {
    if (pipeline.signal === null) continue;
    for (const role of PIPELINE_ROLES) {
      if (pipeline[role].open) open.add(role);
      if (pipeline[role].open && role !== 'processors') open.add('connectors');
      for (const reference of pipeline[role].references) {
        context.sink.step();
        used[role].add(reference.id);
        if (role !== 'processors') used.connectors.add(reference.id);
      }
    }
  }
  for (const kind of COMPONENT_KINDS) if (!open.has(kind)) warnUnusedOfKind(sections[kind], used[kind], context);
}

function warnUnusedOfKind(section: Section, used: ReadonlySet<string>, context: ValidationContext): void {
  for (const definition of section.definitions.values()) {
    context.sink.step();
    if (used.has(definition.id)) continue;
    const user = section.kind === 'extensions' ? 'service::extensions does not list it' : 'no pipeline uses it';
    context.sink.warn('W_UNUSED', {
      path: definition.path,
      offset: definition.keyOffset,
      message: `${KIND_SINGULAR[section.kind]} ${quoted(definition.id)} is defined but ${user}; the collector still checks its settings`,
    });
  }
}
