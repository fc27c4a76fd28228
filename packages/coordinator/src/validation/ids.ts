import { quoted } from './finding.ts';

/** The five kinds of components, as the sections of a config and AvailableComponents name them. */
export const COMPONENT_KINDS = ['receivers', 'processors', 'exporters', 'connectors', 'extensions'] as const;
export type ComponentKind = (typeof COMPONENT_KINDS)[number];

/** One component of a kind, for sentences. */
export const KIND_SINGULAR: Readonly<Record<ComponentKind, string>> = {
  receivers: 'receiver',
  processors: 'processor',
  exporters: 'exporter',
  connectors: 'connector',
  extensions: 'extension',
};

export const SIGNALS = ['traces', 'metrics', 'logs', 'profiles'] as const;
export type Signal = (typeof SIGNALS)[number];

/** A component or pipeline id, or the reason why the collector refuses it. */
export type ParsedId =
  | { readonly ok: true; readonly id: string; readonly type: string; readonly name: string }
  | { readonly ok: false; readonly message: string };

const TYPE = /^[a-zA-Z][0-9a-zA-Z_]{0,62}$/;
const NAME = /^[^\p{Z}\p{C}\p{S}]+$/u;
const MAX_NAME_BYTES = 1024;

/**
 * Reads `type` or `type/name`, cut at the first `/`, both parts trimmed as the collector does; `id` is the trimmed form.
 */
export function parseComponentId(text: string): ParsedId {
  const parts = splitId(text);
  if (!parts.ok) return parts;
  if (!TYPE.test(parts.type)) return { ok: false, message: `in ${quoted(text)} id: invalid character(s) in type ${quoted(parts.type)}` };
  return parts;
}

/** As parseComponentId, but the type is any word: the signal is judged by the caller. */
export function parsePipelineId(text: string): ParsedId {
  return splitId(text);
}

export function isSignal(text: string): text is Signal {
  return (SIGNALS as readonly string[]).includes(text);
}

function splitId(text: string): ParsedId {
  const slash = text.indexOf('/');
  const type = trimSpace(slash === -1 ? text : text.slice(0, slash));
  if (type === '') {
    return { ok: false, message: slash === -1 ? 'id must not be empty' : `in ${quoted(text)} id: the part before / should not be empty` };
  }
  if (slash === -1) return { ok: true, id: type, type, name: '' };
  const name = trimSpace(text.slice(slash + 1));
  if (name === '') return { ok: false, message: `in ${quoted(text)} id: the part after / should not be empty` };
  const nameBytes = Buffer.byteLength(name, 'utf8');
  if (nameBytes > MAX_NAME_BYTES) {
    return {
      ok: false,
      message: `in ${quoted(name)} id: name ${quoted(name)} is longer than ${MAX_NAME_BYTES} characters (${nameBytes} characters)`,
    };
  }
  if (!NAME.test(name)) return { ok: false, message: `in ${quoted(name)} id: invalid character(s) in name ${quoted(name)}` };
  return { ok: true, id: `${type}/${name}`, type, name };
}

/** Go's TrimSpace: as JavaScript's, but the byte order mark is no space and U+0085 is one. */
function trimSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  if (code === 0x85 || code === 0xa0 || code === 0x1680) return true;
  return (code >= 0x2000 && code <= 0x200a) || code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f || code === 0x3000;
}
