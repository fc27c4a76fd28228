/** Longest normalised message: what a supervisor says before the cause takes some 170 characters. */
const MAX_CHARS = 400;
/** Lists in brackets that are longer than this say little and differ by build. */
const MAX_LIST_CHARS = 40;
/** Only so much of a message is looked at. */
const MAX_INPUT_CHARS = 4096;

/** What differs from agent to agent though the failure is the same, and what stands for it; in this order. */
const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<uuid>'],
  [/\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?/g, '<time>'],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b/g, '<address>'],
  [/\[[0-9a-f:]*::?[0-9a-f:]*\](?::\d{1,5})?/gi, '<address>'],
  [/\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b/gi, '<hex>'],
  [/\b0x[0-9a-f]+\b/gi, '<hex>'],
  [/(?<![\w<])\/(?:[\w.@+-]+\/)+[\w.@+-]*/g, '<path>'],
  [/\b\d+(?:\.\d+)?(?:ns|µs|us|ms|s|m|h)\b/g, '<duration>'],
  [/:\d{4,5}\b/g, ':<port>'],
  [/\b\d{4,}\b/g, '<n>'],
];

/**
 * The part of an error message that is the same for all agents that fail for the same reason: one line, without ids, addresses,
 * paths, times and long lists. The same for what is normalised already.
 */
export function normalizeFailure(message: string): string {
  if (message === '') return '';
  let text = message
    .slice(0, MAX_INPUT_CHARS)
    // Control characters separate fields where this is stored.
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  for (const [pattern, word] of REPLACEMENTS) text = text.replaceAll(pattern, word);
  text = text.replaceAll(/\[([^[\]]*)\]/g, (list, inside: string) => (inside.length > MAX_LIST_CHARS ? '[…]' : list));
  return text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS - 1)}…` : text;
}
