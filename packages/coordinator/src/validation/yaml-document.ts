import { Composer, isScalar } from 'yaml';
import type { CST, Document, ParsedNode, YAMLParseError } from 'yaml';
import type { FindingSink } from './finding.ts';

/** The first document of a text, parsed but not yet interpreted; `contents` is null for a document without a value. */
export interface FirstDocument {
  readonly contents: ParsedNode | null;
}

/** Syntax errors reported at most; those after the first are often its consequence. */
const MAX_SYNTAX_FINDINGS = 10;

/**
 * Composes the documents of a text and returns the first. Reports syntax errors of the first document (E_YAML; then the result
 * is null) and any later document that has a value, because the collector silently ignores it (E_MULTIDOC).
 */
export function readFirstDocument(text: string, tokens: readonly CST.Token[], sink: FindingSink): FirstDocument | null {
  const documents = compose(tokens);
  sink.step(documents.length);
  const first = documents[0];
  const directivesFit = checkDirectives(tokens, sink);
  if (first === undefined) return directivesFit ? { contents: null } : null;
  reportLaterDocuments(documents, text, sink);
  const fits = reportSyntaxErrors(first.errors, text, sink);
  return fits && directivesFit ? { contents: first.contents } : null;
}

function compose(tokens: readonly CST.Token[]): Document.Parsed[] {
  const composer = new Composer({
    version: '1.2',
    schema: 'failsafe',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    keepSourceTokens: true,
  });
  // A hostile text gives a syntax error per character; capturing a stack for each takes most of the time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return [...composer.compose(tokens)];
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function reportLaterDocuments(documents: readonly Document.Parsed[], text: string, sink: FindingSink): void {
  for (const document of documents.slice(1)) {
    const { contents } = document;
    const empty =
      contents === null || (isScalar(contents) && contents.source === '' && contents.type === 'PLAIN' && contents.tag === undefined);
    if (empty && document.errors.length === 0) continue;
    const at = skipBlank(text, contents?.range[0] ?? document.range[0]);
    sink.error('E_MULTIDOC', {
      path: '',
      offset: at,
      message: 'the collector reads only the first YAML document of a config and silently ignores this one',
      suggestion: 'put everything into one document, without a `---` line between the parts',
    });
    return;
  }
}

function skipBlank(text: string, offset: number): number {
  let at = offset;
  while (at < text.length && /\s/.test(text.charAt(at))) at += 1;
  return at < text.length ? at : offset;
}

/** The collector's reader takes `%YAML 1.1` only. */
function checkDirectives(tokens: readonly CST.Token[], sink: FindingSink): boolean {
  for (const token of tokens) {
    if (token.type === 'document') break;
    if (token.type !== 'directive') continue;
    const version = /^%YAML[ \t]+(\S+)/.exec(token.source)?.[1];
    if (version === undefined || version === '1.1') continue;
    sink.error('E_YAML', {
      path: '',
      offset: token.offset,
      message: 'contents are not valid YAML: yaml: found incompatible YAML document',
      suggestion: 'leave the `%YAML` line out',
    });
    return false;
  }
  return true;
}

function reportSyntaxErrors(errors: readonly YAMLParseError[], text: string, sink: FindingSink): boolean {
  const lines = new Set<number>();
  for (const error of errors) {
    const offset = Math.min(error.pos[0], text.length);
    const line = sink.lineOf(offset);
    if (lines.has(line)) continue;
    if (lines.size >= MAX_SYNTAX_FINDINGS) break;
    lines.add(line);
    sink.error('E_YAML', {
      path: '',
      offset,
      message: `contents are not valid YAML: yaml: line ${line}: ${describe(error)}`,
      suggestion: error.code === 'TAB_AS_INDENT' ? 'indent with spaces' : undefined,
    });
  }
  return errors.length === 0;
}

/** The words of the collector's YAML reader where ours names the same defect by other ones. */
function describe(error: YAMLParseError): string {
  switch (error.code) {
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'mapping values are not allowed in this context';
    case 'TAB_AS_INDENT':
    case 'BAD_SCALAR_START':
      return 'found character that cannot start any token';
    case 'BAD_DQ_ESCAPE':
      return 'found unknown escape character';
    default: {
      const message = error.message.length > 200 ? `${error.message.slice(0, 200)}…` : error.message;
      return message.charAt(0).toLowerCase() + message.slice(1);
    }
  }
}
