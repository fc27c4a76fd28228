import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { type SoakState, SOAK_DIRECTORY, type Tally } from './state.ts';

function seconds(ms: number | undefined): string {
  return ms === undefined ? '-' : `${(ms / 1_000).toFixed(1)} s`;
}

/** The value that a share of the sorted values does not exceed. */
function quantile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function faultLine(fault: string, { count, recoveriesMs }: Tally): string {
  const sorted = recoveriesMs.toSorted((left, right) => left - right);
  const cells = [quantile(sorted, 0.5), quantile(sorted, 0.95), sorted.at(-1)].map(seconds);
  return `| ${fault} | ${count} | ${sorted.length} | ${cells.join(' | ')} |`;
}

/** The machine in a line. */
export function describeMachine(): string {
  const [first] = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown processor'}, ${gibibytes} GiB, ${process.platform} ${release()}, Node ${process.version}`;
}

/** The tables as Markdown. */
export function renderReport(state: SoakState): string {
  const rounds = state.rounds.length;
  const failed = [...state.parts, ...state.rounds].filter(({ problems }) => problems.length > 0);
  const lines = [
    `Seed ${state.seed}, build ${state.build}, started ${state.startedAt}, ${state.finishedAt === null ? 'not finished' : `finished ${state.finishedAt}`}.`,
    `${describeMachine()}. ${rounds} rounds in ${Math.round(state.roundMs / 60_000)} min, ${state.audits} recounts of a shard's records against its sums, ${state.silenced} agents excused that never answer.`,
    '',
    '| fault | count | measured | median | 95 % | longest |',
    '|---|---:|---:|---:|---:|---:|',
    ...Object.entries(state.faults).map(([fault, tally]) => faultLine(fault, tally)),
    '',
    '| rollouts | count |',
    '|---|---:|',
    ...Object.entries(state.rollouts).map(([outcome, count]) => `| ${outcome} | ${count} |`),
    '',
    '| part | found | seconds | verdict |',
    '|---|---|---:|---|',
    ...state.parts.map(({ name, detail, seconds: took, problems }) => {
      const found = detail.replaceAll('|', '/').slice(0, 200);
      return `| ${name} | ${found} | ${took} | ${problems.length === 0 ? 'passed' : 'FAILED'} |`;
    }),
    '',
    ...failed.flatMap(({ name, detail, problems }) => [
      `**${name}** (${detail}) failed:`,
      ...problems.map((problem) => `- ${problem}`),
      '',
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

/** Writes the tables beside the state, as Markdown and as JSON. Answers the path of the former. */
export async function writeReport(state: SoakState): Promise<string> {
  await mkdir(SOAK_DIRECTORY, { recursive: true });
  const file = join(SOAK_DIRECTORY, 'report.md');
  await writeFile(file, renderReport(state));
  await writeFile(join(SOAK_DIRECTORY, 'report.json'), JSON.stringify({ machine: describeMachine(), ...state }, null, 2));
  return file;
}
