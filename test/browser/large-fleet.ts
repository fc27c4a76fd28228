/**
 * `npm run bench:dashboard`: the dashboard and its coordinator with a large fleet in Redis. Writes records of the real shape,
 * opens pages in Chromium, and reads the processor time of the coordinator from the kernel.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { shardOf } from '@opamp-gateway/shared/instance-uid';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import type { Browser, Page } from 'playwright-core';
import { collectorConfig } from '../support/collector-config.ts';
import { fillFleet, fillHistory } from '../support/filled-fleet.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { launchBrowser, openPage } from './support/browser.ts';

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '60' },
    dashboards: { type: 'string', default: '5' },
    repeat: { type: 'string', default: '5' },
    keep: { type: 'boolean', default: false },
  },
});
const AGENTS = Number(values.agents);
const SECONDS = Number(values.seconds);
const DASHBOARDS = Number(values.dashboards);
const REPEAT = Number(values.repeat);
const GATEWAYS = 8;
/** Linux counts processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

const lines: string[] = [];
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const note = (what: string, value: string): void => {
  lines.push(`| ${what} | ${value} |`);
  say(`${what}: ${value}`);
};

const stack = await startStack({
  gateways: 0,
  coordinatorEnv: {
    OPAMP_COORDINATOR_SWEEP_MS: '1000',
    OPAMP_COORDINATOR_GRACE_MS: '15000',
  },
});
let browser: Browser | undefined;
try {
  const client = createRedis(stack.redisUrl, 'command', createSilentLogger());
  await waitUntilReady(client, 60_000);
  const startedMs = performance.now();
  const uids = await fillFleet({ api: stack.api, client, keys: stack.keys }, { agents: AGENTS, gateways: GATEWAYS });
  await fillHistory(client, stack.keys, { agents: AGENTS, gateways: GATEWAYS });
  const memory = /used_memory_human:(\S+)/.exec(await (client as { info(section: string): Promise<string> }).info('memory'))?.[1] ?? '?';
  say(`${AGENTS} records written in ${((performance.now() - startedMs) / 1000).toFixed(1)} s, Redis holds ${memory}`);
  await closeRedis(client);
  if (values.keep) {
    process.stdout.write(`${stack.apiUrl}\nSIGINT or SIGTERM ends it\n`);
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  } else {
    browser = await launchBrowser();
    await measurePages(stack, browser, uids);
    await measureProcessor(stack, browser);
  }
} finally {
  await browser?.close();
  await stack.stop();
}
if (lines.length > 0)
  process.stdout.write(
    `${AGENTS} agents, ${GATEWAYS} gateways; ${cpus().length} x ${cpus()[0]?.model ?? '?'}\n\n| what | measured |\n|---|---|\n${lines.join('\n')}\n`,
  );

async function measurePages(running: Stack, chrome: Browser, uids: readonly string[]): Promise<void> {
  const { apiUrl } = running;
  const pid = running.pid(running.names('coordinator')[0] ?? '');
  const fleet: number[] = [];
  for (let round = 0; round < REPEAT; round += 1) {
    const { page, context } = await openPage(chrome);
    const beganMs = performance.now();
    await page.goto(apiUrl, { waitUntil: 'commit' });
    await page.locator('.number-value').first().waitFor();
    await page.getByRole('searchbox', { name: 'Find agents' }).waitFor();
    fleet.push(performance.now() - beganMs);
    await context.close();
  }
  note('fleet page usable: counts shown, search there (cold browser cache)', spread(fleet));

  const { page, context } = await openPage(chrome);
  await watchLongTasks(page);
  await page.goto(`${apiUrl}/agents`);
  await page.getByRole('row').nth(50).waitFor();
  const paging: number[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    const first = await page.getByRole('row').nth(1).innerText();
    const beganMs = performance.now();
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.waitForFunction(
      (before) => {
        const web = globalThis as unknown as { document: { querySelectorAll(selector: string): { innerText: string }[] } };
        const row = web.document.querySelectorAll('tbody tr')[0];
        return row !== undefined && !before.startsWith(row.innerText.slice(0, 20));
      },
      first,
      { polling: 10 },
    );
    paging.push(performance.now() - beganMs);
  }
  note('next page of the agents list', spread(paging));
  for (const [what, selector] of [
    ['one agent by host name', `host.name=host-${Math.floor(uids.length * 0.97)}`],
    ['one agent in the last shard', `host.name=host-${indexInLastShard(uids)}`],
  ] as const) {
    const searching: number[] = [];
    let processorMs = 0;
    for (let round = 0; round < 3; round += 1) {
      await page.goto(`${apiUrl}/agents`);
      await page.getByRole('row').nth(50).waitFor();
      const [beganMs, usedBefore] = [performance.now(), await processorSeconds(pid)];
      await page.getByRole('searchbox', { name: 'Selector' }).fill(selector);
      await page.getByRole('searchbox', { name: 'Selector' }).press('Enter');
      await page.getByRole('link', { name: selector.slice('host.name='.length), exact: true }).waitFor();
      searching.push(performance.now() - beganMs);
      processorMs += 1_000 * ((await processorSeconds(pid)) - usedBefore);
    }
    note(`search for ${what}`, `${spread(searching)}; ${Math.round(processorMs / searching.length)} ms of processor time each`);
  }
  const byUid: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    await page.goto(apiUrl);
    const beganMs = performance.now();
    await page.getByRole('searchbox', { name: 'Find agents' }).fill(uids[uids.length - 1 - round] ?? '');
    await page.getByRole('searchbox', { name: 'Find agents' }).press('Enter');
    await page.getByText('takes configs from here').waitFor();
    byUid.push(performance.now() - beganMs);
  }
  note('search for a uid, to its page', spread(byUid));
  note('longest task that blocked the page meanwhile', `${await longestTask(page)} ms`);
  await context.close();
}

/** Five people look: at the fleet, the agents, a search, the gateways and a rollout's group. */
async function measureProcessor(running: Stack, chrome: Browser): Promise<void> {
  const { apiUrl, api } = running;
  const [name] = running.names('coordinator');
  if (name === undefined) throw new Error('there is no coordinator');
  const pid = running.pid(name);
  note('coordinator alone, no dashboard', `${await share(pid, SECONDS / 2)} of a core`);

  const same = await openDashboards(chrome, new Array<string>(DASHBOARDS).fill(apiUrl));
  note(`coordinator, ${DASHBOARDS} dashboards on the fleet page`, `${await share(pid, SECONDS)} of a core`);
  await same();

  await api.putConfig('edge', collectorConfig('edge 2'), 'second version');
  const strategy = { waves: [{ size: { count: 5 }, soak: '1h' }, { size: { percent: 100 } }], onFailure: 'pause' };
  const { id } = (await api.call('POST', '/rollouts', { body: { group: 'edge', config: { name: 'edge', version: 2 }, strategy } })) as {
    id: string;
  };
  note('coordinator alone, a rollout running', `${await share(pid, SECONDS / 2)} of a core`);
  const rollout = await openDashboards(chrome, new Array<string>(DASHBOARDS).fill(`${apiUrl}/rollouts/${id}`));
  note(`coordinator, ${DASHBOARDS} dashboards on that rollout`, `${await share(pid, SECONDS)} of a core`);
  await rollout();
  const paths = ['', '/agents', '/agents?health=unhealthy', '/gateways', `/rollouts/${id}`];
  const mixed = await openDashboards(
    chrome,
    Array.from({ length: DASHBOARDS }, (_, index) => `${apiUrl}${paths[index % paths.length] ?? ''}`),
  );
  note(
    `coordinator, ${DASHBOARDS} dashboards on fleet, agents, unhealthy agents, gateways, rollout`,
    `${await share(pid, SECONDS)} of a core`,
  );
  await mixed();
}

