import type { ComponentReference, Pipeline, PipelineRole, Section, Sections } from './config-model.ts';
import { quoted } from './finding.ts';
import { COMPONENT_KINDS, KIND_SINGULAR } from './ids.ts';
import type { ComponentKind } from './ids.ts';
import { RESERVED_EXTENSION } from './section-rules.ts';
import type { ValidationContext } from './validation-context.ts';

/** Sections in which a reference of a kind is looked up; connectors stand for receivers and exporters, not for processors. */
function lookedUpIn(kind: ComponentKind): readonly ComponentKind[] {
  return kind === 'receivers' || kind === 'exporters' ? [kind, 'connectors'] : [kind];
}

/** Checks that a reference names a defined component (E_REF). `owner` begins the message. */
export function checkReference(
  kind: ComponentKind,
  reference: ComponentReference,
  owner: string,
  sections: Sections,
  context: ValidationContext,
): void {
  const { sink, policy } = context;
  sink.step();
  const places = lookedUpIn(kind).map((place) => sections[place]);
  if (places.some((section) => section.state === 'unknown' || section.definitions.has(reference.id))) return;
  // The supervisor adds its own extension to what it is sent.
  if (policy.allowFragments === true || (kind === 'extensions' && reference.id === RESERVED_EXTENSION)) return;
  sink.error('E_REF', {
    path: reference.path,
    offset: reference.offset,
    message: `${owner}: references ${KIND_SINGULAR[kind]} ${quoted(reference.id)} which is not configured`,
    suggestion: suggest(reference, places, sections, context),
  });
}

function suggest(
  reference: ComponentReference,
  places: readonly Section[],
  sections: Sections,
  context: ValidationContext,
): string | undefined {
  const elsewhere = COMPONENT_KINDS.filter((kind) => sections[kind].definitions.has(reference.id)).map((kind) => KIND_SINGULAR[kind]);
  if (elsewhere.length > 0) return `\`${reference.id}\` is defined as ${elsewhere.join(' and ')}`;
  function* candidates(): Generator<string, void> {
    for (const place of places) yield* place.definitions.keys();
  }
  return context.suggester.didYouMean(reference.id, candidates());
}

/** Checks the references of a pipeline, and that no processor stands in it twice (E_PROC_DUP). */
export function checkPipelineReferences(pipeline: Pipeline, sections: Sections, context: ValidationContext): void {
  const owner = `service::pipelines::${pipeline.id}`;
  const check = (role: PipelineRole): void => {
    for (const reference of pipeline[role].references) checkReference(role, reference, owner, sections, context);
  };
  check('receivers');
  check('processors');
  check('exporters');
  const seen = new Set<string>();
  for (const reference of pipeline.processors.references) {
    if (seen.has(reference.id)) {
      context.sink.error('E_PROC_DUP', {
        path: reference.path,
        offset: reference.offset,
        message: `${owner}: references processor ${quoted(reference.id)} multiple times`,
      });
    }
    seen.add(reference.id);
  }
}
