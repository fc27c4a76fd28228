import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openTokenFile, parseTokens } from './token-file.ts';

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
const ADMIN = { role: 'admin', scope: '*', expiresAtMs: undefined };

const directory = mkdtempSync(join(tmpdir(), 'token-file-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('token files', () => {
  it('reads lines, an object and a list; without a role a token is an admin’s', () => {
    const expected = [
      { name: 'ci', digest: sha256('abcdefghijklmnop'), ...ADMIN },
      { name: 'alice', digest: sha256('qrstuvwxyz:123456'), ...ADMIN },
    ];
    expect(parseTokens('# people\n\nci:abcdefghijklmnop\r\nalice : qrstuvwxyz:123456\n', 'f')).toEqual(expected);
    expect(parseTokens('{"ci":"abcdefghijklmnop","alice":"qrstuvwxyz:123456"}', 'f')).toEqual(expected);
    expect(parseTokens('[{"name":"ci","token":"abcdefghijklmnop"},{"name":"alice","token":"qrstuvwxyz:123456"}]', 'f')).toEqual(expected);
  });

  it('reads roles, groups and an end in each form', () => {
    const expected = [
      {
        name: 'ci',
        digest: sha256('abcdefghijklmnop'),
        role: 'operator',
        scope: new Set(['prod', 'edge']),
        expiresAtMs: Date.UTC(2027, 0, 31),
      },
      { name: 'eve', digest: sha256('qrstuvwxyz:123456'), role: 'viewer', scope: '*', expiresAtMs: undefined },
    ];
    expect(
      parseTokens(
        'ci:abcdefghijklmnop role=operator groups=prod,edge expires=2027-01-31\neve:qrstuvwxyz:123456\trole=viewer groups=*',
        'f',
      ),
    ).toEqual(expected);
    const ci = { token: 'abcdefghijklmnop', role: 'operator', groups: ['prod', 'edge'], expires: '2027-01-31T00:00:00Z' };
    const eve = { token: 'qrstuvwxyz:123456', role: 'viewer' };
    expect(parseTokens(JSON.stringify({ ci, eve }), 'f')).toEqual(expected);
    expect(
      parseTokens(
        JSON.stringify([
          { name: 'ci', ...ci },
          { name: 'eve', ...eve },
        ]),
        'f',
      ),
    ).toEqual(expected);
  });

  it('takes a digest instead of the token', () => {
    const path = join(directory, 'hashed');
    writeFileSync(path, `ci:sha256:${sha256('a-token-of-some-length').toString('hex')} role=viewer\n`);
    const file = openTokenFile(path);
    expect(file.verify('a-token-of-some-length', 0)).toMatchObject({ kind: 'ok', holder: { name: 'ci', role: 'viewer' } });
    expect(file.verify(`sha256:${sha256('a-token-of-some-length').toString('hex')}`, 0)).toEqual({ kind: 'unknown' });
  });

  it('tells an expired token from an unknown one', () => {
    const path = join(directory, 'expiring');
    writeFileSync(path, 'ci:abcdefghijklmnop expires=2027-01-31T12:00:00Z\n');
    const file = openTokenFile(path);
    const endMs = Date.UTC(2027, 0, 31, 12);
    expect(file.verify('abcdefghijklmnop', endMs - 1).kind).toBe('ok');
    expect(file.verify('abcdefghijklmnop', endMs).kind).toBe('expired');
    expect(file.verify('abcdefghijklmnoq', endMs).kind).toBe('unknown');
  });

  it.each([
    ['', 'no token'],
    ['ci', 'line 1: expected name:token'],
    ['ci:short', 'line 1: expected a token'],
    ['a b:abcdefghijklmnop', 'line 1: expected a name'],
    ['ci:abcdefghijklmnop\nci:ponmlkjihgfedcba', 'line 2: the name ci stands there twice'],
    ['ci:abcdefghijklmnop role=root', 'line 1: expected a role: viewer, operator, approver, admin'],
    ['ci:abcdefghijklmnop rolle=viewer', 'line 1: expected role=, groups= or expires= behind the token'],
    ['ci:abcdefghijklmnop role=viewer role=admin', 'line 1: role= stands there twice'],
    ['ci:abcdefghijklmnop groups=,', 'line 1: expected groups'],
    ['ci:abcdefghijklmnop expires=tomorrow', 'line 1: expected a time'],
    ['ci:sha256:abcdefghijklmnop', 'line 1: expected 64 hex digits'],
    ['{"ci":1}', 'entry 1: expected a token'],
    ['{"ci":{"token":"abcdefghijklmnop","roles":["viewer"]}}', 'entry 1: there is no field "roles"'],
    ['{"ci":{"token":"abcdefghijklmnop","groups":[]}}', 'entry 1: expected groups'],
    ['[1]', 'entry 1: expected a name'],
    ['{', 'not valid JSON'],
  ])('refuses %j and says where, without the token', (text, message) => {
    expect(() => parseTokens(text, '/etc/tokens')).toThrow(message);
    expect(() => parseTokens(text, '/etc/tokens')).not.toThrow('abcdefghijklmnop');
  });
});
