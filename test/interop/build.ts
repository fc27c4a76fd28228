import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { COLLECTOR_VERSION, JUDGE_VERSION, MIN_GO_VERSION, OPAMP_GO_BEFORE_DELTA_VERSION, OPAMP_GO_VERSION } from './versions.ts';

/** Absolute paths of the programs that the interop suite starts. */
export interface InteropBinaries {
  readonly supervisor: string;
  readonly collector: string;
  readonly judge: string;
  readonly opampGo: string;
  readonly opampGoBeforeDelta: string;
}

/** Whether this machine can build: `ready` with the Go version, or `skipped` with a reason to print. */
export type GoToolchain = { readonly kind: 'ready'; readonly version: string } | { readonly kind: 'skipped'; readonly reason: string };

/** What one artifact is made of. `build` runs in an empty folder and leaves the program there under `program`. */
interface Artifact {
  readonly name: string;
  readonly version: string;
  readonly program: string;
  readonly sources: string;
  build(go: GoRunner, scratchDir: string): Promise<void>;
}

/** Runs one command with the build's Go environment; the output goes to the artifact's log. */
type GoRunner = (cwd: string, ...command: string[]) => Promise<void>;

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CACHE_DIR = path.join(homedir(), '.cache', 'opamp-gateway', 'interop');
const LINKER = ['-trimpath', '-ldflags', '-s -w'];
const SUPERVISOR_PACKAGE = 'github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor';
const BUILDER_PACKAGE = 'go.opentelemetry.io/collector/cmd/builder';

const ARTIFACTS = {
  opampGo: {
    name: 'opamp-go-client',
    version: OPAMP_GO_VERSION,
    program: 'opamp-go-client',
    sources: 'opamp-go-client',
    build: (go, dir) => go(path.join(HERE, 'opamp-go-client'), 'go', 'build', ...LINKER, '-o', path.join(dir, 'opamp-go-client'), '.'),
  },
  opampGoBeforeDelta: {
    name: 'opamp-go-client-before-v0.23',
    version: OPAMP_GO_BEFORE_DELTA_VERSION,
    program: 'opamp-go-client',
    sources: 'opamp-go-client',
    build: (go, dir) =>
      go(
        path.join(HERE, 'opamp-go-client'),
        ...['go', 'build', '-modfile=before-v0.23.mod', '-tags', 'before_v023', ...LINKER],
        ...['-o', path.join(dir, 'opamp-go-client'), '.'],
      ),
  },
  supervisor: {
    name: 'opampsupervisor',
    version: COLLECTOR_VERSION,
    program: 'opampsupervisor',
    sources: 'supervisor',
    // `go install pkg@version` refuses modules with replace lines; as a dependency of an own module they do not count.
    build: (go, dir) =>
      go(path.join(HERE, 'supervisor'), 'go', 'build', ...LINKER, '-o', path.join(dir, 'opampsupervisor'), SUPERVISOR_PACKAGE),
  },
  collector: {
    name: 'otelcol-interop',
    version: COLLECTOR_VERSION,
    program: 'otelcol-interop',
    sources: 'collector',
    build: (go, dir) => buildCollector(go, dir, 'collector', COLLECTOR_VERSION),
  },
  judge: {
    name: 'otelcol-judge',
    version: JUDGE_VERSION,
    program: 'otelcol-judge',
    sources: 'judge',
    build: (go, dir) => buildCollector(go, dir, 'judge', JUDGE_VERSION),
  },
} satisfies Record<keyof InteropBinaries, Artifact>;

/** Builds the collector of `<sources>/builder.yaml`, whose name is `otelcol-…` as in the manifest. */
async function buildCollector(go: GoRunner, dir: string, sources: 'collector' | 'judge', version: string): Promise<void> {
  const name = sources === 'collector' ? 'otelcol-interop' : 'otelcol-judge';
  const work = path.join(dir, 'work');
  await mkdir(work);
  await copyFile(path.join(HERE, sources, 'builder.yaml'), path.join(work, 'builder.yaml'));
  await go(work, 'go', 'run', `${BUILDER_PACKAGE}@v${version}`, '--config', 'builder.yaml');
  await rename(path.join(work, name, name), path.join(dir, name));
  await rm(work, { recursive: true });
}

