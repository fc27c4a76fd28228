import type { ScalarType } from './config-node.ts';

/** The type that a scalar has for the collector's YAML library, and whether npm's library would read it otherwise. */
export interface ResolvedScalar {
  readonly type: ScalarType;
  /** The scalar means one thing to the collector and another to YAML 1.2 readers (octal, underscores, dates). */
  readonly ambiguous: 'octal' | 'underscore' | 'date' | null;
  /** The scalar carries a tag that its text contradicts; the collector refuses the whole file. */
  readonly contradicts: string | null;
}

const NULLS = new Set(['', '~', 'null', 'Null', 'NULL']);
const BOOLS = new Set(['true', 'True', 'TRUE', 'false', 'False', 'FALSE']);
const SPECIAL_FLOATS = new Set(['.nan', '.NaN', '.NAN']);
for (const sign of ['', '+', '-']) for (const inf of ['.inf', '.Inf', '.INF']) SPECIAL_FLOATS.add(sign + inf);

const DECIMAL = /^[-+]?[0-9]+$/;
const OLD_OCTAL = /^[-+]?0[0-7]+$/;
const PREFIXED_INT = /^[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const DOT_FLOAT = /^\.[0-9]+(?:[eE][-+]?[0-9]+)?$/;
const TIME = String.raw`[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?`;
const DATE = new RegExp(`^[0-9]{4}-([0-9]{1,2})-([0-9]{1,2})(?:[Tt]${TIME}(?:Z|[-+][0-9]{2}:[0-9]{2})|[ ]${TIME})?$`);

const SHORT_TAG = /^(?:tag:yaml\.org,2002:|!!)(.+)$/;

/**
 * Reads a scalar as the collector's YAML library (yaml.v3) does. `tag` is the explicit tag in any spelling, `plain` says that
 * the scalar is unquoted. Numbers that are out of range become floats there; this function does not look at sizes.
 */
export function resolveScalar(text: string, plain: boolean, tag: string | undefined): ResolvedScalar {
  const shortTag = tag === undefined || tag === '!' ? null : (SHORT_TAG.exec(tag)?.[1] ?? tag);
  if (shortTag === null) {
    if (!plain) return { type: 'string', ambiguous: null, contradicts: null };
    const type = plainType(text, true);
    return { type, ambiguous: ambiguity(text, type), contradicts: null };
  }
  return { ...resolveTagged(text, shortTag), ambiguous: null };
}

function resolveTagged(text: string, tag: string): Pick<ResolvedScalar, 'type' | 'contradicts'> {
  switch (tag) {
    case 'int':
    case 'bool':
    case 'null':
    case 'timestamp': {
      const actual = plainType(text, tag === 'timestamp');
      return { type: tag, contradicts: actual === tag ? null : contradiction(text, actual, tag) };
    }
    case 'float': {
      const actual = plainType(text, false);
      return { type: 'float', contradicts: actual === 'float' || actual === 'int' ? null : contradiction(text, actual, tag) };
    }
    case 'binary': {
      const compact = text.replace(/[\r\n]/g, '');
      const valid = compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact);
      return { type: 'string', contradicts: valid ? null : '!!binary value contains invalid base64 data' };
    }
    default:
      return { type: 'string', contradicts: null };
  }
}

function contradiction(text: string, actual: ScalarType, tag: string): string {
  const shown = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return `cannot decode !!${actual === 'string' ? 'str' : actual} \`${shown}\` as a !!${tag}`;
}

function plainType(text: string, dates: boolean): ScalarType {
  if (NULLS.has(text)) return 'null';
  if (BOOLS.has(text)) return 'bool';
  if (SPECIAL_FLOATS.has(text)) return 'float';
  const first = text.charCodeAt(0);
  if (first === 0x2e) return DOT_FLOAT.test(text) ? 'float' : 'string';
  const numeric = (first >= 0x30 && first <= 0x39) || first === 0x2b || first === 0x2d;
  if (!numeric) return 'string';
  if (dates && isDate(text)) return 'timestamp';
  const digits = text.replaceAll('_', '');
  if (PREFIXED_INT.test(digits) || OLD_OCTAL.test(digits)) return 'int';
  if (DECIMAL.test(digits)) return /^[-+]?0[0-9]/.test(digits) ? 'float' : 'int';
  return FLOAT.test(digits) ? 'float' : 'string';
}

function isDate(text: string): boolean {
  const match = DATE.exec(text);
  if (match === null) return false;
  const month = Number(match[1]);
  const day = Number(match[2]);
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

function ambiguity(text: string, type: ScalarType): ResolvedScalar['ambiguous'] {
  if (type === 'timestamp') return 'date';
  if (type !== 'int' && type !== 'float') return null;
  if (text.includes('_')) return 'underscore';
  return OLD_OCTAL.test(text) ? 'octal' : null;
}

/** The value of a number scalar as the collector reads it (`010` is 8, `1_000` is 1000); NaN for anything else. */
export function numberValue(text: string): number {
  const digits = text.replaceAll('_', '');
  const sign = digits.startsWith('-') ? -1 : 1;
  const unsigned = digits.replace(/^[-+]/, '');
  if (OLD_OCTAL.test(digits)) return sign * Number.parseInt(unsigned, 8);
  if (PREFIXED_INT.test(digits)) return sign * Number(unsigned.toLowerCase());
  return FLOAT.test(digits) ? Number(digits) : Number.NaN;
}
