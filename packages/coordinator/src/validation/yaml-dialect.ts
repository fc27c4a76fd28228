import type { CST } from 'yaml';
import type { FindingSink } from './finding.ts';

/** Tags that the collector's reader can scan. */
const TAG = /^!(?:<[\w\-;/?:@&=+$,.!~*'()[\]%]+>|[\w\-;/?:@&=+$,.!~*'()[\]%]*)$/;

/** A line whose indentation contains a tab. */
const TAB_INDENT = /^ *\t/gm;

/** Places reported at most. */
const MAX_DIALECT_FINDINGS = 10;

/**
 * Refuses what YAML 1.2 reads and the collector's YAML 1.1 reader refuses or reads as something else (E_YAML): tabs in indentation,
 * also on blank and comment lines; keys whose `:` is on another line; and in `[...]` and `{...}` unquoted text with `?` or a
 * leading `:`, a `:` without a key or without a blank after it, and tags that touch what follows. Looks at the first document
 * only, without recursion. `text` is what the tokens were made from.
 */
export function checkDialect(text: string, tokens: readonly CST.Token[], sink: FindingSink): boolean {
  const first = tokens.findIndex((token) => token.type === 'document');
  const document = tokens[first];
  if (document?.type !== 'document') return true;
  const next = tokens.slice(first + 1).find((token) => token.type === 'document');
  const end = next?.offset ?? text.length;
  const found = new DialectFindings(text, sink);
  found.checkTags(document.start);
  if (document.value !== undefined) walk(document.value, found, sink);
  found.checkTabs(end);
  return found.count === 0;
}

function walk(root: CST.Token, found: DialectFindings, sink: FindingSink): void {
  const stack: { token: CST.Token; inFlow: boolean }[] = [{ token: root, inFlow: false }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { token, inFlow } = next;
    sink.step();
    switch (token.type) {
      case 'scalar':
        if (inFlow) found.checkFlowScalar(token);
        break;
      case 'single-quoted-scalar':
      case 'double-quoted-scalar':
        if (!inFlow) found.protect(token.offset, token.offset + token.source.length);
        break;
      case 'block-scalar':
        found.protectBlockScalar(token);
        break;
      case 'flow-collection':
        if (!inFlow) found.protect(token.offset, token.end.at(-1)?.offset ?? token.offset);
        pushItems(token.items, true, stack, found, sink);
        break;
      case 'block-map':
      case 'block-seq':
        pushItems(token.items, inFlow, stack, found, sink);
        break;
      default:
    }
  }
}

function pushItems(
  items: readonly CST.CollectionItem[],
  inFlow: boolean,
  stack: { token: CST.Token; inFlow: boolean }[],
  found: DialectFindings,
  sink: FindingSink,
): void {
  for (const item of items) {
    sink.step();
    found.checkTags(item.start);
    if (!inFlow) found.checkTabsAfterIndicators(item.start);
    if (item.sep !== undefined) found.checkTags(item.sep);
    found.checkKey(item, inFlow);
    if (item.key !== undefined && item.key !== null) stack.push({ token: item.key, inFlow });
    if (item.value !== undefined) stack.push({ token: item.value, inFlow });
  }
}

class DialectFindings {
  count = 0;
  readonly #text: string;
  readonly #sink: FindingSink;
  readonly #tabs: number[] = [];
  readonly #fineTabs = new Set<number>();

  constructor(text: string, sink: FindingSink) {
    this.#text = text;
    this.#sink = sink;
    for (const match of text.matchAll(TAB_INDENT)) this.#tabs.push(match.index + match[0].length - 1);
  }

  /** Tabs between two offsets are no indentation. */
  protect(start: number, end: number): void {
    for (let index = this.#firstTabFrom(start); index < this.#tabs.length; index += 1) {
      const tab = this.#tabs[index] ?? end;
      if (tab >= end) return;
      this.#fineTabs.add(tab);
    }
  }