/** Opens each address in a browser context of its own; answers what closes them. */
async function openDashboards(chrome: Browser, urls: readonly string[]): Promise<() => Promise<void>> {
  const opened = await Promise.all(
    urls.map(async (url) => {
      const { page, context } = await openPage(chrome);
      await page.goto(url);
      await page.locator('main h1').first().waitFor();
      return context;
    }),
  );
  return async () => {
    for (const context of opened) await context.close();
  };
}

/** Share of one core that a process used over some seconds. */
async function share(pid: number, seconds: number): Promise<string> {
  const [before, beganMs] = [await processorSeconds(pid), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const used = (await processorSeconds(pid)) - before;
  return (used / ((performance.now() - beganMs) / 1_000)).toFixed(3);
}

async function processorSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function watchLongTasks(page: Page): Promise<void> {
  await page.addInitScript(`
    globalThis.longestTask = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longestTask = Math.max(globalThis.longestTask, Math.round(duration));
    }).observe({ type: 'longtask', buffered: true });
  `);
}

async function longestTask(page: Page): Promise<number> {
  return Number(await page.evaluate('globalThis.longestTask'));
}

function indexInLastShard(uids: readonly string[]): number {
  // Listings go shard by shard: this one is found last.
  return uids.findIndex((uid) => shardOf(uid) === 15);
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((left, right) => left - right);
  const at = (share: number): string => `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)} ms`;
  return `median ${at(0.5)}, slowest ${at(1)}`;
}
