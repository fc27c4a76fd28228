/** Copies of the built packages that can be changed, or kept as they are while the originals are built anew. */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = ['shared', 'gateway', 'coordinator'] as const;
const PARTS = ['package.json', 'dist', 'lua'] as const;

/** Where copies go; git ignores it, and Node finds all other packages on the way up from there. */
export const SCRATCH = join(REPOSITORY, '.tmp');

/** One change of a built file, as a defect that a person could have written. */
export interface Mutation {
  /** Name of the copy's directory. */
  readonly name: string;
  /** What is missing or wrong then. */
  readonly does: string;
  /** Relative to `packages`. */
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

async function partsOf(name: string): Promise<readonly string[]> {
  const present = new Set(await readdir(join(REPOSITORY, 'packages', name)));
  return PARTS.filter((part) => present.has(part));
}

/**
 * Copies the built packages to `root`, with a node_modules that leads the copies to each other. Answers `root`. Rejects when
 * the packages are not built.
 */
export async function copyBuild(root: string): Promise<string> {
  await rm(root, { recursive: true, force: true });
  const modules = join(root, 'node_modules', '@opamp-gateway');
  await mkdir(modules, { recursive: true });
  for (const name of PACKAGES) {
    const parts = await partsOf(name);
    if (!parts.includes('dist')) throw new Error(`packages/${name} is not built: run npm run build`);
    const target = join(root, 'packages', name);
    for (const part of parts) await cp(join(REPOSITORY, 'packages', name, part), join(target, part), { recursive: true });
    await symlink(target, join(modules, name), 'dir');
  }
  return root;
}

/** Changes one file of a copy. Rejects when the text is not there exactly once: then the mutation needs a new look. */
export async function mutate(root: string, { name, file, find, replace }: Mutation): Promise<void> {
  const path = join(root, 'packages', file);
  const text = await readFile(path, 'utf8');
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`mutation ${name}: its text stands ${count} times in ${file}, not once: ${find}`);
  await writeFile(
    path,
    text.replace(find, () => replace),
  );
}

/** A copy of the build with one defect in it. Answers its root. */
export async function createMutant(mutation: Mutation): Promise<string> {
  const root = await copyBuild(join(SCRATCH, 'mutants', mutation.name));
  await mutate(root, mutation);
  return root;
}

/** Digest of everything a copy holds: two copies with the same one behave the same. */
export async function digestOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of PACKAGES) {
    const directory = join(root, 'packages', name);
    for (const part of ['dist', 'lua']) {
      const files = await readdir(join(directory, part), { recursive: true, withFileTypes: true }).catch(() => []);
      const paths = files
        .filter((file) => file.isFile() && /\.(?:js|lua)$/.test(file.name))
        .map((file) => join(file.parentPath, file.name));
      for (const path of paths.toSorted()) hash.update(path.slice(directory.length)).update(await readFile(path));
    }
  }
  return hash.digest('hex').slice(0, 16);
}
