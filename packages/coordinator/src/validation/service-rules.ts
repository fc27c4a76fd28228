import { entryOf, goKind, isNull, joinPath } from './config-node.ts';
import type { ConfigNode, MapEntry, MapNode } from './config-node.ts';
import { PIPELINE_ROLES } from './config-model.ts';
import type { ComponentReference, Pipeline, PipelineRole, ReferenceList, Sections, Service } from './config-model.ts';
import { quoted } from './finding.ts';
import { isSignal, parseComponentId, parsePipelineId, SIGNALS } from './ids.ts';
import type { Signal } from './ids.ts';
import { checkPipelineReferences, checkReference } from './reference-rules.ts';
import { isDynamic } from './substitution.ts';
import type { ValidationContext } from './validation-context.ts';

const SERVICE_KEYS: readonly string[] = ['telemetry', 'extensions', 'pipelines'];
const NO_REFERENCES: ReferenceList = { references: [], open: false, broken: false };

/**
 * Reads `service` and checks its keys, its extensions and every pipeline on its own. `requirePipelines` is false where
 * their absence is reported elsewhere or allowed.
 */
export function readService(root: MapNode, sections: Sections, requirePipelines: boolean, context: ValidationContext): Service {
  const entry = entryOf(root, 'service');
  if (entry === undefined || isNull(entry.value)) {
    if (requirePipelines) reportNoPipelines(entry?.keyOffset ?? root.offset, context);
    return { extensions: NO_REFERENCES, pipelines: [], open: false, broken: false };
  }
  if (entry.value.kind !== 'map') {
    reportShape('service', entry.value, entry.keyOffset, 'a map or struct', context);
    const open = isDynamic(entry.value);
    return { extensions: { references: [], open, broken: !open }, pipelines: [], open, broken: !open };
  }
  checkKeys(entry.value, 'service', SERVICE_KEYS, 'E_SVC_KEY', "'service'", context);
  const extensions = readReferences(entryOf(entry.value, 'extensions'), 'service::extensions', context);
  for (const reference of extensions.references) checkReference('extensions', reference, 'service::extensions', sections, context);
  const pipelines = readPipelines(entryOf(entry.value, 'pipelines'), entry.keyOffset, sections, requirePipelines, context);
  return { extensions, ...pipelines };
}

function readPipelines(
  entry: MapEntry | undefined,
  serviceOffset: number,
  sections: Sections,
  requirePipelines: boolean,
  context: ValidationContext,
): Omit<Service, 'extensions'> {
  if (entry === undefined || isNull(entry.value)) {
    if (requirePipelines) reportNoPipelines(entry?.keyOffset ?? serviceOffset, context);
    return { pipelines: [], open: false, broken: false };
  }
  if (entry.value.kind !== 'map') {
    reportShape('service::pipelines', entry.value, entry.keyOffset, 'a map or struct', context);
    const open = isDynamic(entry.value);
    return { pipelines: [], open, broken: !open };
  }
  if (entry.value.entries.size === 0 && requirePipelines) reportNoPipelines(entry.keyOffset, context);
  const seen = new Set<string>();
  const pipelines: Pipeline[] = [];
  let open = false;
  let broken = false;
  for (const pipelineEntry of entry.value.entries.values()) {
    context.sink.step(1 + pipelineEntry.key.length);
    const path = joinPath('service::pipelines', pipelineEntry.key);
    const { id, signal } = readPipelineId(pipelineEntry, path, seen, context);
    const { value, keyOffset } = pipelineEntry;
    if (value.kind !== 'map' && !isNull(value)) {
      reportShape(path, value, keyOffset, 'a map or struct', context);
      if (isDynamic(value)) open = true;
      else broken = true;
      continue;
    }
    const pipeline = readPipeline({ id, signal, keyOffset, path }, value, context);
    checkPipelineReferences(pipeline, sections, context);
    pipelines.push(pipeline);
  }
  return { pipelines, open, broken };
}

function readPipelineId(
  entry: MapEntry,
  path: string,
  seen: Set<string>,
  context: ValidationContext,
): { id: string; signal: Signal | null } {
  const { sink, policy, suggester } = context;
  const place = { path, offset: entry.keyOffset };
  const parsed = parsePipelineId(entry.key);
  if (!parsed.ok) {
    sink.error('E_ID', { ...place, message: `'service.pipelines' ${parsed.message}` });
    return { id: entry.key, signal: null };
  }
  const { id, type } = parsed;
  if (!isSignal(type)) {
    const message = `'service.pipelines' in ${quoted(entry.key)} id: unknown pipeline signal: ${quoted(type)}`;
    sink.error('E_SIGNAL', { ...place, message, suggestion: suggester.didYouMean(type, SIGNALS) });
    return { id, signal: null };
  }
  if (seen.has(id)) {
    sink.error('E_ID_DUP', { ...place, message: `'service.pipelines' duplicate name ${quoted(entry.key)} after unmarshaling ${id}` });
  }
  seen.add(id);
  if (type === 'profiles' && policy.profilesSupport !== true) {
    sink.error('E_PROFILES_GATE', {
      ...place,
      message: `service::pipelines: pipeline ${quoted(id)}: profiling signal support is at alpha level, gated under the "service.profilesSupport" feature gate`,
    });
  }
  return { id, signal: type };
}

