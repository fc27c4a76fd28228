import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Reads the certificates of a PEM file. Throws an Error that names the file when there is none in it. */
export function readAuthorities(path: string): X509Certificate[] {
  const found = readFileSync(path, 'utf8').match(PEM) ?? [];
  if (found.length === 0) throw new Error(`${path}: no certificate in it`);
  return found.map((pem) => new X509Certificate(pem));
}
