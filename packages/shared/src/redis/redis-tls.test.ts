import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRedisTls } from './redis-tls.ts';

const NONE = { OPAMP_REDIS_CA_FILE: undefined, OPAMP_REDIS_CERT_FILE: undefined, OPAMP_REDIS_KEY_FILE: undefined };
let directory = '';
let pem = '';
let key = '';
let text = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'opamp-tls-'));
  const write = (name: string, body: string): string => {
    const file = join(directory, name);
    writeFileSync(file, body);
    return file;
  };
  pem = write('cert.pem', '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n');
  key = write('key.pem', '-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n');
  text = write('text', 'nothing of the kind\n');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('readRedisTls', () => {
  it('reads what is set', () => {
    expect(readRedisTls(NONE)).toEqual({ ca: undefined, cert: undefined, key: undefined });
    const tls = readRedisTls({ OPAMP_REDIS_CA_FILE: pem, OPAMP_REDIS_CERT_FILE: pem, OPAMP_REDIS_KEY_FILE: key });
    expect(tls.ca).toContain('CERTIFICATE');
    expect(tls.key).toContain('PRIVATE KEY');
  });

  it.each([
    [
      'a file that is not there',
      () => ({ ...NONE, OPAMP_REDIS_CA_FILE: join(directory, 'none') }),
      /OPAMP_REDIS_CA_FILE: cannot read .*none/,
    ],
    ['a file that holds something else', () => ({ ...NONE, OPAMP_REDIS_CA_FILE: text }), /OPAMP_REDIS_CA_FILE: .*holds no PEM certificate/],
    ['a certificate without a key', () => ({ ...NONE, OPAMP_REDIS_CERT_FILE: pem }), /set both or none/],
    [
      'a certificate in place of the key',
      () => ({ ...NONE, OPAMP_REDIS_CERT_FILE: pem, OPAMP_REDIS_KEY_FILE: pem }),
      /OPAMP_REDIS_KEY_FILE: .*holds no PEM private key/,
    ],
  ])('refuses %s', (_what, files, message) => {
    expect(() => readRedisTls(files())).toThrow(message);
  });
});