type PipelineHead = Pick<Pipeline, 'id' | 'signal' | 'keyOffset' | 'path'>;

function readPipeline(head: PipelineHead, body: ConfigNode, context: ValidationContext): Pipeline {
  checkKeys(body, head.path, PIPELINE_ROLES, 'E_PIPE_KEY', `'service.pipelines[${head.id}]'`, context);
  const read = (role: PipelineRole): ReferenceList => readReferences(entryOf(body, role), `${head.path}::${role}`, context);
  const pipeline = { ...head, receivers: read('receivers'), processors: read('processors'), exporters: read('exporters') };
  if (context.policy.allowFragments === true) return pipeline;
  for (const [role, code, singular] of [
    ['receivers', 'E_PIPE_RECEIVERS', 'receiver'],
    ['exporters', 'E_PIPE_EXPORTERS', 'exporter'],
  ] as const) {
    const entry = entryOf(body, role);
    const missing = entry === undefined || isNull(entry.value) || (entry.value.kind === 'list' && entry.value.items.length === 0);
    if (!missing) continue;
    context.sink.error(code, {
      path: `${head.path}::${role}`,
      offset: entry?.keyOffset ?? head.keyOffset,
      message: `service::pipelines::${head.id}: must have at least one ${singular}`,
    });
  }
  return pipeline;
}

/** Reads a list of ids; whatever cannot be read is reported, or leaves the list open when it is a substitution. */
function readReferences(entry: MapEntry | undefined, path: string, context: ValidationContext): ReferenceList {
  if (entry === undefined || isNull(entry.value)) return NO_REFERENCES;
  const { value } = entry;
  if (value.kind !== 'list') {
    if (!isDynamic(value)) {
      const message = `'${path}' source data must be an array or slice, got ${goKind(value)}`;
      const suggestion =
        value.kind === 'scalar' && value.type === 'string' && value.text.length <= 128 ? `write \`[${value.text}]\`` : undefined;
      context.sink.error('E_SHAPE', { path, offset: entry.keyOffset, message, suggestion });
      return { references: [], open: false, broken: true };
    }
    warnDynamic(path, value.offset, context);
    return { references: [], open: true, broken: false };
  }
  const references: ComponentReference[] = [];
  let open = false;
  let broken = false;
  for (const [index, item] of value.items.entries()) {
    context.sink.step();
    const itemPath = `${path}[${index}]`;
    if (isDynamic(item)) {
      warnDynamic(itemPath, item.offset, context);
      open = true;
    } else if (item.kind !== 'scalar' || item.type !== 'string') {
      const message = `'${itemPath}' expected the id of a component, got "${goKind(item)}"`;
      context.sink.error('E_SHAPE', { path: itemPath, offset: item.offset, message });
      broken = true;
    } else {
      const parsed = parseComponentId(item.text);
      if (parsed.ok) {
        references.push({ id: parsed.id, type: parsed.type, offset: item.offset, path: itemPath });
      } else {
        context.sink.error('E_ID', { path: itemPath, offset: item.offset, message: parsed.message });
        broken = true;
      }
    }
  }
  return { references, open, broken };
}

function warnDynamic(path: string, offset: number, context: ValidationContext): void {
  context.sink.warn('W_DYNAMIC_REF', { path, offset, message: 'components named by a substitution are not checked' });
}

function reportShape(path: string, value: ConfigNode, offset: number, expected: string, context: ValidationContext): void {
  if (isDynamic(value)) {
    context.sink.warn('W_DYNAMIC_REF', { path, offset: value.offset, message: `${path} comes from a substitution and is not checked` });
    return;
  }
  context.sink.error('E_SHAPE', { path, offset, message: `'${path}' expected ${expected}, got "${goKind(value)}"` });
}

function checkKeys(
  node: ConfigNode,
  path: string,
  allowed: readonly string[],
  code: 'E_SVC_KEY' | 'E_PIPE_KEY',
  owner: string,
  context: ValidationContext,
): void {
  if (node.kind !== 'map') return;
  for (const entry of node.entries.values()) {
    context.sink.step();
    if (allowed.includes(entry.key)) continue;
    context.sink.error(code, {
      path: joinPath(path, entry.key),
      offset: entry.keyOffset,
      message: `${owner} has invalid keys: ${entry.key}`,
      suggestion: context.suggester.didYouMean(entry.key, allowed),
    });
  }
}

function reportNoPipelines(offset: number, context: ValidationContext): void {
  context.sink.error('E_NO_PIPELINES', {
    path: 'service::pipelines',
    offset,
    message: 'service::pipelines: service must have at least one pipeline',
  });
}
