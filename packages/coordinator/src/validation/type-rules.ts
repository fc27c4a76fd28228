import { newName, otherName } from './component-set.ts';
import type { ComponentDefinition, Sections } from './config-model.ts';
import { quoted } from './finding.ts';
import { COMPONENT_KINDS, KIND_SINGULAR } from './ids.ts';
import type { ValidationContext } from './validation-context.ts';

/** Valid types named in one message; contrib builds have a hundred of a kind. */
const MAX_LISTED_TYPES = 20;

/** Component types that the build does not have (E_TYPE_UNKNOWN) and names that it is about to lose (W_DEPRECATED_TYPE). */
export function checkTypes(sections: Sections, context: ValidationContext): void {
  for (const kind of COMPONENT_KINDS) {
    for (const definition of sections[kind].definitions.values()) {
      context.sink.step();
      if (isUnknown(definition, context)) reportUnknown(definition, context);
      else warnDeprecated(definition, context);
    }
  }
}

/** The logging exporter was removed long ago, so it is refused unless the build is known to have it. */
function isRemoved(definition: ComponentDefinition): boolean {
  return definition.kind === 'exporters' && definition.type === 'logging';
}

function isUnknown(definition: ComponentDefinition, context: ValidationContext): boolean {
  if (context.components === null) return isRemoved(definition);
  return !context.components[definition.kind].has(definition.type);
}

function reportUnknown(definition: ComponentDefinition, context: ValidationContext): void {
  const { kind, id, type } = definition;
  const listed = context.components?.[kind] ?? new Set<string>();
  const place = { path: definition.path, offset: definition.keyOffset };
  if (isRemoved(definition)) {
    context.sink.error('E_TYPE_UNKNOWN', {
      ...place,
      message: `'${kind}' the logging exporter has been deprecated, use the debug exporter instead`,
      suggestion: 'use `debug`',
    });
    return;
  }
  const shown = [...listed].slice(0, MAX_LISTED_TYPES);
  const more = listed.size > shown.length ? ` and ${listed.size - shown.length} more` : '';
  const alias = otherName(kind, type);
  context.sink.error('E_TYPE_UNKNOWN', {
    ...place,
    message: `'${kind}' unknown type: ${quoted(type)} for id: ${quoted(id)} (valid values: [${shown.join(' ')}]${more})`,
    suggestion:
      alias !== undefined && listed.has(alias)
        ? `write \`${alias}\`: this build knows the ${KIND_SINGULAR[kind]} by that name`
        : context.suggester.didYouMean(type, listed),
  });
}

function warnDeprecated(definition: ComponentDefinition, context: ValidationContext): void {
  const { kind, type } = definition;
  const place = { path: definition.path, offset: definition.keyOffset };
  if (isRemoved(definition)) {
    context.sink.warn('W_DEPRECATED_TYPE', {
      ...place,
      message: 'the logging exporter has been deprecated, use the debug exporter instead',
    });
    return;
  }
  const current = newName(kind, type);
  if (current === undefined) return;
  if (context.components !== null && !context.components[kind].has(current)) return;
  const unsure = context.components === null ? '; builds older than the renaming know only the old name' : '';
  context.sink.warn('W_DEPRECATED_TYPE', {
    ...place,
    message: `the ${KIND_SINGULAR[kind]} type ${quoted(type)} is the old name of ${quoted(current)}${unsure}`,
    suggestion: `write \`${current}\``,
  });
}
