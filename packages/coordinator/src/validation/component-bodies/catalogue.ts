import { isNull } from '../config-node.ts';
import type { ComponentDefinition, Sections } from '../config-model.ts';
import { COMPONENT_KINDS } from '../ids.ts';
import type { ComponentKind } from '../ids.ts';
import { lookUp } from '../signals-table.ts';
import type { ValidationContext } from '../validation-context.ts';
import { checkBody } from './check-body.ts';
import { EXPORTER_SCHEMAS } from './exporters.ts';
import { EXTENSION_SCHEMAS } from './extensions.ts';
import { PROCESSOR_SCHEMAS } from './processors.ts';
import { RECEIVER_SCHEMAS } from './receivers.ts';
import type { ObjectSchema } from './schema.ts';
import { object } from './schema.ts';

const SCHEMAS: Readonly<Record<ComponentKind, Readonly<Record<string, ObjectSchema>>>> = {
  receivers: RECEIVER_SCHEMAS,
  processors: PROCESSOR_SCHEMAS,
  exporters: EXPORTER_SCHEMAS,
  connectors: { forward: object('forwardconnector.Config', {}) },
  extensions: EXTENSION_SCHEMAS,
};

/**
 * Checks the settings of every component whose type is known here. Returns the paths of those that were not checked, because the
 * type is not known or the settings come from a substitution.
 */
export function checkBodies(sections: Sections, context: ValidationContext): string[] {
  const unchecked: string[] = [];
  for (const kind of COMPONENT_KINDS) {
    for (const definition of sections[kind].definitions.values()) {
      context.sink.step();
      const schema = lookUp(SCHEMAS[kind], definition.type);
      if (schema === undefined || !isReadable(definition)) unchecked.push(definition.path);
      else checkBody(schema, definition.body, { path: definition.path, offset: definition.keyOffset }, context);
    }
  }
  return unchecked;
}

function isReadable(definition: ComponentDefinition): boolean {
  return definition.body.kind === 'map' || isNull(definition.body);
}
