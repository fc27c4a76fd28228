const UNIT_NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

export const SECOND = 1e9;

/** A Go duration in nanoseconds, or why Go refuses the text. */
export type ParsedDuration = { readonly ok: true; readonly nanoseconds: number } | { readonly ok: false; readonly message: string };

/** Reads a duration as Go's time.ParseDuration does: `1h30m`, `1.5s`, `-10ms`, `0`. */
export function parseGoDuration(text: string): ParsedDuration {
  const quoted = text.length > 64 ? `"${text.slice(0, 64)}…"` : `"${text}"`;
  const invalid: ParsedDuration = { ok: false, message: `time: invalid duration ${quoted}` };
  if (text.length > 256) return invalid;
  const negative = text.startsWith('-');
  const body = text.replace(/^[-+]/, '');
  if (body === '0') return { ok: true, nanoseconds: 0 };
  if (body === '') return invalid;
  let total = 0;
  let at = 0;
  const part = /(\d+\.?\d*|\.\d+)([^\d.]*)/y;
  while (at < body.length) {
    part.lastIndex = at;
    const match = part.exec(body);
    if (match === null) return invalid;
    const unit = match[2] ?? '';
    if (unit === '') return { ok: false, message: `time: missing unit in duration ${quoted}` };
    const factor = Object.hasOwn(UNIT_NANOSECONDS, unit) ? UNIT_NANOSECONDS[unit] : undefined;
    if (factor === undefined) return { ok: false, message: `time: unknown unit "${unit}" in duration ${quoted}` };
    total += Number(match[1]) * factor;
    at = part.lastIndex;
  }
  if (total > 2 ** 63) return invalid;
  return { ok: true, nanoseconds: negative ? -total : total };
}

/** True for what stanza components read as a number of bytes: `16kib`, `1MB`, `1024`. */
export function isByteSize(text: string): boolean {
  return /^\s*\d+(?:\.\d+)?\s*(?:b|[kmgtp]i?b?)?\s*$/i.test(text) && text.length <= 64;
}