  /** In a block of text a tab is content when it stands behind the indentation of the block. */
  protectBlockScalar(token: CST.BlockScalar): void {
    const header = token.props.at(-1);
    if (header === undefined || !('source' in header)) return;
    const start = header.offset + header.source.length;
    const indent = /^ *(?=[^ \r\n])/m.exec(token.source)?.[0].length ?? 0;
    for (let index = this.#firstTabFrom(start); index < this.#tabs.length; index += 1) {
      const tab = this.#tabs[index] ?? start;
      if (tab >= start + token.source.length) return;
      const lineStart = this.#text.lastIndexOf('\n', tab) + 1;
      if (tab - lineStart >= indent && indent > 0) this.#fineTabs.add(tab);
    }
  }

  /** Reports tabs before `end` that stand in an indentation. */
  checkTabs(end: number): void {
    for (const tab of this.#tabs) {
      if (tab >= end) return;
      if (!this.#fineTabs.has(tab)) this.#refuse(tab, 'found a tab character that violates indentation', 'indent with spaces');
    }
  }

  checkTags(tokens: readonly CST.SourceToken[]): void {
    for (const token of tokens) {
      if (token.type !== 'tag') continue;
      if (!TAG.test(token.source)) this.#refuse(token.offset, 'did not find expected tag URI');
      else if (this.#isFollowed(token.offset + token.source.length)) {
        this.#refuse(token.offset, 'did not find expected whitespace or line break after a tag', 'put the text into quotes');
      }
    }
  }

  checkTabsAfterIndicators(tokens: readonly CST.SourceToken[]): void {
    for (const [index, token] of tokens.entries()) {
      if (token.type !== 'seq-item-ind' && token.type !== 'explicit-key-ind') continue;
      const space = tokens[index + 1];
      if (space?.type !== 'space' || !space.source.includes('\t')) continue;
      this.#refuse(space.offset, 'found character that cannot start any token', 'write a blank instead of the tab');
    }
  }

  checkFlowScalar(token: CST.FlowScalar): void {
    const { source, offset } = token;
    if (source.startsWith(':')) this.#refuse(offset, 'did not find expected node content', 'put the text into quotes');
    else if (source.includes('?'))
      this.#refuse(offset + source.indexOf('?'), "did not find expected ',' or ']'", 'put the text into quotes');
  }

  checkKey(item: CST.CollectionItem, inFlow: boolean): void {
    const { key, sep } = item;
    if (sep === undefined || item.start.some((token) => token.type === 'explicit-key-ind')) return;
    const colonIndex = sep.findIndex((token) => token.type === 'map-value-ind');
    const colon = sep[colonIndex];
    if (colon === undefined) return;
    if (key === undefined || key === null) {
      const hasProperties = item.start.some((token) => token.type === 'anchor' || token.type === 'tag');
      if (inFlow && !hasProperties)
        this.#refuse(colon.offset, 'did not find expected node content', 'write a key before the `:`, or quote the text');
      return;
    }
    const isScalar = key.type === 'scalar' || key.type === 'single-quoted-scalar' || key.type === 'double-quoted-scalar';
    const between = [...sep.slice(0, colonIndex), ...(isScalar ? (key.end ?? []) : [])];
    if ((isScalar && key.source.includes('\n')) || between.some((token) => token.type === 'newline')) {
      this.#refuse(key.offset, "could not find expected ':'", 'write the key and its `:` on one line');
    } else if (inFlow && key.type === 'scalar' && colon.offset === key.offset + key.source.length && this.#isFollowed(colon.offset + 1)) {
      this.#refuse(colon.offset, "did not find expected ',' or '}'", 'write a blank after the `:`');
    }
  }

  /** True when there is something else than blank space at an offset. */
  #isFollowed(offset: number): boolean {
    return /\S/.test(this.#text.charAt(offset));
  }

  #firstTabFrom(offset: number): number {
    let low = 0;
    let high = this.#tabs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#tabs[middle] ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #refuse(offset: number, reason: string, suggestion?: string): void {
    this.count += 1;
    if (this.count > MAX_DIALECT_FINDINGS) return;
    this.#sink.error('E_YAML', {
      path: '',
      offset,
      message: `contents are not valid YAML: yaml: line ${this.#sink.lineOf(offset)}: ${reason}`,
      suggestion,
    });
  }
}
