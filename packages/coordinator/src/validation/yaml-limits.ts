import { Parser } from 'yaml';
import type { CST } from 'yaml';
import type { FindingSink } from './finding.ts';

/** Largest config text that is read, in UTF-8 bytes. */
export const MAX_CONFIG_BYTES = 1024 * 1024;

/** Deepest nesting of maps and lists that is read; real configs stay below twenty. */
export const MAX_DEPTH = 100;

/**
 * Refuses text above MAX_CONFIG_BYTES (E_TOO_LARGE). Returns whether the text may be read on.
 */
export function checkSize(text: string, sink: FindingSink): boolean {
  const bytes = text.length > MAX_CONFIG_BYTES ? text.length : Buffer.byteLength(text, 'utf8');
  if (bytes <= MAX_CONFIG_BYTES) return true;
  const size = text.length > MAX_CONFIG_BYTES ? 'more' : `${bytes} bytes`;
  sink.error('E_TOO_LARGE', {
    path: '',
    offset: 0,
    message: `the config has ${size}, more than the ${MAX_CONFIG_BYTES} bytes that are accepted`,
  });
  return false;
}

/**
 * What YAML's reader refuses, line breaks that the collector's YAML 1.1 reader sees and newer readers do not, and halves of
 * characters.
 */
const BAD_CHARACTER =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]|\r(?!\n)|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const FOREIGN_BREAKS = new Set(['\r', '\u0085', '\u2028', '\u2029']);

/**
 * Refuses characters that a YAML reader does not take or that readers disagree about (E_YAML, the first of each kind).
 * `text` has no byte order mark any more.
 */
export function checkCharacters(text: string, sink: FindingSink): boolean {
  sink.step(text.length);
  const seen = new Set<string>();
  for (const match of text.matchAll(BAD_CHARACTER)) {
    const character = match[0];
    if (seen.has(character)) continue;
    seen.add(character);
    const name = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
    const foreign = FOREIGN_BREAKS.has(character);
    sink.error('E_YAML', {
      path: '',
      offset: match.index,
      message: foreign
        ? `contents are not valid YAML: line ${sink.lineOf(match.index)}: the line break ${name} is not read alike by all YAML readers`
        : `contents are not valid YAML: line ${sink.lineOf(match.index)}: control characters are not allowed (${name})`,
      suggestion: foreign ? 'end lines with LF or CRLF; inside a text write the character as an escape in double quotes' : undefined,
    });
    if (seen.size >= MAX_CHARACTER_FINDINGS) break;
  }
  return seen.size === 0;
}

const MAX_CHARACTER_FINDINGS = 10;

/** Splits text into syntax tokens without interpreting them; linear and not recursive. */
export function tokenize(text: string, sink: FindingSink): CST.Token[] {
  const tokens = [...new Parser().parse(text)];
  sink.step(tokens.length);
  return tokens;
}

/** Refuses nesting above MAX_DEPTH (E_TOO_DEEP), which a recursive reader could not survive. Not recursive itself. */
export function checkDepth(tokens: readonly CST.Token[], sink: FindingSink): boolean {
  const stack: { token: CST.Token; depth: number }[] = [];
  for (const token of tokens) stack.push({ token, depth: 0 });
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { token, depth } = next;
    sink.step();
    if (depth > MAX_DEPTH) {
      sink.error('E_TOO_DEEP', {
        path: '',
        offset: token.offset,
        message: `maps and lists are nested more than ${MAX_DEPTH} levels deep`,
      });
      return false;
    }
    if (token.type === 'document') {
      if (token.value !== undefined) stack.push({ token: token.value, depth });
    } else if (token.type === 'block-map' || token.type === 'block-seq' || token.type === 'flow-collection') {
      for (const item of token.items) {
        if (item.key !== undefined && item.key !== null) stack.push({ token: item.key, depth: depth + 1 });
        if (item.value !== undefined) stack.push({ token: item.value, depth: depth + 1 });
      }
    }
  }
  return true;
}
