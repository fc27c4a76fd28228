const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PATTERN = /^(?:\d{1,9}(?:ms|[smhd]))+$/;
const PART = /(\d+)(ms|[smhd])/g;

/** Longest duration that is accepted: 366 days. */
export const MAX_DURATION_MS = 366 * 86_400_000;

/** Reads `"90s"`, `"10m"`, `"0s"`, `"1h30m"`, `"250ms"` as milliseconds; undefined when it is none or too long. */
export function parseDuration(text: string): number | undefined {
  if (!PATTERN.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(PART)) totalMs += Number(amount) * (UNIT_MS[unit] ?? 0);
  return totalMs <= MAX_DURATION_MS ? totalMs : undefined;
}

/** Shortest text that {@link parseDuration} reads back: whole hours, minutes and seconds, zero as `"0s"`. */
export function formatDuration(durationMs: number): string {
  let restMs = Math.max(0, Math.round(durationMs));
  if (restMs === 0) return '0s';
  let text = '';
  for (const unit of ['h', 'm', 's', 'ms']) {
    const unitMs = UNIT_MS[unit] ?? 1;
    const amount = Math.floor(restMs / unitMs);
    if (amount > 0) text += `${amount}${unit}`;
    restMs -= amount * unitMs;
  }
  return text;
}
