/** What a run took place on. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../demo/config.ts';
import type { Machine } from '../report/results.ts';

const BYTES_PER_GB = 1_073_741_824;

async function commit(): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('git', ['-C', REPOSITORY, 'rev-parse', '--short', 'HEAD'], (error, stdout) =>
      resolve(error === null ? stdout.trim() : undefined),
    );
  });
}

/** Load average of the last minute: other work on the machine shows in every figure. */
export function currentLoad(): number {
  return loadavg()[0] ?? 0;
}

/** Hardware and versions; `redis` as INFO names it, `loadAverage` from before the run. */
export async function describeMachine(redis: string | undefined, loadAverage: number): Promise<Machine> {
  const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as { readonly version: string };
  const revision = await commit();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cpus: cpus().length,
    memoryGb: totalmem() / BYTES_PER_GB,
    os: `${type()} ${release()}`,
    loadAverage,
    node: process.version,
    redis: redis ?? 'Redis not watched',
    product: revision === undefined ? version : `${version} (${revision})`,
  };
}
