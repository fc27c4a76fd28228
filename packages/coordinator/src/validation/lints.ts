import { joinPath } from './config-node.ts';
import type { ConfigNode, MapEntry, ScalarNode } from './config-node.ts';
import type { ComponentDefinition, ConfigModel, ReferenceList } from './config-model.ts';
import { quoted } from './finding.ts';
import { COMPONENT_KINDS } from './ids.ts';
import { hasSubstitution } from './substitution.ts';
import type { ValidationContext } from './validation-context.ts';

/** Keys whose values are Go durations in the components that use them. */
const DURATION_KEY =
  /(?:^|_)(?:timeout|interval|max_elapsed_time|delay|period|max_connection_age|max_connection_age_grace|max_connection_idle)$/;

/** Component types that read durations by other rules: Prometheus' own syntax, or plain milliseconds or seconds. */
const FOREIGN_DURATIONS: ReadonlySet<string> = new Set(['prometheus', 'prometheusremotewrite', 'sqlquery', 'httpcheck']);

const SECRET_KEY =
  /(?:^|[_.-])(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|license[_-]?key|credentials|authorization|key_pem)$/i;

const URL_PASSWORD = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]+:([^\s/?#@]+)@/i;

const ALL_INTERFACES = /^(?:[a-z0-9]+:\/\/)?(?:0\.0\.0\.0|\[::\])?:\d+$/i;

/** Advice about the settings of components: listeners, durations, secrets; and about the order of processors. */
export function lint(model: ConfigModel, context: ValidationContext): void {
  for (const kind of COMPONENT_KINDS) {
    for (const definition of model.sections[kind].definitions.values()) {
      walk(definition.body, definition.path, (entry, path) => lintEntry(definition, entry, path, context), context);
    }
  }
  for (const pipeline of model.service.pipelines) lintProcessorOrder(pipeline.processors, context);
}

function walk(node: ConfigNode, path: string, visit: (entry: MapEntry, path: string) => void, context: ValidationContext): void {
  context.sink.step();
  if (node.kind === 'list') {
    for (const [index, item] of node.items.entries()) walk(item, `${path}[${index}]`, visit, context);
  } else if (node.kind === 'map') {
    for (const entry of node.entries.values()) {
      const entryPath = joinPath(path, entry.key);
      visit(entry, entryPath);
      walk(entry.value, entryPath, visit, context);
    }
  }
}

function lintEntry(definition: ComponentDefinition, entry: MapEntry, path: string, context: ValidationContext): void {
  const { value } = entry;
  if (value.kind !== 'scalar' || entry.key.length > MAX_KEY_LENGTH) return;
  lintDuration(definition, entry.key, value, path, context);
  if (value.type !== 'string' || value.text === '') return;
  lintSecret(entry.key, value, path, context);
  lintListener(definition, entry.key, value, path, context);
}

const MAX_KEY_LENGTH = 256;

function lintDuration(definition: ComponentDefinition, key: string, value: ScalarNode, path: string, context: ValidationContext): void {
  if (value.type !== 'int' && value.type !== 'float') return;
  if (!DURATION_KEY.test(key) || FOREIGN_DURATIONS.has(definition.type) || /^[-+0._]*$/.test(value.text)) return;
  context.sink.warn('W_DURATION_UNIT', {
    path,
    offset: value.offset,
    message: `${quoted(key)} is a duration, and a number without a unit counts nanoseconds`,
    suggestion: `did you mean \`${value.text}s\`?`,
  });
}

function lintSecret(key: string, value: ScalarNode, path: string, context: ValidationContext): void {
  if (value.text.length > MAX_LINTED_VALUE || hasSubstitution(value.text)) return;
  const byKey = SECRET_KEY.test(key);
  if (!byKey && !URL_PASSWORD.test(value.text)) return;
  context.sink.warn('W_SECRET', {
    path,
    offset: value.offset,
    message: byKey ? `${quoted(key)} looks like a secret in clear text` : 'this address carries a password in clear text',
    suggestion: 'take it from the environment of the agent with `${env:NAME}`',
  });
}

const MAX_LINTED_VALUE = 65_536;

function lintListener(definition: ComponentDefinition, key: string, value: ScalarNode, path: string, context: ValidationContext): void {
  const listens = definition.kind === 'receivers' || definition.kind === 'extensions' || definition.type === 'prometheus';
  if (!listens || (key !== 'endpoint' && key !== 'listen_address') || value.text.length > MAX_KEY_LENGTH) return;
  if (!ALL_INTERFACES.test(value.text)) return;
  context.sink.warn('W_LISTEN_ALL', {
    path,
    offset: value.offset,
    message: `${quoted(value.text)} listens on all network interfaces of the host`,
    suggestion: 'name the address to listen on, for example `localhost` or `${env:MY_POD_IP}`',
  });
}

/** memory_limiter belongs first, to push back before work is done; batch last, because it hides errors from what stands before it. */
function lintProcessorOrder(processors: ReferenceList, context: ValidationContext): void {
  const { references } = processors;
  const seen = new Set<string>();
  const lastOther = references.findLastIndex((reference) => reference.type !== 'batch');
  for (const [index, reference] of references.entries()) {
    context.sink.step();
    // A processor that stands there twice is an error already: its place is spoken of once.
    if (seen.has(reference.id)) continue;
    seen.add(reference.id);
    const place = { path: reference.path, offset: reference.offset };
    if (reference.type === 'memory_limiter' && index > 0) {
      context.sink.warn('W_MEMORY_LIMITER_ORDER', {
        ...place,
        message: `${quoted(reference.id)} should be the first processor of a pipeline`,
      });
    }
    if (reference.type === 'batch' && index < lastOther) {
      context.sink.warn('W_BATCH_ORDER', { ...place, message: `${quoted(reference.id)} should be the last processor of a pipeline` });
    }
  }
}
