/** Line plots as inline SVG, without any script or library. */

/** One line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

/** A plot over time in seconds. */
export interface Plot {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
  readonly marks?: readonly { readonly atS: number; readonly text: string }[];
  /** Logarithmic values; zeros are drawn at 0.5. */
  readonly log?: boolean;
}

const WIDTH = 880;
const HEIGHT = 300;
const LEFT = 64;
const RIGHT = 170;
const TOP = 34;
const BOTTOM = 34;
const COLORS = ['#0b6fa4', '#c2410c', '#15803d', '#7e22ce', '#a16207', '#be123c', '#0f766e', '#475569'];
const FLOOR = 0.5;

/** Text that is safe in HTML and SVG. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function tickStep(range: number): number {
  const rough = range / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
}

function linearTicks(max: number): number[] {
  const step = tickStep(max);
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, index) => index * step);
}

function logTicks(max: number): number[] {
  const ticks: number[] = [];
  for (let value = 1; value <= max; value *= 10) ticks.push(value);
  return ticks;
}

/** Draws a plot; empty text when there is nothing to draw. */
export function drawPlot({ title, unit, series, marks = [], log = false }: Plot): string {
  const drawn = series
    .map(({ name, points }) => ({ name, points: points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) }))
    .filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return '';
  const all = drawn.flatMap(({ points }) => points);
  const maxX = Math.max(0.001, ...all.map(([x]) => x), ...marks.flatMap(({ atS }) => (Number.isFinite(atS) ? [atS] : [])));
  const maxY = Math.max(log ? 1 : 0.001, ...all.map(([, y]) => y));
  const x = (value: number): number => LEFT + (value / maxX) * (WIDTH - LEFT - RIGHT);
  const height = HEIGHT - TOP - BOTTOM;
  const share = (value: number): number =>
    log ? Math.log(Math.max(FLOOR, value) / FLOOR) / Math.log(maxY / FLOOR) : Math.max(0, value) / maxY;
  const y = (value: number): number => HEIGHT - BOTTOM - share(value) * height;
  const at = (value: number): string => value.toFixed(1);
  const label = (value: number): string => (value >= 1_000 ? value.toLocaleString('en') : String(Number(value.toPrecision(3))));
  const parts = [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">`,
    `<text x="${LEFT}" y="16" class="t">${escape(title)}</text>`,
    `<text x="0" y="${TOP - 6}" class="a">${escape(unit)}</text>`,
  ];
  for (const tick of log ? logTicks(maxY) : linearTicks(maxY)) {
    parts.push(`<path d="M${LEFT} ${at(y(tick))}H${WIDTH - RIGHT}" class="g"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${at(y(tick) + 4)}" class="a" text-anchor="end">${label(tick)}</text>`);
  }
  for (const tick of linearTicks(maxX)) {
    parts.push(`<text x="${at(x(tick))}" y="${HEIGHT - BOTTOM + 18}" class="a" text-anchor="middle">${label(tick)} s</text>`);
  }
  marks.forEach(({ atS, text }, index) => {
    if (!Number.isFinite(atS)) return;
    parts.push(`<path d="M${at(x(atS))} ${TOP}V${HEIGHT - BOTTOM}" class="m"/>`);
    parts.push(`<text x="${at(x(atS) + 3)}" y="${TOP + 10 + (index % 4) * 13}" class="a">${escape(text)}</text>`);
  });
  drawn.forEach(({ name, points }, index) => {
    const color = COLORS[index % COLORS.length] ?? '#000';
    const path = points.map(([px, py], number) => `${number === 0 ? 'M' : 'L'}${at(x(px))} ${at(y(py))}`).join('');
    parts.push(`<path d="${path}" fill="none" stroke="${color}" stroke-width="1.6"/>`);
    parts.push(`<path d="M${WIDTH - RIGHT + 12} ${TOP + 8 + index * 16}h14" stroke="${color}" stroke-width="3"/>`);
    parts.push(`<text x="${WIDTH - RIGHT + 32}" y="${TOP + 12 + index * 16}" class="a">${escape(name)}</text>`);
  });
  parts.push('</svg>');
  return parts.join('');
}
