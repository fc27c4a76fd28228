/** What a text means, for its colour. */
export type Tone = 'good' | 'bad' | 'wait';

const CODES: Readonly<Record<Tone, number>> = { good: 32, bad: 31, wait: 33 };

/** Colours a text; the identity where colours are off. */
export type Paint = (text: string, tone: Tone | undefined) => string;

export const plain: Paint = (text) => text;

const coloured: Paint = (text, tone) => (tone === undefined ? text : `\u001b[${CODES[tone]}m${text}\u001b[0m`);

/** Colours only for a terminal that shows them; `NO_COLOR` with any value turns them off. [no-color.org] */
export function choosePaint({ columns, env }: { columns: number | undefined; env: Readonly<Record<string, string | undefined>> }): Paint {
  const off = columns === undefined || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return off ? plain : coloured;
}

const GOOD = new Set(['healthy', 'applied', 'observed', 'alive', 'succeeded', 'ok']);
const BAD = new Set(['unhealthy', 'failed', 'gone', 'rolled_back', 'rollback_failed', 'rolling_back', 'drifted']);
const WAIT = new Set(['applying', 'draining', 'running', 'pending', 'warning', 'cancelled']);

/** The tone of a status word; what comes after the word does not matter. */
export function toneOf(text: string): Tone | undefined {
  const word = text.split(' ', 1)[0] ?? '';
  return GOOD.has(word) ? 'good' : BAD.has(word) ? 'bad' : WAIT.has(word) ? 'wait' : undefined;
}
