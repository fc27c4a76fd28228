/** Days of the week as requests name them; index = `Date.getUTCDay()`. */
export const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** A maintenance window: from a local time of day, on some days, to the next occurrence of another. */
export interface MaintenanceWindow {
  /** Days on which the window begins; empty = every day. */
  days: Weekday[];
  /** Minutes after local midnight. `to` at or before `from` lies on the next day. */
  fromMinutes: number;
  toMinutes: number;
  /** IANA name. */
  timeZone: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Reads `"22:30"` as minutes after midnight, `"24:00"` among them; undefined when it is no time of day. */
export function parseTimeOfDay(text: string): number | undefined {
  const [, hours, minutes] = /^(\d{2}):(\d{2})$/.exec(text) ?? [];
  if (hours === undefined || minutes === undefined) return undefined;
  const total = Number(hours) * 60 + Number(minutes);
  return Number(minutes) < 60 && total <= 24 * 60 ? total : undefined;
}

/** Text of {@link parseTimeOfDay}. */
export function formatTimeOfDay(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

/** Whether `name` is a time zone that this runtime knows. */
export function isTimeZone(name: string): boolean {
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timeZone, format);
  }
  return format;
}

/** Local wall-clock time at an instant, written as if it were UTC. */
function wallMs(atMs: number, timeZone: string): number {
  const parts = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(atMs)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) + (atMs - Math.floor(atMs / 1_000) * 1_000);
}

/**
 * The instant at which the local clock shows `wall`: the first one when it does so twice, and when it never does, because
 * clocks are put forward over it, the instant at which they are.
 */
function instantOf(wall: number, timeZone: string): number {
  const offsets = [wall - DAY_MS, wall + DAY_MS].map((aroundMs) => wallMs(aroundMs, timeZone) - aroundMs);
  const candidates = offsets.map((offsetMs) => wall - offsetMs).toSorted((a, b) => a - b);
  const shown = candidates.find((candidateMs) => wallMs(candidateMs, timeZone) === wall);
  if (shown !== undefined) return shown;
  let [before = 0, after = 0] = candidates;
  while (after - before > MINUTE_MS) {
    const middle = before + Math.floor((after - before) / 2 / MINUTE_MS) * MINUTE_MS;
    if (wallMs(middle, timeZone) < wall) before = middle;
    else after = middle;
  }
  return after;
}

/** Whether an instant lies in a window. A window that begins in a skipped hour begins when the clocks have been put forward. */
export function isOpen(window: MaintenanceWindow, nowMs: number): boolean {
  const today = Math.floor(wallMs(nowMs, window.timeZone) / DAY_MS) * DAY_MS;
  return [today - DAY_MS, today].some((date) => {
    const opening = openingOn(window, date);
    return opening !== undefined && nowMs >= opening.startMs && nowMs < opening.endMs;
  });
}

/** When a window is open that begins on a local date, given as midnight written in UTC; undefined on other days. */
function openingOn(
  { days, fromMinutes, toMinutes, timeZone }: MaintenanceWindow,
  date: number,
): { startMs: number; endMs: number } | undefined {
  const weekday = WEEKDAYS[new Date(date).getUTCDay()] as Weekday;
  if (days.length > 0 && !days.includes(weekday)) return undefined;
  const lengthMinutes = toMinutes > fromMinutes ? toMinutes - fromMinutes : toMinutes - fromMinutes + 24 * 60;
  const startMs = instantOf(date + fromMinutes * MINUTE_MS, timeZone);
  const endMs = instantOf(date + (fromMinutes + lengthMinutes) * MINUTE_MS, timeZone);
  return { startMs, endMs: endMs > startMs ? endMs : startMs + lengthMinutes * MINUTE_MS };
}

/** The first instant from `fromMs` on at which one of the windows is open; `fromMs` itself when there are none. */
export function nextOpenMs(windows: readonly MaintenanceWindow[], fromMs: number): number {
  if (windows.length === 0 || windows.some((window) => isOpen(window, fromMs))) return fromMs;
  const starts = windows.flatMap((window) => {
    const today = Math.floor(wallMs(fromMs, window.timeZone) / DAY_MS) * DAY_MS;
    return Array.from({ length: 9 }, (_, day) => openingOn(window, today + day * DAY_MS)?.startMs ?? Number.POSITIVE_INFINITY);
  });
  return Math.min(...starts.filter((startMs) => startMs >= fromMs));
}
