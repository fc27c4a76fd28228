import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';

/** Paths of PEM files. */
export interface TlsFiles {
  certFile: string;
  keyFile: string;
  /** Authorities that sign certificates of agents; without it none is asked for. */
  clientCaFile: string | undefined;
}

/** Throws an Error that says what is wrong with the files. */
export function checkTlsFiles({ certFile, keyFile, clientCaFile }: TlsFiles): void {
  const ca = clientCaFile === undefined ? {} : { ca: readFileSync(clientCaFile) };
  createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile), ...ca });
}

/** Changes whenever one of the files does, as far as the file system tells. */
export function stampOf({ certFile, keyFile, clientCaFile }: TlsFiles): string {
  return [certFile, keyFile, clientCaFile ?? '']
    .map((path) => statSync(path, { throwIfNoEntry: false }))
    .map((stat) => (stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`))
    .join('|');
}
