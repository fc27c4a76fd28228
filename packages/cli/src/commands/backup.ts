import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import type { Context } from '../context.ts';

/** Answer of `POST /restore`. */
interface RestoreAnswer {
  restored: boolean;
  createdAt: string;
  version: number;
  records: Record<string, number>;
  existing: string[];
  notes: string[];
}

/** `opampctl backup`, `restore`. */
export function addBackupCommands(program: Command, context: Context): void {
  program
    .command('backup')
    .description('save configs, groups, rollouts, pins, labels and the audit log as one file')
    .requiredOption('-o, --output <file>', 'where to write; replaced when it exists')
    .action(async ({ output }: { output: string }) => {
      const unfinished = `${output}.part`;
      try {
        const body = await context.api.download('/backup');
        await pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(unfinished, { mode: 0o600 }));
        const records = await checkFile(unfinished);
        await rename(unfinished, output);
        context.show({ file: output, records }, () => `${output} holds ${countsOf(records)}\n`);
      } catch (error) {
        await rm(unfinished, { force: true });
        throw error;
      }
    });

  program
    .command('restore')
    .description('bring a backup back into an empty store')
    .argument('<file>', 'a file that `opampctl backup` has written')
    .option('--force', 'replace the configs, groups and rollouts that are there')
    .option('--dry-run', 'check the file and say what is in it')
    .action(async (file: string, { force = false, dryRun = false }: { force?: boolean; dryRun?: boolean }) => {
      await checkFile(file);
      const query = `?force=${String(force)}&dryRun=${String(dryRun)}`;
      const body = Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>;
      const answer = await context.api.upload<RestoreAnswer>(`/restore${query}`, body, 'application/gzip');
      context.show(answer, () => render(answer, file));
    });
}

function render({ restored, createdAt, records, existing, notes }: RestoreAnswer, file: string): string {
  const lines = [
    `${file} of ${createdAt} ${restored ? 'is restored' : 'is whole'}: ${countsOf(records)}`,
    ...(existing.length === 0
      ? []
      : [`${existing.join(' and ')} ${restored ? 'were replaced' : 'are there already: restoring takes --force'}`]),
    ...notes,
  ];
  return `${lines.join('\n')}\n`;
}

function countsOf(records: Readonly<Record<string, number>>): string {
  return Object.entries(records)
    .map(([section, count]) => `${count} ${section}`)
    .join(', ');
}

interface Footer {
  records: Record<string, number>;
  sha256: string;
}

/** Reads a file to its end and holds it against its own checksum; answers the number of records by section. Throws a CliError. */
async function checkFile(file: string): Promise<Record<string, number>> {
  const gunzip = createGunzip();
  const piping = pipeline(createReadStream(file), gunzip).catch((error: unknown) => error);
  const digest = createHash('sha256');
  let footer: Footer | undefined;
  let reason = 'it is cut off: its last line is missing';
  try {
    for await (const line of linesOf(gunzip as AsyncIterable<Buffer>)) {
      const start = line.subarray(0, 16).toString();
      if (start.startsWith('{"end":true,')) footer = parseFooter(line.toString());
      else if (start.startsWith('{"failed":'))
        reason = `the coordinator could not finish it: ${line.subarray('{"failed":'.length, -2).toString()}`;
      else digest.update(line);
    }
  } catch {
    // The pipeline knows why.
  }
  const failure = await piping;
  if (failure instanceof Error) throw new CliError(`${file} cannot be read as a backup: ${failure.message}`, undefined, { cause: failure });
  if (footer === undefined) throw new CliError(`${file} is no whole backup: ${reason}`, 'make it again');
  if (footer.sha256 !== digest.digest('hex')) throw new CliError(`${file} is damaged: its checksum is another one`, 'take another copy');
  return footer.records;
}

/** Lines with the line feed at their end. */
async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  for await (const chunk of source) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      yield Buffer.concat([...parts, chunk.subarray(from, at + 1)]);
      parts = [];
      from = at + 1;
    }
    parts.push(chunk.subarray(from));
  }
}

function parseFooter(line: string): Footer | undefined {
  try {
    return JSON.parse(line) as Footer;
  } catch {
    return undefined;
  }
}
