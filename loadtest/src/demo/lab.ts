/** The part of the demo with a real supervisor and a real collector, in a group of their own. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentView } from './api-client.ts';
import { REPOSITORY } from './config.ts';
import type { Installation, ProcessGroup } from './processes.ts';
import { startSupervisor } from './real-agents.ts';
import type { Stage } from './story.ts';

const GROUP = 'lab';
const DEADLINE_MS = 120_000;
const REFRESH_MS = 500;
const STRATEGY = {
  waves: [{ size: { percent: 100 }, soak: '1s' }],
  rate: 'unlimited',
  ackTimeout: '60s',
  healthHold: '1s',
  failure: { maxCount: 0 },
  onFailure: 'rollback',
};

async function waitFor<Result>(stage: Stage, what: string, look: () => Promise<Result | undefined>): Promise<Result> {
  const deadlineMs = Date.now() + DEADLINE_MS;
  for (;;) {
    stage.check();
    const result = await look();
    if (result !== undefined) return result;
    if (Date.now() > deadlineMs) throw new Error(`waited ${DEADLINE_MS / 1_000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

/** Gives a real collector two configs; answers whether it acknowledged both. */
export async function runLab(
  stage: Stage,
  group: ProcessGroup,
  installation: Installation,
  binaries: { readonly supervisor: string; readonly collector: string },
): Promise<boolean> {
  const { api, terminal } = stage;
  terminal.line();
  terminal.line(terminal.paint('bold', 'A real supervisor with a real collector'));
  await api.putGroup(GROUP, `env=${GROUP}`, 10);
  const endpoint = (installation.gatewayUrls[0] ?? '').replace(/^http:/, 'ws:');
  await startSupervisor(group, endpoint, binaries, GROUP);
  const find = async (): Promise<AgentView | undefined> => (await api.listAgents(`env=${GROUP}`)).find(({ connected }) => connected);
  const { uid } = await waitFor(stage, 'the supervisor', find);
  terminal.line(`  connected as ${uid}`);
  for (const file of ['core-1-baseline.yaml', 'core-2-dual-export.yaml']) {
    const yaml = await readFile(join(REPOSITORY, 'loadtest', 'configs', file), 'utf8');
    const { name, version, hash } = await api.putConfig('core', yaml, file);
    const id = await api.createRollout({ group: GROUP, config: { name, version }, strategy: STRATEGY, reason: file });
    const phase = await waitFor(stage, `the rollout of ${file}`, async () => {
      const rollout = await api.getRollout(id);
      return rollout.phase === 'running' || rollout.phase === 'rolling_back' ? undefined : rollout.phase;
    });
    const config = (await find())?.config;
    const isApplied = phase === 'succeeded' && config?.status === 'applied' && config.hash === hash;
    terminal.line(
      `  ${isApplied ? terminal.paint('green', '✓') : terminal.paint('red', '✗')} ${file}: ${phase}, the collector says ${config?.status ?? 'nothing'}`,
    );
    if (!isApplied) return false;
  }
  return true;
}
