import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SOAK_DIRECTORY } from './state.ts';

const LOCK_FILE = join(SOAK_DIRECTORY, 'lock');

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** One soak at a time, for they share their files. Rejects when another one runs; let go when the process ends. */
export async function takeLock(): Promise<void> {
  await mkdir(SOAK_DIRECTORY, { recursive: true });
  try {
    await writeFile(LOCK_FILE, String(process.pid), { flag: 'wx' });
  } catch {
    const owner = Number(await readFile(LOCK_FILE, 'utf8'));
    if (isAlive(owner)) throw new Error(`another soak is running (process ${owner})`);
    await rm(LOCK_FILE, { force: true });
    await takeLock();
    return;
  }
  process.on('exit', () => rmSync(LOCK_FILE, { force: true }));
}
