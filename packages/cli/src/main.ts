#!/usr/bin/env node
import { text } from 'node:stream/consumers';
import { runCli } from './cli.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => {
  interrupted.abort();
  // A second one ends the process as usual.
});
// A reader that goes away (`opampctl … | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: (message) => void process.stdout.write(message),
  err: (message) => void process.stderr.write(message),
  columns: process.stdout.isTTY ? process.stdout.columns : undefined,
  readStdin: async () => await text(process.stdin),
  env: process.env,
  nowMs: () => Date.now(),
  interrupted: interrupted.signal,
});
