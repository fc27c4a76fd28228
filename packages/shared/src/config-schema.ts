import { ConfigurationError } from './errors.ts';

/** What the environment looks like: `process.env`, or a literal in tests. */
export type EnvironmentSource = Readonly<Record<string, string | undefined>>;

/** One setting as data. `parse` gets trimmed, non-empty text and throws an Error whose message says what was expected. */
export interface Option<Value> {
  /** Value when the variable is unset or empty. */
  readonly default: Value;
  /** The default in words, for the generated documentation. */
  readonly defaultText: string;
  /** What kind of value, in words: `integer`, `byte size`, `one of a, b`. */
  readonly kind: string;
  /** Which processes read it. */
  readonly readBy: readonly string[];
  /** What it does, in one sentence or two. */
  readonly sentence: string;
  /** Whether the value may hold a secret and is never logged. */
  readonly secret: boolean;
  parse(text: string): Value;
}

/** Settings by the names of their variables. */
export type Catalogue = Readonly<Record<string, Option<unknown>>>;

/** The parsed values of a catalogue. */
export type ValuesOf<Settings extends Catalogue> = {
  readonly [Name in keyof Settings]: Settings[Name] extends Option<infer Value> ? Value : never;
};

/** What every kind of option has in common. */
export interface OptionText {
  readonly readBy: readonly string[];
  readonly sentence: string;
  /** Overrides the rendering of the default, for defaults that are computed at start. */
  readonly defaultText?: string;
  readonly secret?: boolean;
}

type WithDefault<Value, Default extends Value | undefined> = OptionText & { readonly default: Default };

/** A whole number from `min` to `max`, with an optional unit for the documentation. */
export function integerOption<Default extends number | undefined>(
  option: WithDefault<number, Default> & { readonly min?: number; readonly max?: number; readonly unit?: string },
): Option<number | Default> {
  const min = option.min ?? 0;
  const max = option.max ?? Number.MAX_SAFE_INTEGER;
  const range = max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`;
  const unit = option.unit === undefined ? '' : ` (${option.unit})`;
  return build(option, `integer${unit}`, (text) => {
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < min || value > max) throw new Error(`expected ${range}${unit}`);
    return value;
  });
}

/** A duration: a whole number of milliseconds. */
export function durationOption(option: WithDefault<number, number> & { readonly min?: number; readonly max?: number }): Option<number> {
  return integerOption({ max: 2 ** 31 - 1, ...option, unit: 'ms' });
}

/** A TCP port; 0 lets the system choose one. */
export function portOption(option: WithDefault<number, number>): Option<number> {
  return integerOption({ ...option, min: 0, max: 65_535 });
}

/** A number of bytes, plain or with a unit: `65536`, `64MiB`, `4MB`. */
export function bytesOption(option: WithDefault<number, number> & { readonly min?: number; readonly max?: number }): Option<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
  return build({ defaultText: formatBytes(option.default), ...option }, 'byte size', (text) => {
    const value = parseBytes(text);
    if (value === undefined) throw new Error('expected a number of bytes such as 65536, 64MiB or 4MB');
    if (value < min || value > max) throw new Error(`expected a byte size from ${formatBytes(min)} to ${formatBytes(max)}`);
    return value;
  });
}

/** `true` or `false`; `1` and `0` are taken too. */
export function booleanOption(option: WithDefault<boolean, boolean>): Option<boolean> {
  return build(option, 'boolean', (text) => {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    throw new Error('expected true or false');
  });
}

/** One of a closed list of words. */
export function choiceOption<const Choice extends string>(
  option: OptionText & { readonly choices: readonly Choice[]; readonly default: NoInfer<Choice> },
): Option<Choice> {
  const list = option.choices.join(', ');
  return build<Choice, Choice>(option, `one of ${list}`, (text) => {
    const choice = option.choices.find((candidate) => candidate === text);
    if (choice === undefined) throw new Error(`expected one of ${list}`);
    return choice;
  });
}

/** Text; `check` returns what was expected instead, or undefined when the text is fine. */
export function textOption<Default extends string | undefined>(
  option: WithDefault<string, Default> & { readonly kind?: string; readonly check?: (text: string) => string | undefined },
): Option<string | Default> {
  return build(option, option.kind ?? 'text', (text) => {
    const expected = option.check?.(text);
    if (expected !== undefined) throw new Error(`expected ${expected}`);
    return text;
  });
}

/** A list of words separated by commas; empty entries are left out. */
export function listOption(option: WithDefault<readonly string[], readonly string[]>): Option<readonly string[]> {
  const defaultText = option.default.length === 0 ? 'none' : `\`${option.default.join(',')}\``;
  return build({ defaultText, ...option }, 'comma-separated list', (text) =>
    Object.freeze(
      text
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== ''),
    ),
  );
}

