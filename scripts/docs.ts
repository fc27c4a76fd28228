// Writes the generated part of reference pages: what stands between `<!-- generated: NAME -->` and
// `<!-- end of generated part -->`. The text around it is written by hand. `--check` compares instead of writing.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { renderConfigurationTable } from '@opamp-gateway/shared/environment';

interface Page {
  /** Relative to docs/. */
  readonly file: string;
  /** Name in the opening marker. */
  readonly part: string;
  readonly render: () => string | Promise<string>;
}

const PAGES: readonly Page[] = [{ file: 'configuration.md', part: 'configuration', render: renderConfigurationTable }];

const END = '<!-- end of generated part -->';
const check = process.argv.includes('--check');
const docs = new URL('../docs/', import.meta.url);

for (const { file, part, render } of PAGES) {
  const url = new URL(file, docs);
  const start = `<!-- generated: ${part} -->`;
  const text = existsSync(url) ? readFileSync(url, 'utf8') : '';
  const from = text.indexOf(start);
  const to = text.indexOf(END, from);
  if (from < 0 || to < 0) {
    console.error(`docs/${file} needs a line "${start}" and after it a line "${END}"`);
    process.exitCode = 1;
    continue;
  }
  const next = `${text.slice(0, from)}${start}\n\n${(await render()).trim()}\n\n${text.slice(to)}`;
  if (next === text) continue;
  if (check) {
    console.error(`not current: docs/${file}`);
    process.exitCode = 1;
  } else {
    writeFileSync(url, next);
  }
}
