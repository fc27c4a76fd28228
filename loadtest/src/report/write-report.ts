/** The files of a report. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHtml } from './html.ts';
import { toMarkdown } from './markdown.ts';
import type { RunResults } from './results.ts';

/** Writes results.json, report.md and report.html; makes the directory. */
export async function writeReport(directory: string, results: RunResults): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
  await writeFile(join(directory, 'report.md'), toMarkdown(results));
  await writeFile(join(directory, 'report.html'), toHtml(results));
}

function parseOrNothing(text: string): Partial<RunResults> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<RunResults>;
  } catch {
    return {};
  }
}

/** Makes the directory of a report: a run that nobody can read afterwards need not begin. Rejects when that is impossible. */
export async function makeReportDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
}

/** Reads a results.json. Throws when it is none. */
export async function readResults(file: string): Promise<RunResults> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const results = parseOrNothing(text);
  if (results.format !== 1 || !Array.isArray(results.scenarios)) throw new TypeError(`${file} is no results.json of the load test`);
  return results as RunResults;
}
