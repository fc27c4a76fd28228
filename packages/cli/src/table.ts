import { plain, toneOf } from './paint.ts';
import type { Paint } from './paint.ts';

/** One column of a table. */
export interface Column<Row> {
  title: string;
  value(row: Row): string;
  /** Numbers stand on the right. */
  align?: 'right';
  /** May be cut when the terminal is too narrow; the columns that may are cut alike, down to {@link MIN_CUT}. */
  cut?: boolean;
  /** Colours the text by what it says. */
  toned?: boolean;
}

const GAP = '  ';
const MIN_CUT = 8;

/** A table as text, one line per row, at most `width` characters wide where that can be had by cutting (Infinity never cuts). */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number, paint: Paint = plain): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map((column) => oneLine(column.value(row))))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => charsOf(line[index] ?? ''))));
  shrink(widths, columns, width);
  return cells
    .map((line, lineIndex) =>
      line
        .map((text, index) => {
          const shown = pad(cut(text, widths[index] ?? 0), widths[index] ?? 0, columns[index]?.align === 'right');
          return lineIndex > 0 && columns[index]?.toned === true ? paint(shown, toneOf(text)) : shown;
        })
        .join(GAP)
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** `key: value` lines with the values in one column. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 1;
  return fields.map(([name, value]) => `${(name === '' ? '' : `${name}:`).padEnd(width)} ${oneLine(value)}\n`).join('');
}

function shrink<Row>(widths: number[], columns: readonly Column<Row>[], width: number): void {
  const total = (): number => widths.reduce((sum, size) => sum + size, 0) + GAP.length * (widths.length - 1);
  while (total() > width) {
    // The widest column that may be cut gives up a character at a time, so that they end alike.
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      if (column.cut === true && (widths[index] ?? 0) > MIN_CUT && (widest < 0 || (widths[index] ?? 0) > (widths[widest] ?? 0)))
        widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function cut(text: string, size: number): string {
  const chars = Array.from(text);
  return chars.length <= size ? text : `${chars.slice(0, Math.max(0, size - 1)).join('')}…`;
}

function pad(text: string, size: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, size - charsOf(text)));
  return right ? `${space}${text}` : `${text}${space}`;
}

function charsOf(text: string): number {
  return Array.from(text).length;
}

/** Agents choose some of the texts shown: control characters must not reach the terminal. */
export function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- that is the point
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
