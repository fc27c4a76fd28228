import { describe, expect, it } from 'vitest';
import { coordinatorConfig, readConfig } from './config.ts';

describe('the configuration of a coordinator', () => {
  it('has the defaults of the documentation', () => {
    const { config, ignored } = readConfig({});
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 4330,
      adminHost: '127.0.0.1',
      adminPort: 9330,
      keyPrefix: 'opamp',
      queue: true,
      minReplicas: 0,
      commandTimeoutMs: 5000,
    });
    expect(config.id).toMatch(/-[0-9a-f]{8}$/);
    expect(ignored).toEqual([]);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', 'example.org'])('refuses to be reached at %s without tokens, and says what to do', (host) => {
    expect(() => readConfig({ OPAMP_COORDINATOR_HOST: host })).toThrow(/OPAMP_API_TOKENS_FILE/);
    expect(readConfig({ OPAMP_COORDINATOR_HOST: host, OPAMP_API_TOKENS_FILE: '/tokens' }).config.host).toBe(host);
  });

  it.each(['localhost', '127.0.0.1', '127.1.2.3', '::1'])('needs no tokens on %s', (host) => {
    expect(coordinatorConfig({ redisUrl: 'redis://x', host }).host).toBe(host);
  });

  it('names everything that is wrong at once', () => {
    const read = (): unknown => readConfig({ OPAMP_COORDINATOR_PORT: 'http', OPAMP_COORDINATOR_PROT: '1', OPAMP_REDIS_URL: 'mysql://x' });
    expect(read).toThrow(/OPAMP_COORDINATOR_PORT[^]*OPAMP_REDIS_URL|OPAMP_REDIS_URL[^]*OPAMP_COORDINATOR_PORT/);
    expect(read).toThrow(/did you mean OPAMP_COORDINATOR_PORT/);
  });

  it('takes networks of load balancers, and refuses what is none', () => {
    expect(readConfig({ OPAMP_API_TRUSTED_PROXIES: '10.0.0.0/8,::1' }).config.trustedProxies).toEqual(['10.0.0.0/8', '::1']);
    expect(() => readConfig({ OPAMP_API_TRUSTED_PROXIES: '10.0.0.0/8,lb.internal' })).toThrow(/OPAMP_API_TRUSTED_PROXIES: lb\.internal/);
  });

  it('ignores what Kubernetes makes for services, and tells', () => {
    const { config, ignored } = readConfig({ OPAMP_COORDINATOR_PORT: 'tcp://10.0.0.1:4330', OPAMP_COORDINATOR_SERVICE_HOST: '10.0.0.1' });
    expect(config.port).toBe(4330);
    expect(ignored).toEqual(['OPAMP_COORDINATOR_PORT', 'OPAMP_COORDINATOR_SERVICE_HOST']);
  });
});
