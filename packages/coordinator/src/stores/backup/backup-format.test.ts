import { Readable } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BACKUP_FORMAT, BACKUP_VERSION, readBackup, writeBackup } from './backup-format.ts';
import type { BackupHeader, BackupRecord } from './backup-format.ts';

const HEADER: BackupHeader = {
  format: BACKUP_FORMAT,
  version: BACKUP_VERSION,
  createdAt: '2026-01-02T03:04:05.000Z',
  sections: ['one', 'two'],
  activeRollouts: [],
};
const RECORDS: BackupRecord[] = [
  { section: 'one', record: { text: 'line\nfeed \u2028 and ü' } },
  { section: 'one', record: { text: 'x'.repeat(300_000) } },
  { section: 'two', record: { list: ['a', 'b'] } },
];

async function* recordsOf(records: readonly BackupRecord[], failure?: Error): AsyncGenerator<BackupRecord> {
  yield* records;
  if (failure !== undefined) throw failure;
}

async function fileOf(records: readonly BackupRecord[] = RECORDS, header = HEADER, failure?: Error): Promise<Buffer> {
  return Buffer.concat(await writeBackup(header, recordsOf(records, failure)).toArray());
}

async function read(file: Buffer): Promise<{ records: BackupRecord[]; counts: Readonly<Record<string, number>> }> {
  const records: BackupRecord[] = [];
  // Small pieces: lines and gzip blocks end anywhere in them.
  const pieces = Array.from({ length: Math.ceil(file.length / 97) }, (_, index) => file.subarray(index * 97, index * 97 + 97));
  const summary = await readBackup(
    Readable.from(pieces),
    async () => undefined,
    async (record) => void records.push(record),
  );
  return { records, counts: summary.records };
}

function edited(file: Buffer, edit: (lines: string[]) => string[]): Buffer {
  return gzipSync(edit(gunzipSync(file).toString().split('\n')).join('\n'));
}

describe('a backup file', () => {
  it('is read as it was written', async () => {
    expect(await read(await fileOf())).toEqual({ records: RECORDS, counts: { one: 2, two: 1 } });
    expect(await read(await fileOf([]))).toEqual({ records: [], counts: { one: 0, two: 0 } });
  });

  it.each<[string, (file: Buffer) => Buffer | Promise<Buffer>, string]>([
    ['is empty', () => Buffer.alloc(0), 'the file is'],
    ['is not gzip', () => Buffer.from('hello, hello, hello'), 'not gzip'],
    ['is another file', () => gzipSync('{"a":1}\n'), 'no backup of ours'],
    ['is no JSON', () => gzipSync('hello\n'), 'no backup of ours'],
    ['is newer', () => fileOf(RECORDS, { ...HEADER, version: BACKUP_VERSION + 1 }), `version ${BACKUP_VERSION + 1}, this release knows`],
    ['is cut off in the middle', (file) => file.subarray(0, file.length / 2), 'cut off'],
    ['has no last line', (file) => edited(file, (lines) => [...lines.slice(0, -2), '']), 'its last line is missing'],
    ['lacks a record', (file) => edited(file, (lines) => lines.filter((_, index) => index !== 2)), 'checksum'],
    ['has a changed record', (file) => edited(file, (lines) => lines.map((line) => line.replace('"b"', '"c"'))), 'checksum'],
    [
      'has a record of no section',
      (file) => edited(file, (lines) => lines.map((line) => line.replace('"section":"two"', '"section":"six"'))),
      'no section',
    ],
    ['goes on after its end', (file) => edited(file, (lines) => [...lines, '{}', '']), 'follows the end'],
    ['was not finished', () => fileOf(RECORDS, HEADER, new Error('Redis went away')), 'not finished: Redis went away'],
  ])('that %s is refused', async (_what, change, message) => {
    await expect(read(await change(await fileOf()))).rejects.toThrow(message);
  });

  it('with a changed byte is refused', async () => {
    const file = await fileOf();
    file[file.length - 200] = (file[file.length - 200] ?? 0) ^ 0xff;
    await expect(read(file)).rejects.toThrow(/damaged|cut off|JSON/);
  });
});
