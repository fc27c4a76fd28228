import { CliError } from './cli-error.ts';

const UNIT_MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

/** Reads `90s`, `10m`, `1h30m`. Throws a CliError. */
export function parseDurationMs(text: string, option: string): number {
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw new CliError(`${option}: expected a duration such as 90s, 10m or 1h30m, not ${JSON.stringify(text)}`);
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS.get(unit ?? '') ?? 0), 0);
}

/** How long ago, in one or two units: `4d 2h`, `3m`, `12s`. */
export function formatAge(at: string | null, nowMs: number): string {
  if (at === null) return '-';
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(at)) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}
