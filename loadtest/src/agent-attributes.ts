/** Attributes of simulated agents: as a function, or as data that another process can be sent. */
import { create, toBinary } from '@bufbuild/protobuf';
import { KeyValueSchema, type KeyValue } from '@opamp-gateway/proto/anyvalue';
import { AgentDescriptionSchema } from '@opamp-gateway/proto/opamp';

/** Both attribute lists of one agent. */
export interface AgentAttributes {
  readonly identifying: Readonly<Record<string, string>>;
  readonly nonIdentifying: Readonly<Record<string, string>>;
}

/**
 * How a value follows from the agent's index: text in which `{i}` stands for the index; values in turn; or blocks of
 * agents in order, the last block for all the rest.
 */
export type AttributePattern =
  | string
  | { readonly cycle: readonly string[] }
  | { readonly blocks: readonly { readonly value: string; readonly agents: number }[] };

/** Attributes as data. */
export interface AttributeTemplate {
  readonly identifying?: Readonly<Record<string, AttributePattern>>;
  readonly nonIdentifying?: Readonly<Record<string, AttributePattern>>;
}

function valueAt(pattern: AttributePattern, index: number): string {
  if (typeof pattern === 'string') return pattern.replaceAll('{i}', String(index));
  if ('cycle' in pattern) return pattern.cycle[index % pattern.cycle.length] ?? '';
  let end = 0;
  for (const { value, agents } of pattern.blocks) {
    end += agents;
    if (index < end) return value;
  }
  return pattern.blocks.at(-1)?.value ?? '';
}

function valuesAt(patterns: Readonly<Record<string, AttributePattern>>, index: number): Record<string, string> {
  return Object.fromEntries(Object.entries(patterns).map(([key, pattern]) => [key, valueAt(pattern, index)]));
}

/** What a supervisor of a contrib collector on Linux says about itself; `template` adds and replaces values. */
export function attributesAt(index: number, instanceId: string, template: AttributeTemplate = {}): AgentAttributes {
  return {
    identifying: {
      'service.instance.id': instanceId,
      'service.name': 'otelcol-contrib',
      'service.version': '0.159.0',
      ...valuesAt(template.identifying ?? {}, index),
    },
    nonIdentifying: {
      'host.arch': 'amd64',
      'host.name': `host-${index}`,
      'os.description': 'Debian GNU/Linux 12',
      'os.type': 'linux',
      ...valuesAt(template.nonIdentifying ?? {}, index),
    },
  };
}

function keyValues(attributes: Readonly<Record<string, string>>): KeyValue[] {
  return Object.entries(attributes).map(([key, value]) =>
    create(KeyValueSchema, { key, value: { value: { case: 'stringValue', value } } }),
  );
}

/** An encoded AgentDescription. */
export function encodeDescription({ identifying, nonIdentifying }: AgentAttributes): Uint8Array {
  return toBinary(
    AgentDescriptionSchema,
    create(AgentDescriptionSchema, {
      identifyingAttributes: keyValues(identifying),
      nonIdentifyingAttributes: keyValues(nonIdentifying),
    }),
  );
}
