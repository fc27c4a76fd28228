import { afterEach, beforeEach, expect, it } from 'vitest';
import { createScriptedServer, remoteConfig, type ScriptedServer, until } from '../test-support/scripted-server.ts';
import { createSwarmProcess, type SwarmProcess, SwarmProcessError } from './swarm-client.ts';

let server: ScriptedServer;
let swarm: SwarmProcess | undefined;

beforeEach(async () => {
  server = await createScriptedServer();
});

afterEach(async () => {
  await swarm?.close(true);
  await server.close();
});

it('runs a swarm in another process and reads its records', async () => {
  server.answer = ({ message }) => (message.sequenceNum === 0n ? { remoteConfig: remoteConfig('a: 1', 'aa') } : undefined);
  swarm = await createSwarmProcess({ urls: [server.url], agents: 25, seed: 5, timeScale: 0.02, httpFraction: 0.2, httpPollMs: 50 });
  await swarm.start();
  await until('all run it', async () => (await swarm?.summary())?.running['aa'] === 25);
  expect(await swarm.control({ do: 'disconnect' }, { fraction: 0.2 })).toBe(5);
  const records = await swarm.records({ indexes: [24] });
  expect(records).toMatchObject([{ index: 24, running: 'aa', onDisk: 'aa' }]);
  await swarm.close();
  await expect(swarm.summary()).rejects.toThrow(SwarmProcessError);
});

it('rejects bad options', async () => {
  await expect(createSwarmProcess({ urls: ['ftp://127.0.0.1/'], agents: 1 })).rejects.toThrow('ws, wss, http or https');
});
