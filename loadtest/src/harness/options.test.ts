import { describe, expect, it } from 'vitest';
import { configText } from './config-text.ts';
import { type LoadTestOptions, parseCommand, UsageError } from './options.ts';

function optionsOf(...argv: readonly string[]): LoadTestOptions {
  const command = parseCommand(argv, {});
  if (command.kind !== 'run') throw new Error(`it is a ${command.kind}`);
  return command.options;
}

describe('the command line', () => {
  it('has defaults for a local run', () => {
    expect(optionsOf('--local')).toMatchObject({
      target: { kind: 'local', gateways: 2, coordinators: 1 },
      agents: 5_000,
      workers: 1,
      scenarios: ['ramp', 'rollout'],
      agentsPerAddress: 0,
      lean: false,
    });
  });

  it('grows gateways, workers and addresses with the fleet', () => {
    expect(optionsOf('--local', '--agents', '100000')).toMatchObject({
      target: { gateways: 7 },
      workers: 10,
      agentsPerAddress: 20_000,
      lean: true,
    });
  });

  it('reads the waves of rollouts', () => {
    expect(optionsOf('--local').waves).toBeUndefined();
    expect(optionsOf('--local', '--waves', '20,10%,100%').waves).toEqual([{ count: 20 }, { percent: 10 }, { percent: 100 }]);
  });

  it('waits longer for very large fleets', () => {
    expect(optionsOf('--local').deadlineMs).toBe(300_000);
    expect(optionsOf('--local', '--agents', '200000').deadlineMs).toBe(600_000);
    expect(optionsOf('--local', '--agents', '200000', '--deadline', '60').deadlineMs).toBe(60_000);
  });

  it('puts scenarios in their order, the ramp first', () => {
    expect(optionsOf('--local', '--scenario', 'storm,rollout').scenarios).toEqual(['ramp', 'rollout', 'storm']);
    expect(optionsOf('--url', 'ws://a/', '--api', 'http://b', '--scenario', 'all').scenarios).toEqual([
      'ramp',
      'rollout',
      'refuse',
      'storm',
      'soak',
      'stuck',
    ]);
  });

  it('grows the million by steps, alone', () => {
    const { scenarios, steps, workers, heartbeatMs, deadlineMs, target } = optionsOf(
      '--local',
      '--scenario',
      'million',
      '--agents',
      '1000000',
    );
    expect({ scenarios, steps, workers, heartbeatMs, deadlineMs }).toEqual({
      scenarios: ['million'],
      steps: { agents: 200_000, gateways: 13, workers: 11 },
      workers: 55,
      heartbeatMs: 60_000,
      deadlineMs: 600_000,
    });
    expect(target).toMatchObject({ settings: { OPAMP_GATEWAY_PING_INTERVAL_MS: '90000', OPAMP_GATEWAY_PONG_TIMEOUT_MS: '180000' } });
    expect(optionsOf('--local', '--scenario', 'million', '--agents', '6000', '--step', '2000').steps).toEqual({
      agents: 2_000,
      gateways: 1,
      workers: 1,
    });
    expect(optionsOf('--local', '--scenario', 'all').scenarios).not.toContain('million');
  });

  it('lets agents behave otherwise, by fraction', () => {
    expect(optionsOf('--local')).toMatchObject({ behaviours: { slow: 0, failed: 0, flapping: 0 }, reconnect: 'opamp-go' });
    expect(
      optionsOf('--local', '--slow-fraction', '0.2', '--failed-fraction', '0.1', '--flapping-fraction', '0.05', '--reconnect', 'polite'),
    ).toMatchObject({ behaviours: { slow: 0.2, failed: 0.1, flapping: 0.05 }, reconnect: 'polite' });
  });

  it('takes several URLs, and the API from the environment', () => {
    const command = parseCommand(['--url', 'ws://a/', '--url', 'wss://b/'], { OPAMP_API_URL: 'http://c', OPAMP_API_TOKEN: 't' });
    expect(command).toMatchObject({
      options: { target: { kind: 'url', urls: ['ws://a/', 'wss://b/'], apiUrl: 'http://c', apiToken: 't' } },
    });
  });

  it.each([
    [[]],
    [['--local', '--url', 'ws://a/']],
    [['--url', 'ws://a/']],
    [['--local', '--agents', 'many']],
    [['--local', '--agents', '0']],
    [['--local', '--scenario', 'nonsense']],
    [['--url', 'ws://a/', '--api', 'http://b', '--scenario', 'drain']],
    [['--local', '--set', 'PATH=1']],
    [['--local', '--soak-minutes', '0']],
    [['--url', 'ws://a/', '--api', 'http://b', '--scenario', 'tls']],
    [['--local', '--scenario', 'million,rollout']],
    [['--url', 'ws://a/', '--api', 'http://b', '--scenario', 'million']],
    [['--local', '--scenario', 'million', '--step', '0']],
    [['--local', '--wat']],
    [['--local', '--soak', 'banana']],
    [['--url', 'nonsense', '--api', 'http://b']],
    [['--url', 'ftp://a/', '--api', 'http://b']],
    [['--url', 'ws://a/', '--api', 'nonsense']],
    [['--scenario', 'peer', '--agents', '10']],
    [['--url', 'ws://a/', '--api', 'http://b', '--scenario', 'peer']],
    [['--local', '--scenario', 'peer,ramp']],
    [['--local', '--reconnect', 'rude']],
    [['--local', '--failed-fraction', '0.5']],
    [['--local', '--slow-fraction', '0.9', '--flapping-fraction', '0.2']],
    [['--local', '--slow-fraction', '0.1', '--scenario', 'refuse']],
    [['--local', '--flapping-fraction', '0.1', '--apply-ms', '0']],
    [['--local', 'extra']],
    [['--local', '--agents', '30000', '--workers', '1']],
    [['--local', '--gateways', '1', '--scenario', 'gateway-kill']],
    [['--local', '--gateways', '1', '--scenario', 'all']],
    [['--url', 'ws://a/', '--api', 'http://b', '--gateways', '3']],
    [['--url', 'ws://a/', '--api', 'http://b', '--set', 'OPAMP_LOG_LEVEL=debug']],
    [['--url', 'ws://a/', '--api', 'http://b', '--agents-per-address', '3']],
    [['--compare', 'one.json']],
  ])('refuses %j', (argv) => {
    expect(() => parseCommand(argv, {})).toThrow(UsageError);
  });

  it.each(['20', '20,10%', '100%,20', '20%,10%,100%', '20,10,100%', '0,100%', '1.5,100%', '120%', 'some,100%', ''])(
    'refuses the waves "%s"',
    (waves) => {
      expect(() => parseCommand(['--local', '--waves', waves], {})).toThrow(UsageError);
    },
  );
});

it.each([1_024, 4_096, 65_536, 262_144])('makes a config of exactly %i bytes', (bytes) => {
  const text = configText('a', bytes);
  expect(Buffer.byteLength(text)).toBe(bytes);
  expect(text.endsWith('\n')).toBe(true);
  expect(text).not.toBe(configText('b', bytes));
});