/** Looks for a Go that can build the suite. Starts one short process. */
export function findGo(): GoToolchain {
  const need = `Go ${MIN_GO_VERSION.join('.')} or newer`;
  const probe = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  if (probe.error !== undefined || probe.status !== 0) {
    return {
      kind: 'skipped',
      reason: `interop skipped: "go" is not on the PATH; ${need} builds the supervisor, the collector and the Go clients`,
    };
  }
  const version = probe.stdout.trim();
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) {
    return { kind: 'skipped', reason: `interop skipped: ${need} is needed, "go env GOVERSION" says ${version}` };
  }
  const [minMajor, minMinor] = MIN_GO_VERSION;
  if (Number(major) < minMajor || (Number(major) === minMajor && Number(minor) < minMinor)) {
    return { kind: 'skipped', reason: `interop skipped: ${need} is needed, found ${version}` };
  }
  return { kind: 'ready', version };
}

/**
 * Builds what is missing below the user's cache folder and returns the programs. Each artifact lies in a folder named
 * after its version and its sources, so a second call only reads a few files. Two builds at once do no harm: each works
 * in a folder of its own and the first rename wins.
 * @throws Error with the end of the build's log when a build fails.
 */
export async function buildInterop(report: (line: string) => void): Promise<InteropBinaries> {
  const go = findGo();
  if (go.kind === 'skipped') {
    throw new Error(go.reason);
  }
  const binaries: Partial<Record<keyof InteropBinaries, string>> = {};
  for (const [key, artifact] of Object.entries(ARTIFACTS)) {
    binaries[key as keyof InteropBinaries] = await ensure(artifact, go.version, report);
  }
  return binaries as InteropBinaries;
}

async function ensure(artifact: Artifact, goVersion: string, report: (line: string) => void): Promise<string> {
  const folder = path.join(CACHE_DIR, `${artifact.name}-${artifact.version}-${await sourcesHash(artifact, goVersion)}`);
  const program = path.join(folder, artifact.program);
  if (existsSync(program)) {
    return program;
  }
  const startedMs = performance.now();
  report(`interop: building ${artifact.name} ${artifact.version} with ${goVersion}`);
  await mkdir(CACHE_DIR, { recursive: true });
  const scratch = await mkdtemp(path.join(CACHE_DIR, 'building-'));
  try {
    await artifact.build(goRunner(path.join(scratch, 'build.log')), scratch);
    await publish(scratch, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  report(`interop: built ${artifact.name} in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  return program;
}

/** Moves a finished build to its place; another process may have put the same one there meanwhile. */
async function publish(scratch: string, folder: string): Promise<void> {
  try {
    await rename(scratch, folder);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') {
      throw error;
    }
  }
}

/** 12 hex digits over everything that decides what comes out of the compiler. */
async function sourcesHash(artifact: Artifact, goVersion: string): Promise<string> {
  const hash = createHash('sha256').update(`${artifact.name}\n${artifact.version}\n${goVersion}\n${process.platform}-${process.arch}\n`);
  const dir = path.join(HERE, artifact.sources);
  for (const name of (await readdir(dir)).toSorted()) {
    hash.update(`${name}\n`).update(await readFile(path.join(dir, name)));
  }
  return hash.digest('hex').slice(0, 12);
}

/** Two compilers at a time and a low priority: the build shares its machine. */
function goRunner(logFile: string): GoRunner {
  return async (cwd, ...command) => {
    const log = await open(logFile, 'a');
    try {
      const argv = ['GOFLAGS=-buildvcs=false -p=2', 'CGO_ENABLED=0', 'nice', '-n', '10', ...command];
      const child = spawn('env', argv, { cwd, stdio: ['ignore', log.fd, log.fd] });
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', resolve);
      });
      if (code !== 0) {
        const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-25).join('\n');
        throw new Error(`"${command.slice(0, 3).join(' ')}" ended with ${code} in ${path.relative(HERE, cwd)}:\n${tail}`);
      }
    } finally {
      await log.close();
    }
  };
}

if (import.meta.filename === process.argv[1]) {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const go = findGo();
  if (go.kind === 'skipped') {
    print(go.reason);
  } else {
    const startedMs = performance.now();
    for (const [name, program] of Object.entries(await buildInterop(print))) {
      print(`interop: ${name} ${program}`);
    }
    print(`interop: ready after ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  }
}
