/** Builds the Go server to compare with, once for each state of its source. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../demo/config.ts';

const SOURCE = join(REPOSITORY, 'loadtest', 'peers', 'opamp-go');
const SOURCE_FILES = ['main.go', 'go.mod', 'go.sum'];
const COMPILER = 'go';
const KEY_CHARS = 16;

/** Answers the program's path. Rejects with the compiler's words, or with what is missing. */
export async function buildPeer(): Promise<string> {
  const key = createHash('sha256');
  for (const file of SOURCE_FILES) key.update(await readFile(join(SOURCE, file)));
  const directory = join(homedir(), '.cache', 'opamp-gateway', 'loadtest');
  const program = join(directory, `opamp-go-${key.digest('hex').slice(0, KEY_CHARS)}`);
  if (existsSync(program)) return program;
  await mkdir(directory, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  await new Promise<void>((resolve, reject) => {
    execFile(COMPILER, ['build', '-trimpath', '-o', unfinished, '.'], { cwd: SOURCE }, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else if ('code' in error && error.code === 'ENOENT')
        reject(new Error('the peer is a Go program, and there is no Go toolchain on the PATH'));
      else reject(new Error(`go build failed: ${stderr.trim()}`));
    });
  });
  await rename(unfinished, program);
  return program;
}
