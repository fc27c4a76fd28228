/** Output of the demo: lines that change in place on a terminal, and plain lines everywhere else. */
import { wantsColor } from './config.ts';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** A look of text. */
export type Style = keyof typeof CODES;

const BAR_CELLS = 24;

/** Prints; `live` keeps the last lines changing. */
export class Terminal {
  readonly #out: NodeJS.WriteStream;
  readonly #color: boolean;
  readonly #isLive: boolean;
  readonly #startedMs = Date.now();
  #liveLines = 0;
  #lastPlain = new Map<string, string>();

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#color = wantsColor();
    this.#isLive = out.isTTY;
  }

  /** The text with a style, where colours are wanted. */
  paint(style: Style, text: string): string {
    return this.#color && text !== '' ? `\u001B[${CODES[style]}m${text}\u001B[0m` : text;
  }

  /** A line that stays; live lines above it stay too. */
  line(text = ''): void {
    this.#liveLines = 0;
    this.#lastPlain.clear();
    this.#out.write(`${text}\n`);
  }

  /**
   * Shows changing lines. On a terminal they replace the former ones; elsewhere a line is printed when its `key`
   * changes, so that a log file gets one line per event and not one per refresh.
   */
  live(lines: readonly { readonly name: string; readonly key: string; readonly text: string }[]): void {
    if (!this.#isLive) {
      for (const { name, key, text } of lines) {
        if (this.#lastPlain.get(name) === key) continue;
        this.#lastPlain.set(name, key);
        this.#out.write(`${this.#elapsed()}${text}\n`);
      }
      return;
    }
    const up = this.#liveLines > 0 ? `\u001B[${this.#liveLines}A` : '';
    this.#out.write(`${up}${lines.map(({ text }) => `\u001B[2K${clip(text, this.#out.columns)}\n`).join('')}`);
    this.#liveLines = lines.length;
  }

  #elapsed(): string {
    return `${((Date.now() - this.#startedMs) / 1_000).toFixed(1).padStart(6)} s`;
  }

  /** A bar of which `done` of `total` is full, and `bad` of it marked. */
  bar(done: number, bad: number, total: number): string {
    const cells = (count: number): number => (total === 0 ? 0 : Math.min(BAR_CELLS, Math.round((count / total) * BAR_CELLS)));
    const badCells = bad > 0 ? Math.max(1, cells(bad)) : 0;
    const doneCells = Math.min(cells(done), BAR_CELLS - badCells);
    const rest = BAR_CELLS - badCells - doneCells;
    return `${this.paint('green', '█'.repeat(doneCells))}${this.paint('red', '▒'.repeat(badCells))}${this.paint('dim', '·'.repeat(rest))}`;
  }
}

/** The text without what would go beyond the terminal's width: a wrapped line could not be replaced later. */
export function clip(text: string, columns: number): string {
  const [first = '', ...rest] = text.split('\u001B[');
  let clipped = first.slice(0, columns);
  let left = columns - clipped.length;
  for (const part of rest) {
    const codeLength = part.indexOf('m') + 1;
    const visible = part.slice(codeLength, codeLength + left);
    clipped += `\u001B[${part.slice(0, codeLength)}${visible}`;
    left -= visible.length;
  }
  return clipped;
}

/** A table with aligned columns; numbers to the right. */
export function formatTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): readonly string[] {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => String(row[column] ?? '').length)));
  const isNumber = header.map((_title, column) => rows.every((row) => typeof row[column] === 'number'));
  const format = (row: readonly (string | number)[]): string =>
    row
      .map((value, column) => {
        const width = widths[column] ?? 0;
        return isNumber[column] === true ? String(value).padStart(width) : String(value).padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [format(header), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(format)];
}
