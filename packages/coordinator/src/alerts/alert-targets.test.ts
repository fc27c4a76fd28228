import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Alert } from './alert.ts';
import { openAlertTargets, parseAlertTargets, wants } from './alert-targets.ts';
import type { AlertTarget } from './alert-targets.ts';

const SECRET = 'a secret of thirty-two characters';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'opamp-targets-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function one(more: string): AlertTarget {
  const [target] = parseAlertTargets(
    `targets:\n  - name: ops\n    url: https://hooks.example.org/T1\n    secrets: ["${SECRET}"]\n${more}`,
    'f',
  );
  return target as AlertTarget;
}

describe('parseAlertTargets', () => {
  it('fills in what is not given', () => {
    expect(one('')).toMatchObject({
      name: 'ops',
      secrets: [Buffer.from(SECRET)],
      headers: {},
      minSeverity: 'warning',
      types: undefined,
      timeoutMs: 10_000,
      attempts: 15,
      backoff: { firstMs: 5_000, maxMs: 3_600_000 },
    });
  });

  it('reads secrets from a file too', () => {
    const file = join(directory, 'secret');
    writeFileSync(file, `${SECRET}\n`);
    const [target] = parseAlertTargets(`targets: [{name: a, url: "http://127.0.0.1:1/", secretFile: "${file}"}]`, 'f');
    expect(target?.secrets).toEqual([Buffer.from(SECRET)]);
  });

  it('takes an empty list, which tells nobody', () => {
    expect(parseAlertTargets('targets: []', 'f')).toEqual([]);
  });

  it.each([
    ['nothing', '', 'f: must be an object'],
    ['no list', '{}', 'f: targets is required'],
    ['no name', `targets: [{url: "https://x.example/hook-abc", secrets: ["${SECRET}"]}]`, 'targets[0].name is required'],
    [
      'a name twice',
      `targets: [{name: a, url: "https://x.example", secrets: ["${SECRET}"]}, {name: a, url: "https://x.example", secrets: ["${SECRET}"]}]`,
      'targets[1].name stands there twice',
    ],
    [
      'another scheme',
      `targets: [{name: a, url: "ftp://x.example/hook-abc", secrets: ["${SECRET}"]}]`,
      'targets[0].url must be an http:// or https:// URL',
    ],
    [
      'a password in the URL',
      `targets: [{name: a, url: "https://u:hook-abc@x.example", secrets: ["${SECRET}"]}]`,
      'targets[0].url must hold no user name',
    ],
    ['no secret', 'targets: [{name: a, url: "https://x.example"}]', 'targets[0].secrets is required'],
    ['a short secret', 'targets: [{name: a, url: "https://x.example", secrets: [hook-abc]}]', 'a secret has 16 to 256 bytes'],
    [
      'an unknown field',
      `targets: [{name: a, url: "https://x.example", secrets: ["${SECRET}"], retries: 3}]`,
      'targets[0].retries is not a known field',
    ],
    [
      'an unknown type',
      `targets: [{name: a, url: "https://x.example", secrets: ["${SECRET}"], types: [rollout.lost]}]`,
      'targets[0].types must hold some of',
    ],
    [
      'our own header',
      `targets: [{name: a, url: "https://x.example", secrets: ["${SECRET}"], headers: {Webhook-Id: hook-abc}}]`,
      'targets[0].headers must be',
    ],
    ['broken YAML', 'targets: [{name: "hook-abc', 'f: not valid YAML'],
  ])('refuses %s and quotes no secret', (_name, text, problem) => {
    let message = '';
    try {
      parseAlertTargets(text, 'f');
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(problem);
    expect(message).not.toContain('hook-abc');
    expect(message).not.toContain(SECRET);
  });
});

describe('openAlertTargets', () => {
  it('keeps the former targets when the new file is not usable', () => {
    const file = join(directory, 'alerts.yaml');
    writeFileSync(file, `targets: [{name: a, url: "https://x.example", secrets: ["${SECRET}"]}]`);
    const targets = openAlertTargets(file);
    expect(targets.refresh()).toBe(false);
    writeFileSync(file, 'targets: 3');
    expect(() => targets.refresh()).toThrow(/targets must be a list/);
    expect(targets.list().map(({ name }) => name)).toEqual(['a']);
    writeFileSync(file, 'targets: []');
    expect(targets.refresh()).toBe(true);
    expect(targets.list()).toEqual([]);
  });
});

describe('wants', () => {
  const alert: Alert = { type: 'rollout.held', severity: 'warning', at: '', summary: '', group: null, rollout: null, data: {} };
  it.each([
    ['', alert, true],
    ['', { ...alert, severity: 'info' }, false],
    ['    minSeverity: info', { ...alert, severity: 'info' }, true],
    ['    minSeverity: critical', alert, false],
    ['    types: [rollout.succeeded]', alert, false],
    ['    types: [rollout.succeeded]', { ...alert, type: 'rollout.succeeded', severity: 'info' }, true],
    ['    types: [rollout.succeeded]', { ...alert, type: 'test', severity: 'info' }, true],
  ] as const)('%s', (more, given, expected) => {
    expect(wants(one(more), given)).toBe(expected);
  });
});
