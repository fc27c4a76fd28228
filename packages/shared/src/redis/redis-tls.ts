import { readFileSync } from 'node:fs';
import { ConfigurationError, toError } from '../errors.ts';
import type { RedisTls } from './client.ts';

/** The settings that name certificates, as `parseEnvironment` returns them. */
export interface RedisTlsFiles {
  readonly OPAMP_REDIS_CA_FILE: string | undefined;
  readonly OPAMP_REDIS_CERT_FILE: string | undefined;
  readonly OPAMP_REDIS_KEY_FILE: string | undefined;
}

/** Names of the settings of {@link RedisTlsFiles}. */
export const REDIS_TLS_NAMES = ['OPAMP_REDIS_CA_FILE', 'OPAMP_REDIS_CERT_FILE', 'OPAMP_REDIS_KEY_FILE'] as const;

/**
 * Reads the certificates for `rediss://`. Throws a ConfigurationError that names every setting whose file cannot be read or holds no PEM,
 * and a certificate without its key or the other way round.
 */
export function readRedisTls(files: RedisTlsFiles): RedisTls {
  const problems: string[] = [];
  const read = (name: keyof RedisTlsFiles, label: 'CERTIFICATE' | 'PRIVATE KEY'): string | undefined => {
    const file = files[name];
    if (file === undefined) return undefined;
    try {
      const text = readFileSync(file, 'utf8');
      if (!new RegExp(`-----BEGIN (?:[A-Z]+ )?${label}-----`).test(text))
        problems.push(`${name}: ${file} holds no PEM ${label.toLowerCase()}`);
      return text;
    } catch (error) {
      problems.push(`${name}: cannot read ${file}: ${toError(error).message}`);
      return undefined;
    }
  };
  const tls = {
    ca: read('OPAMP_REDIS_CA_FILE', 'CERTIFICATE'),
    cert: read('OPAMP_REDIS_CERT_FILE', 'CERTIFICATE'),
    key: read('OPAMP_REDIS_KEY_FILE', 'PRIVATE KEY'),
  };
  if ((files.OPAMP_REDIS_CERT_FILE === undefined) !== (files.OPAMP_REDIS_KEY_FILE === undefined))
    problems.push('OPAMP_REDIS_CERT_FILE and OPAMP_REDIS_KEY_FILE: set both or none');
  if (problems.length > 0) throw new ConfigurationError(problems);
  return tls;
}
