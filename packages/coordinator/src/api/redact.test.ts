import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { REDACTED, redactConfig } from './redact.ts';

describe('redactConfig', () => {
  it.each([
    ['password: hunter2'],
    ['api_key: hunter2'],
    ['apiKey: "hunter2"'],
    ["x-api-key: 'hunter2'"],
    ['headers: {Authorization: Bearer hunter2, other: 1}'],
    ['secret_access_key: hunter2'],
    ['token: >-\n  hunter2\n  more\nnext: 1'],
    ['key_pem: |\n  hunter2\n  more\n\nnext: 1'],
    ['credentials:\n  - hunter2\n  - user: hunter2'],
    ['secrets: {nested: {deep: [hunter2]}}'],
    ['endpoint: https://user:hunter2@host:1/path'],
    ['shared: &s hunter2\npassword: *s'],
    ['shared: &s {a: hunter2}\nsecret: *s'],
    ['a: 1\n---\npassword: hunter2'],
    ['password: hunter2\npassword: hunter2'],
    ['dsn: hunter2'],
    ['proxy_auth: user:hunter2'],
    // No YAML: line by line.
    ['a: [\npassword: hunter2'],
    ['a: [\n- "token" = hunter2'],
  ])('hides the secret of %j', (text) => {
    const redacted = redactConfig(text);
    expect(redacted).not.toContain('hunter2');
    expect(redacted).toContain(REDACTED);
  });

  it.each([
    ['password: ${env:PASSWORD}'],
    ['token_url: https://issuer/token'],
    ['key_file: /etc/key.pem\ncert_file: /etc/cert.pem'],
    ['insecure: true\ntoken: null\npassword: ""'],
    ['auth: {authenticator: basicauth}'],
    ['receivers: # comment\n  otlp: {protocols: {grpc: }}\n'],
    ['batch: {metadata_keys: [tenant]}'],
  ])('leaves %j as it is', (text) => {
    expect(redactConfig(text)).toBe(text);
  });

  it('keeps layout and comments, and stays YAML', () => {
    const text = 'a:\n    password: x # why\n    key_pem: |\n        one\n        two\n    b:   [1,  2]\n';
    const redacted = redactConfig(text);
    expect(redacted).toBe(`a:\n    password: "${REDACTED}" # why\n    key_pem: "${REDACTED}"\n    b:   [1,  2]\n`);
    expect(parse(redacted)).toEqual({ a: { password: REDACTED, key_pem: REDACTED, b: [1, 2] } });
  });
});
