import { goType, isNull } from './config-node.ts';
import type { MapNode } from './config-node.ts';
import { buildConfigTree } from './config-tree.ts';
import { FindingSink, quoted } from './finding.ts';
import { checkDialect } from './yaml-dialect.ts';
import { readFirstDocument } from './yaml-document.ts';
import { checkCharacters, checkDepth, checkSize, MAX_CONFIG_BYTES, tokenize } from './yaml-limits.ts';

/** A config whose outermost value is a map. */
export interface LoadedConfig {
  readonly root: MapNode;
  /** Outermost keys that are already refused for not being text. */
  readonly foreignTopKeys: ReadonlySet<string>;
  /** False when the collector would refuse the text before it looks at the content; then advice about it is only noise. */
  readonly readable: boolean;
}

const BYTE_ORDER_MARK = '\ufeff';

/** A text that was read as far as possible, with the sink that holds what was found. */
export interface OpenedText {
  readonly sink: FindingSink;
  /** null when nothing can be said about the content. */
  readonly loaded: LoadedConfig | null;
}

/**
 * Reads a config text within fixed limits. Reports what keeps a collector from reading it at all: E_TOO_LARGE, E_TOO_DEEP,
 * E_ALIAS_BOMB, E_YAML, E_DUPKEY, E_MULTIDOC, E_NOT_MAP, and E_EMPTY for a text without a value. A byte order mark is no part of
 * the text; columns of the first line count from after it.
 */
export function openConfigText(text: string): OpenedText {
  const body = withoutMark(text);
  const sink = new FindingSink(body.slice(0, MAX_CONFIG_BYTES));
  return { sink, loaded: loadConfig(body, sink) };
}

/** A text without its byte order mark. */
export function withoutMark(text: string): string {
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}

function loadConfig(body: string, sink: FindingSink): LoadedConfig | null {
  if (!checkSize(body, sink)) return null;
  if (!checkCharacters(body, sink)) return null;
  const tokens = tokenize(body, sink);
  if (!checkDepth(tokens, sink)) return null;
  const document = readFirstDocument(body, tokens, sink);
  if (document === null || !checkDialect(body, tokens, sink)) return null;
  const tree = buildConfigTree(document.contents, sink);
  if (tree === null || !tree.readable) return null;
  const { root, foreignTopKeys } = tree;
  const readable = !tree.duplicates && foreignTopKeys.length === 0;
  if (isNull(root) || (root.kind === 'map' && root.entries.size === 0)) {
    sink.error('E_EMPTY', { path: '', offset: null, message: 'empty configuration file' });
    return null;
  }
  if (root.kind !== 'map') {
    sink.error('E_NOT_MAP', {
      path: '',
      offset: root.offset,
      message: `retrieved value (type=${goType(root)}) cannot be used as a Conf`,
      suggestion: 'a config is a map with the keys receivers, processors, exporters, connectors, extensions and service',
    });
    return null;
  }
  for (const key of foreignTopKeys) {
    sink.error('E_NOT_MAP', {
      path: key.text,
      offset: key.offset,
      message: `unsupported type=map[interface {}]interface {} for retrieved config: the key ${quoted(key.text)} is not text, ensure that values are wrapped in quotes`,
    });
  }
  return { root, foreignTopKeys: new Set(foreignTopKeys.map((key) => key.text)), readable };
}
