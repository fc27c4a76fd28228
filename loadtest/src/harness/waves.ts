/** Waves of rollouts: how far each goes, and how long the pauses between them are. */

/** Size of a wave, with the waves before it. */
export type WaveSize = { readonly count: number } | { readonly percent: number };

const ALL_PERCENT = 100;
const MOST_CANARIES = 20;
const MS_OF_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function readSize(text: string): WaveSize | undefined {
  const [, number, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim()) ?? [];
  const value = Number(number ?? Number.NaN);
  if (!(value > 0)) return undefined;
  if (percent === '%') return value <= ALL_PERCENT ? { percent: value } : undefined;
  return Number.isInteger(value) ? { count: value } : undefined;
}

function grows(sizes: readonly WaveSize[]): boolean {
  const ascends = (values: readonly number[]): boolean => values.every((value, index) => index === 0 || value > (values[index - 1] ?? 0));
  return (
    ascends(sizes.flatMap((size) => ('count' in size ? [size.count] : []))) &&
    ascends(sizes.flatMap((size) => ('percent' in size ? [size.percent] : [])))
  );
}

/** Reads `20,10%,100%`; undefined when it is no list of sizes that grow, or does not end with everybody. */
export function readWaves(text: string): readonly WaveSize[] | undefined {
  const sizes = text.split(',').flatMap((part) => readSize(part) ?? []);
  const last = sizes.at(-1);
  const isWhole = sizes.length === text.split(',').length && last !== undefined && 'percent' in last && last.percent === ALL_PERCENT;
  return isWhole && grows(sizes) ? sizes : undefined;
}

/** What is rolled out to when nothing else is said: some canaries, then everybody. */
export function defaultWaves(agents: number): readonly WaveSize[] {
  return [{ count: Math.max(1, Math.min(MOST_CANARIES, Math.floor(agents / 10))) }, { percent: ALL_PERCENT }];
}

/** Share of the fleet that has been reached when the last wave begins. */
export function shareBeforeLast(waves: readonly WaveSize[], agents: number): number {
  const shares = waves.slice(0, -1).map((size) => ('count' in size ? size.count / agents : size.percent / ALL_PERCENT));
  return Math.min(1, Math.max(0, ...shares));
}

/** Milliseconds of a duration such as `1s` or `1m30s`; NaN when it is none. */
export function durationMs(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return Number.NaN;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
    (sum, [, number, unit]) => sum + Number(number) * (MS_OF_UNIT[unit ?? ''] ?? Number.NaN),
    0,
  );
}