/**
 * Parses the named settings of a catalogue from an environment. Names that begin with `prefix` and are in no catalogue, and
 * every malformed value, are collected and thrown together as one ConfigurationError. Unset and empty variables take their
 * default; Kubernetes service links count as unset. The result is frozen.
 */
export function parseSettings<Settings extends Catalogue, Name extends keyof Settings & string>(
  catalogue: Settings,
  names: readonly Name[],
  environment: EnvironmentSource,
  prefix: string,
): Readonly<Pick<ValuesOf<Settings>, Name>> {
  const problems = unknownNames(catalogue, environment, prefix);
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const option = catalogue[name];
    if (option === undefined) throw new RangeError(`no such option: ${name}`);
    const raw = environment[name];
    const text = raw === undefined || isServiceLink(name, raw) ? '' : raw.trim();
    values[name] = option.default;
    if (text === '') continue;
    try {
      values[name] = option.parse(text);
    } catch (error) {
      const shown = option.secret ? 'the given value (hidden)' : JSON.stringify(text.slice(0, 100));
      problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}, got ${shown}`);
    }
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return Object.freeze(values) as Readonly<Pick<ValuesOf<Settings>, Name>>;
}

/**
 * Whether a variable was put there by Kubernetes for a Service of that name, which happens to look like one of ours: a
 * Service called `opamp-gateway` yields `OPAMP_GATEWAY_PORT=tcp://…` and `OPAMP_GATEWAY_SERVICE_HOST`.
 */
export function isServiceLink(name: string, value: string): boolean {
  return /_SERVICE_HOST$|_SERVICE_PORT(?:_.+)?$|_PORT_\d+_.+$/.test(name) || /^(?:tcp|udp|sctp):\/\//.test(value.trim());
}

/** Reads `65536`, `64MiB`, `4 MB`, `1.5GiB`; undefined when the text is none or no whole number of bytes. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (BYTE_UNITS.get(match[2] ?? 'B') ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Writes a number of bytes in the largest binary unit that divides it. */
export function formatBytes(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = BYTE_UNITS.get(unit) ?? 1;
    if (bytes >= size && bytes % size === 0) return `${bytes / size} ${unit}`;
  }
  return `${bytes} B`;
}

/** A Markdown table of options, one row each. */
export function renderOptionTable(options: readonly (readonly [name: string, option: Option<unknown>])[]): string {
  const rows = options.map(([name, option]) => `| \`${name}\` | ${option.kind} | ${option.defaultText} | ${option.sentence} |`);
  return ['| variable | type | default | meaning |', '|---|---|---|---|', ...rows].map((row) => `${row}\n`).join('');
}

const BYTE_UNITS = new Map([
  ['B', 1],
  ['kB', 1000],
  ['KB', 1000],
  ['MB', 1000 ** 2],
  ['GB', 1000 ** 3],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
]);

function build<Value, Default extends Value | undefined>(
  option: WithDefault<Value, Default>,
  kind: string,
  parse: (text: string) => Value,
): Option<Value | Default> {
  const defaultText = option.defaultText ?? (option.default === undefined ? 'none' : `\`${String(option.default)}\``);
  return Object.freeze({
    default: option.default,
    defaultText,
    kind,
    readBy: option.readBy,
    sentence: option.sentence,
    secret: option.secret ?? false,
    parse,
  });
}

function unknownNames(catalogue: Catalogue, environment: EnvironmentSource, prefix: string): string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || !name.startsWith(prefix) || Object.hasOwn(catalogue, name) || isServiceLink(name, value)) continue;
    const close = closest(name, Object.keys(catalogue));
    problems.push(`${name}: there is no such setting${close === undefined ? '' : `; did you mean ${close}?`}`);
  }
  return problems.toSorted();
}

/** The candidate with the fewest edits, when these are few enough for a slip of the keyboard. */
function closest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let fewest = 4;
  for (const candidate of candidates) {
    const edits = editDistance(name.slice(0, 100), candidate);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
