/** Numbers as people read them. */
import type { Figure } from './results.ts';

/** `1 KB`, `256 KB`, `1.5 MB`. */
export function formatBytes(bytes: number): string {
  const kib = bytes / 1_024;
  return kib >= 1_024 ? `${formatNumber(kib / 1_024)} MB` : `${formatNumber(kib)} KB`;
}

/** Three significant digits, thousands with a separator; a dash for what was not measured. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

/** A value with its unit. */
export function formatFigure({ value, unit }: Pick<Figure, 'value' | 'unit'>): string {
  const text = formatNumber(value);
  if (text === '–' || unit === '') return text;
  return unit === '%' || unit === '/s' ? `${text}${unit}` : `${text} ${unit}`;
}

/** Milliseconds as seconds. */
export function formatSeconds(ms: number | null | undefined): string {
  return ms === null || ms === undefined || !Number.isFinite(ms) ? '–' : `${formatNumber(ms / 1_000)} s`;
}
