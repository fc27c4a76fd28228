// A lock between processes on one machine: a folder, because `mkdir` either creates it or fails, whoever else tries.
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;
const TOUCH_MS = 5_000;
/** A holder touches its lock every TOUCH_MS; one that did not for this long is gone (or on a machine that is). */
const STALE_MS = 60_000;
/** Between mkdir and the owner file lies a moment; after this it was a crash. */
const OWNERLESS_MS = 10_000;

/**
 * Runs `work` while holding the lock folder `path`; waits for another holder, and takes over from a dead one.
 * The lock is let go when the process exits, whatever ends it short of SIGKILL. `work` is given a function that
 * names a child process: the lock counts as held while that child lives, even if this process is killed.
 */
export async function withLock(path, say, work) {
  await acquire(path, say);
  const release = () => rmSync(path, { recursive: true, force: true });
  process.once('exit', release);
  const touch = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // taken over while this process was suspended: nothing left to keep alive
    }
  }, TOUCH_MS);
  touch.unref();
  try {
    return await work((child) => writeOwner(path, child));
  } finally {
    clearInterval(touch);
    process.removeListener('exit', release);
    release();
  }
}

async function acquire(path, say) {
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  for (;;) {
    if (tryLock(path)) return;
    if (isStale(path)) {
      breakLock(path);
      continue;
    }
    if (!told) say(`waiting for another set-up in this folder (process ${owner(path)?.pid ?? 'unknown'}) ...`);
    told = true;
    await sleep(POLL_MS);
  }
}

function tryLock(path) {
  try {
    mkdirSync(path);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeOwner(path);
  return true;
}

function writeOwner(path, child) {
  writeFileSync(join(path, 'owner'), JSON.stringify({ pid: process.pid, child, host: hostname() }));
}

function owner(path) {
  try {
    return JSON.parse(readFileSync(join(path, 'owner'), 'utf8'));
  } catch {
    return undefined;
  }
}

function isStale(path) {
  let ageMs;
  try {
    ageMs = Date.now() - statSync(path).mtimeMs;
  } catch {
    return false; // just released: try again
  }
  const holder = owner(path);
  if (holder === undefined) return ageMs > OWNERLESS_MS;
  if (holder.host !== hostname()) return ageMs > STALE_MS;
  if (isAlive(holder.pid)) return ageMs > STALE_MS; // the number may belong to somebody else by now
  return holder.child === undefined || !isAlive(holder.child);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Removes a dead holder's lock. Only one waiter at a time may, or the second would remove the first one's new lock. */
function breakLock(path) {
  const guard = `${path}.break`;
  try {
    mkdirSync(guard);
  } catch {
    try {
      if (Date.now() - statSync(guard).mtimeMs > OWNERLESS_MS) rmSync(guard, { recursive: true, force: true });
    } catch {
      // gone meanwhile
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    return;
  }
  try {
    if (isStale(path)) rmSync(path, { recursive: true, force: true });
  } finally {
    rmSync(guard, { recursive: true, force: true });
  }
}
