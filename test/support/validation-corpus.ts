/** Configs of every kind of defect, with the verdicts of our validation and of a real collector. */
import { readdirSync, readFileSync } from 'node:fs';

/** One config of the corpus. */
export interface CorpusEntry {
  /** Kind and what is special, as `id-17`; the kinds are in {@link KINDS}. */
  readonly name: string;
  /** Codes of errors that our validation gives, sorted; none = it takes the config. */
  readonly codes: readonly string[];
  /** What `otelcol validate` does with it. */
  readonly real: 'accepts' | 'refuses' | 'not comparable';
  /** Where the two differ. */
  readonly why?: string;
  readonly text: string;
}

/** First parts of names, in the order of the table. */
export const KINDS: Readonly<Record<string, string>> = {
  v: 'valid',
  y: 'YAML',
  t: 'keys at the top',
  sh: 'shapes',
  id: 'ids',
  p: 'ids of pipelines',
  pk: 'keys of pipelines',
  sk: 'keys of `service`',
  r: 'references',
  tel: 'telemetry',
  c: 'connectors',
  u: 'signals',
  s: 'substitution',
  b: 'settings of components',
  res: 'the reserved extension',
  example: 'examples in `test/fixtures/configs`',
};

const FIXTURES = new URL('../fixtures/', import.meta.url);

/** The corpus as recorded. */
export function readCorpus(): CorpusEntry[] {
  const lines = readFileSync(new URL('validation-corpus.jsonl', FIXTURES), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as CorpusEntry);
}

/** The example configs, without verdicts. */
export function readExamples(): { name: string; text: string }[] {
  const folder = new URL('configs/', FIXTURES);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .map((file) => ({ name: `example-${file.replace('.yaml', '')}`, text: readFileSync(new URL(file, folder), 'utf8') }));
}

/** The table of agreement, and the list of differences, as Markdown. */
export function renderAgreement(): string {
  const entries = readCorpus();
  const kindOf = ({ name }: CorpusEntry): string => name.split('-', 1)[0] ?? '';
  const isRefused = ({ codes }: CorpusEntry): boolean => codes.length > 0;
  const rows = Object.entries(KINDS).flatMap(([kind, title]) => {
    const own = entries.filter((entry) => kindOf(entry) === kind);
    if (own.length === 0) return [];
    const count = (is: (entry: CorpusEntry) => boolean): number => own.filter(is).length;
    const cells = [
      own.length,
      count((entry) => isRefused(entry) && entry.real === 'refuses'),
      count((entry) => !isRefused(entry) && entry.real === 'accepts'),
      count((entry) => isRefused(entry) && entry.real === 'accepts'),
      count((entry) => !isRefused(entry) && entry.real === 'refuses'),
      count((entry) => entry.real === 'not comparable'),
    ];
    return [`| ${title} | ${cells.join(' | ')} |`];
  });
  const differing = entries.filter(({ why }) => why !== undefined);
  return [
    '| kind | configs | both refuse | both take | only we refuse | only the collector refuses | not comparable |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    '',
    'Where they differ, or cannot be compared:',
    '',
    '| config | we say | the collector | because |',
    '|---|---|---|---|',
    ...differing.map(
      ({ name, codes, real, why }) =>
        `| \`${name}\` | ${codes.map((code) => `\`${code}\``).join(', ') || 'takes it'} | ${real} | ${why ?? ''} |`,
    ),
  ].join('\n');
}
