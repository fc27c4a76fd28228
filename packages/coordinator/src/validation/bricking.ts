import { openConfigText } from './config-loader.ts';
import type { LoadedConfig } from './config-loader.ts';
import { entryOf, isNull, joinPath } from './config-node.ts';
import type { MapNode } from './config-node.ts';
import type { Finding } from './finding.ts';
import { COMPONENT_KINDS, parseComponentId } from './ids.ts';
import { RESERVED_EXTENSION } from './section-rules.ts';

/**
 * The defects for which a config must never reach an agent, whoever insists: a supervisor stores what it receives before it looks
 * at it, and cannot start again from text that it cannot merge (E_YAML, E_DUPKEY, E_NOT_MAP); text that means something else
 * than it says (E_MULTIDOC); nothing at all (E_EMPTY); or the supervisor's own extension (E_RESERVED). Text beyond what is read here
 * (E_TOO_LARGE, E_TOO_DEEP, E_ALIAS_BOMB) cannot be cleared of them. Pure, never throws. Empty when the text may be forced.
 */
export function findBrickingDefects(text: string): Finding[] {
  const { sink, loaded } = openConfigText(text);
  if (loaded !== null) {
    if (isHollow(loaded.root)) sink.error('E_EMPTY', { path: '', offset: null, message: 'empty configuration file' });
    for (const { key, keyOffset } of reservedExtensions(loaded.root)) {
      sink.error('E_RESERVED', {
        path: joinPath('extensions', key),
        offset: keyOffset,
        message: 'extensions::opamp belongs to the supervisor; a pushed config that sets it can cut the collector off',
      });
    }
  }
  return sink.sorted().filter((finding) => finding.severity === 'error');
}

/** Whether findBrickingDefects would find something, for a text that is already loaded; `readDefects` says that loading found errors. */
export function isBricking(loaded: LoadedConfig | null, readDefects: boolean): boolean {
  if (loaded === null || readDefects) return true;
  return isHollow(loaded.root) || reservedExtensions(loaded.root).length > 0;
}

/** True when no section and not even `service` has any content. A part of a config that only has `service` is no such thing. */
function isHollow(root: MapNode): boolean {
  return [...COMPONENT_KINDS, 'service'].every((key) => {
    const value = entryOf(root, key)?.value;
    return isNull(value) || (value?.kind === 'map' && value.entries.size === 0);
  });
}

function reservedExtensions(root: MapNode): { key: string; keyOffset: number }[] {
  const extensions = entryOf(root, 'extensions')?.value;
  if (extensions?.kind !== 'map') return [];
  return [...extensions.entries.values()].filter(({ key }) => {
    const parsed = parseComponentId(key);
    return parsed.ok && parsed.id === RESERVED_EXTENSION;
  });
}
