/** A throw-away authority and a server certificate for the loopback address, made by openssl. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DAYS = '2';
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Files of a server, and the authority that agents trust, as PEM. */
export interface ServerCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly authority: string;
}

/** Makes an authority and a certificate for 127.0.0.1 in a directory. Throws when there is no openssl, or it refuses. */
export async function makeServerCertificate(directory: string): Promise<ServerCertificate> {
  const file = (name: string): string => join(directory, name);
  const openssl = async (...args: string[]): Promise<void> => {
    try {
      await run('openssl', args, { cwd: directory });
    } catch (error) {
      const why = error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'there is no openssl on the PATH' : String(error);
      throw new Error(`the certificates of the scenario tls could not be made: ${why}`, { cause: error });
    }
  };
  await writeFile(file('extensions'), 'subjectAltName=IP:127.0.0.1\n');
  const [authority, key, certificate] = [file('authority.pem'), file('server.key'), file('server.pem')];
  await openssl('req', '-x509', ...NEW_KEY, '-keyout', file('authority.key'), '-out', authority, '-days', DAYS, '-subj', '/CN=load test');
  await openssl('req', ...NEW_KEY, '-keyout', key, '-out', file('server.csr'), '-subj', '/CN=127.0.0.1');
  const signing = ['-CA', authority, '-CAkey', file('authority.key'), '-CAcreateserial', '-extfile', file('extensions')];
  await openssl('x509', '-req', '-in', file('server.csr'), ...signing, '-out', certificate, '-days', DAYS);
  return { certFile: certificate, keyFile: key, authority: await readFile(authority, 'utf8') };
}
