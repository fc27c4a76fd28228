import { joinPath } from './config-node.ts';
import type { ConfigNode } from './config-node.ts';
import { quoted } from './finding.ts';
import type { FindingSink } from './finding.ts';

/** Schemes of the providers that usual builds contain. */
export const USUAL_SCHEMES: readonly string[] = ['env', 'file', 'http', 'https', 'yaml'];

/** Schemes that read files or fetch documents, or smuggle structure past the checks, on behalf of who wrote the config. */
const PROVIDER_SCHEMES: ReadonlySet<string> = new Set(['file', 'http', 'https', 'yaml']);

const URI = /^([A-Za-z][A-Za-z0-9+.-]+):([\s\S]*)$/;
const ENV_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Stands for a value that only the agent knows, while nested substitutions are worked through. */
const UNKNOWN = '\ufdd0';

/** The verdict on one `${...}`; `uri` is what stood between its brackets, with UNKNOWN in place of inner substitutions. */
interface Verdict {
  readonly uri: string;
  readonly scheme: string;
  readonly defect?: {
    readonly code: 'E_SUBST' | 'E_SUBST_NAME' | 'E_SUBST_SCHEME';
    readonly message: string;
    readonly suggestion?: string;
  };
}

/** What the caller allows: which schemes exist, and whether providers beyond `env` may be used. */
export interface SubstitutionPolicy {
  readonly schemes: readonly string[];
  /** true: silently; undefined: with a warning (W_PROVIDER); false: refused (E_PROVIDER). */
  readonly allowProviders: boolean | undefined;
}

/** True when a scalar contains a substitution, so that its value is only known to the agent. */
export function isDynamic(node: ConfigNode | undefined): boolean {
  return node?.kind === 'scalar' && node.type === 'string' && hasSubstitution(node.text);
}

/** Checks every `${...}` in the values of a config; keys are never substituted. */
export function checkSubstitutions(root: ConfigNode, policy: SubstitutionPolicy, sink: FindingSink): void {
  const schemes = new Set(policy.schemes);
  const seen = new Set<ConfigNode>();
  const visit = (node: ConfigNode, path: string): void => {
    if (seen.has(node)) return;
    seen.add(node);
    sink.step();
    if (node.kind === 'map') {
      for (const entry of node.entries.values()) visit(entry.value, joinPath(path, entry.key));
    } else if (node.kind === 'list') {
      for (const [index, item] of node.items.entries()) visit(item, `${path}[${index}]`);
    } else if (node.type === 'string') {
      checkValue(node.text, schemes, policy, { path, offset: node.offset }, sink);
    }
  };
  visit(root, '');
}

/** True when the collector would substitute something in a text. */
export function hasSubstitution(text: string): boolean {
  if (!text.includes('${')) return false;
  return !(substitutedUris(text).next().done ?? false);
}

function checkValue(
  text: string,
  schemes: ReadonlySet<string>,
  policy: SubstitutionPolicy,
  place: { readonly path: string; readonly offset: number },
  sink: FindingSink,
): void {
  sink.step(text.length);
  if (!text.includes('${')) return;
  const reported = new Set<string>();
  for (const uri of substitutedUris(text)) {
    const { scheme, defect } = judge(uri, schemes);
    if (defect !== undefined && !reported.has(defect.message)) {
      reported.add(defect.message);
      sink.error(defect.code, { ...place, message: defect.message, suggestion: defect.suggestion });
    }
    const isProvider = PROVIDER_SCHEMES.has(scheme) && defect === undefined;
    if (!isProvider || policy.allowProviders === true || reported.has(uri)) continue;
    reported.add(uri);
    const finding = {
      ...place,
      message: `${quoted(`\${${readable(uri)}}`)} makes the agent ${providerAction(scheme)}`,
      suggestion: 'write the value itself, or take it from the environment with `${env:NAME}`',
    };
    if (policy.allowProviders === false) sink.error('E_PROVIDER', finding);
    else sink.warn('W_PROVIDER', finding);
  }
}

function providerAction(scheme: string): string {
  if (scheme === 'file') return 'read a file of its host';
  return scheme === 'yaml' ? 'insert YAML that is not checked here' : 'fetch a document from the network';
}

/**
 * The contents of the `${...}` of a text in the order in which the collector substitutes them: by their closing brackets, inner
 * ones first. At one that is escaped (`$${`) the collector leaves the whole rest alone, and so does this.
 */
function* substitutedUris(text: string): Generator<string, void> {
  const open: { before: string; escaped: boolean }[] = [];
  let current = '';
  let start = 0;
  let dollars = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '$' && text.charAt(at + 1) === '{') {
      open.push({ before: current + text.slice(start, at), escaped: dollars % 2 === 1 });
      current = '';
      dollars = 0;
      at += 1;
      start = at + 1;
      continue;
    }
    dollars = character === '$' ? dollars + 1 : 0;
    if (character !== '}') continue;
    const opened = open.pop();
    if (opened === undefined) continue;
    if (opened.escaped) return;
    yield current + text.slice(start, at);
    current = opened.before + UNKNOWN;
    start = at + 1;
  }
}

function judge(uri: string, schemes: ReadonlySet<string>): Verdict {
  const full = uri.includes(':') ? uri : `env:${uri}`;
  const colon = full.indexOf(':');
  if (full.slice(0, colon).includes(UNKNOWN)) return { uri, scheme: '' };
  const match = URI.exec(full);
  if (match === null) {
    return { uri, scheme: '', defect: { code: 'E_SUBST', message: `invalid uri: ${quoted(readable(full))}` } };
  }
  const scheme = match[1] ?? '';
  const value = match[2] ?? '';
  if (value.includes('$')) {
    const message = `the uri ${quoted(readable(full))} contains unsupported characters ('$')`;
    return { uri, scheme, defect: { code: 'E_SUBST', message } };
  }
  if (!schemes.has(scheme)) {
    const message = `scheme ${quoted(scheme)} is not supported for uri ${quoted(readable(full))}`;
    const forgotten = value.startsWith('-') && ENV_NAME.test(scheme) && full.length <= 128;
    const suggestion = forgotten ? { suggestion: `did you mean \`\${env:${scheme}:${readable(value)}}\`?` } : {};
    return { uri, scheme, defect: { code: 'E_SUBST_SCHEME', message, ...suggestion } };
  }
  if (scheme !== 'env') return { uri, scheme };
  const end = value.indexOf(':-');
  const name = end === -1 ? value : value.slice(0, end);
  if (name.includes(UNKNOWN) || ENV_NAME.test(name)) return { uri, scheme };
  const message = `environment variable ${quoted(name)} has invalid name: must match regex ${ENV_NAME.source}`;
  return { uri, scheme, defect: { code: 'E_SUBST_NAME', message } };
}

function readable(uri: string): string {
  return uri.replaceAll(UNKNOWN, '…');
}
