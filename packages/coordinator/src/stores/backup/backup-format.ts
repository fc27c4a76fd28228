import { createHash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { toError } from '@opamp-gateway/shared/errors';

/** First word of every file, so that another file is recognised as one. */
export const BACKUP_FORMAT = 'opamp-gateway-backup';

/** Version of the format; a file of a newer one is refused, older ones are read. */
export const BACKUP_VERSION = 1;

/** Bytes of one line: a config of 1 MiB in base64, a rollout with a long strategy. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** First line of a file. */
export interface BackupHeader {
  format: typeof BACKUP_FORMAT;
  version: number;
  /** RFC 3339 UTC, by the clock of Redis. */
  createdAt: string;
  /** Names of the sections, in order. */
  sections: readonly string[];
  /** Ids of the rollouts that go on. */
  activeRollouts: readonly string[];
}

/** One thing that was saved. */
export interface BackupRecord {
  section: string;
  record: Readonly<Record<string, unknown>>;
}

/** Last line: without it the file is not whole. `sha256` is that of every byte before. */
interface BackupFooter {
  end: true;
  records: Readonly<Record<string, number>>;
  sha256: string;
}

/** A file that cannot be restored from; the message names what is wrong and in which line. */
export class BackupFileError extends Error {
  override name = 'BackupFileError';
}

/**
 * The file as gzip: one JSON text in each line, a header, the records, and a footer that counts and proves them. A reading that
 * fails ends the file with a line that says why, and such a file is refused.
 */
export function writeBackup(header: BackupHeader, records: AsyncIterable<BackupRecord>): Readable {
  const gzip = createGzip();
  // What goes wrong is told by the reader of the answer, whose connection ends.
  pipeline(Readable.from(toLines(header, records)), gzip, () => undefined);
  return gzip;
}

async function* toLines(header: BackupHeader, records: AsyncIterable<BackupRecord>): AsyncGenerator<string> {
  const digest = createHash('sha256');
  const counts: Record<string, number> = Object.fromEntries(header.sections.map((name) => [name, 0]));
  const toLine = (value: object): string => {
    const line = `${JSON.stringify(value)}\n`;
    digest.update(line);
    return line;
  };
  yield toLine(header);
  try {
    for await (const record of records) {
      counts[record.section] = (counts[record.section] ?? 0) + 1;
      yield toLine(record);
    }
  } catch (error) {
    yield `${JSON.stringify({ failed: toError(error).message })}\n`;
    return;
  }
  const footer: BackupFooter = { end: true, records: counts, sha256: digest.digest('hex') };
  yield `${JSON.stringify(footer)}\n`;
}

/** What a file turned out to hold, once all of it was read. */
export interface BackupSummary {
  header: BackupHeader;
  records: Readonly<Record<string, number>>;
}

/**
 * Reads a file piece by piece. `onHeader` is called before the first record; records of one file come one after another.
 * Rejects with a BackupFileError when the file is none of ours, newer, damaged or cut off: then records before the damage have
 * been handed out already, so nothing of them may count before this resolves.
 */
export async function readBackup(
  source: Readable,
  onHeader: (header: BackupHeader) => Promise<void>,
  onRecord: (record: BackupRecord) => Promise<void>,
): Promise<BackupSummary> {
  const digest = createHash('sha256');
  const counts: Record<string, number> = {};
  let header: BackupHeader | undefined;
  let footer: BackupFooter | undefined;
  let number = 0;
  for await (const line of linesOf(source)) {
    number += 1;
    if (footer !== undefined) throw new BackupFileError(`line ${number}: something follows the end`);
    const value = parseLine(line, number);
    if (header === undefined) {
      header = toHeader(value);
      for (const name of header.sections) counts[name] = 0;
      digest.update(line).update('\n');
      await onHeader(header);
    } else if (value['end'] === true) {
      footer = value as unknown as BackupFooter;
    } else if (typeof value['failed'] === 'string') {
      throw new BackupFileError(`line ${number}: the backup was not finished: ${value['failed']}`);
    } else {
      const record = toRecord(value, header, number);
      counts[record.section] = (counts[record.section] ?? 0) + 1;
      digest.update(line).update('\n');
      await onRecord(record);
    }
  }
  if (header === undefined) throw new BackupFileError('the file is empty');
  if (footer === undefined) throw new BackupFileError(`the file is cut off after line ${number}: its last line is missing`);
  if (footer.sha256 !== digest.digest('hex')) throw new BackupFileError('the file is damaged: its checksum is another one');
  for (const [name, count] of Object.entries(counts)) {
    if (footer.records[name] !== count) throw new BackupFileError(`the file is damaged: section ${name} holds ${count} records`);
  }
  return { header, records: counts };
}

async function* linesOf(source: Readable): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  // Errors of either stream end the iteration below.
  pipeline(source, gunzip, () => undefined);
  let parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        yield Buffer.concat([...parts, chunk.subarray(from, at)]);
        parts = [];
        bytes = 0;
        from = at + 1;
      }
      parts.push(chunk.subarray(from));
      bytes += chunk.length - from;
      if (bytes > MAX_LINE_BYTES) throw new BackupFileError(`a line has more than ${MAX_LINE_BYTES} bytes`);
    }
  } catch (error) {
    if (error instanceof BackupFileError) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw new BackupFileError('the file is cut off', { cause: error });
    if (code.startsWith('Z_')) throw new BackupFileError(`the file is not gzip, or damaged: ${toError(error).message}`, { cause: error });
    throw error;
  }
  if (bytes > 0) throw new BackupFileError('the file is cut off in the middle of a line');
}

function parseLine(line: Buffer, number: number): Record<string, unknown> {
  try {
    const value = JSON.parse(line.toString('utf8')) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below; the parser's own words would repeat the line.
  }
  throw new BackupFileError(number === 1 ? 'the file is no backup of ours' : `line ${number} is no JSON object`);
}

function toHeader(value: Record<string, unknown>): BackupHeader {
  if (value['format'] !== BACKUP_FORMAT) throw new BackupFileError('the file is no backup of ours');
  const { version, createdAt, sections, activeRollouts } = value;
  if (typeof version !== 'number' || !Number.isInteger(version)) throw new BackupFileError('the header has no version');
  if (version > BACKUP_VERSION)
    throw new BackupFileError(`the file has version ${version}, this release knows ${BACKUP_VERSION}: restore it with a newer release`);
  if (typeof createdAt !== 'string' || Number.isNaN(Date.parse(createdAt))) throw new BackupFileError('the header has no time');
  if (!isTexts(sections)) throw new BackupFileError('the header has no list of sections');
  if (!isTexts(activeRollouts)) throw new BackupFileError('the header has no list of rollouts that go on');
  return { format: BACKUP_FORMAT, version, createdAt, sections, activeRollouts };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function toRecord(value: Record<string, unknown>, header: BackupHeader, number: number): BackupRecord {
  const { section, record } = value;
  if (typeof section !== 'string' || !header.sections.includes(section))
    throw new BackupFileError(`line ${number} belongs to no section of the header`);
  if (typeof record !== 'object' || record === null) throw new BackupFileError(`line ${number} holds no record`);
  return { section, record: record as Record<string, unknown> };
}
