import { describe, expect, it } from 'vitest';
import {
  type OptionName,
  OPTIONS,
  ignoredServiceLinks,
  loggableValues,
  parseEnvironment,
  renderConfigurationTable,
} from './environment.ts';
import { ConfigurationError } from './errors.ts';
import { LOG_LEVELS } from './logger.ts';

const NAMES = Object.keys(OPTIONS) as OptionName[];

function problems(environment: Record<string, string>): readonly string[] {
  try {
    parseEnvironment(NAMES, environment);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

describe('environment', () => {
  it('has the documented defaults', () => {
    expect(parseEnvironment(NAMES, {})).toMatchObject({
      OPAMP_REDIS_URL: 'redis://127.0.0.1:6379',
      OPAMP_KEY_PREFIX: 'opamp',
      OPAMP_LOG_LEVEL: 'info',
      OPAMP_GATEWAY_ID: undefined,
      OPAMP_GATEWAY_HOST: '0.0.0.0',
      OPAMP_GATEWAY_PORT: 4320,
      OPAMP_GATEWAY_PATH: '/v1/opamp',
      OPAMP_GATEWAY_ADMIN_PORT: 9320,
      OPAMP_GATEWAY_MAX_MESSAGE_BYTES: 67_108_864,
      OPAMP_GATEWAY_OFFER_RATE: 50,
      OPAMP_GATEWAY_LEASE_MS: 15_000,
      OPAMP_GATEWAY_CUSTOM_CAPABILITIES: [],
      OPAMP_COORDINATOR_HOST: '127.0.0.1',
      OPAMP_COORDINATOR_PORT: 4330,
      OPAMP_COORDINATOR_ADMIN_PORT: 9330,
      OPAMP_REDIS_MIN_REPLICAS: 0,
      OPAMP_AGENT_AUTH: 'none',
      OPAMP_API_TOKENS_FILE: undefined,
      OPAMP_API_URL: undefined,
    });
  });

  it('accepts every default that can be written as text', () => {
    for (const name of NAMES) {
      const option = OPTIONS[name];
      if (option.default === undefined || Array.isArray(option.default)) continue;
      expect(option.parse(String(option.default)), name).toBe(option.default);
    }
  });

  it('types each value', () => {
    const values = parseEnvironment(['OPAMP_GATEWAY_PORT', 'OPAMP_GATEWAY_ID', 'OPAMP_AGENT_AUTH'], {});
    const port: number = values.OPAMP_GATEWAY_PORT;
    const id: string | undefined = values.OPAMP_GATEWAY_ID;
    const auth: 'none' | 'token' | 'mtls' = values.OPAMP_AGENT_AUTH;
    expect([port, id, auth]).toEqual([4320, undefined, 'none']);
    // @ts-expect-error a setting that was not named is not there
    expect(values.OPAMP_LOG_LEVEL).toBeUndefined();
  });

  it('refuses unknown names and malformed values together', () => {
    const found = problems({
      OPAMP_GATEWAY_PROT: '1',
      OPAMP_GATEWAY_PORT: 'x',
      OPAMP_REDIS_URL: 'http://user:s3cret@host',
      OPAMP_KEY_PREFIX: '{opamp}',
      OPAMP_GATEWAY_ID: 'a:b',
      OPAMP_GATEWAY_PATH: 'opamp',
      OPAMP_API_URL: 'localhost:4330',
    });
    expect(found.map((problem) => problem.split(':')[0]).toSorted()).toEqual([
      'OPAMP_API_URL',
      'OPAMP_GATEWAY_ID',
      'OPAMP_GATEWAY_PATH',
      'OPAMP_GATEWAY_PORT',
      'OPAMP_GATEWAY_PROT',
      'OPAMP_KEY_PREFIX',
      'OPAMP_REDIS_URL',
    ]);
    expect(found.join()).not.toContain('s3cret');
    expect(found.join()).toContain('did you mean OPAMP_GATEWAY_PORT?');
  });

  it('keeps the word for HTTP pollers from being a gateway id', () => {
    expect(problems({ OPAMP_GATEWAY_ID: 'http' })).toHaveLength(1);
    expect(problems({ OPAMP_GATEWAY_ID: 'gw-1.example_a' })).toEqual([]);
  });

  it('lists the service links that it ignores', () => {
    const environment = {
      OPAMP_GATEWAY_PORT: 'tcp://10.0.0.1:4320',
      OPAMP_GATEWAY_SERVICE_HOST: '10.0.0.1',
      OPAMP_GATEWAY_HOST: '::',
      OTHER_SERVICE_HOST: 'x',
    };
    expect(problems(environment)).toEqual([]);
    expect(ignoredServiceLinks(environment)).toEqual(['OPAMP_GATEWAY_PORT', 'OPAMP_GATEWAY_SERVICE_HOST']);
  });

  it('hides secrets from logs', () => {
    const values = parseEnvironment(['OPAMP_REDIS_URL', 'OPAMP_API_TOKEN', 'OPAMP_GATEWAY_PORT'], {
      OPAMP_REDIS_URL: 'redis://user:s3cret@redis.example:6380/1',
      OPAMP_API_TOKEN: 's3cret',
    });
    expect(loggableValues(values)).toEqual({ OPAMP_REDIS_URL: 'redis.example:6380', OPAMP_API_TOKEN: '[set]', OPAMP_GATEWAY_PORT: 4320 });
  });

  it('offers exactly the levels of the logger', () => {
    for (const level of LOG_LEVELS) expect(parseEnvironment(['OPAMP_LOG_LEVEL'], { OPAMP_LOG_LEVEL: level }).OPAMP_LOG_LEVEL).toBe(level);
    expect(problems({ OPAMP_LOG_LEVEL: 'verbose' })).toHaveLength(1);
  });

  it('documents each setting once', () => {
    const table = renderConfigurationTable();
    for (const name of NAMES) expect(table.split(`\n| \`${name}\` |`), name).toHaveLength(2);
    for (const option of Object.values(OPTIONS)) expect(option.sentence).toMatch(/^[A-Z].*\.$/);
  });
});
