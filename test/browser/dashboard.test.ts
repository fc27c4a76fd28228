import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collectorConfig } from '../support/collector-config.ts';
import { shareStack, useFleet, useStack } from '../support/lifetimes.ts';
import { instantVector, OutsideServer } from '../support/outside-server.ts';
import { findFreePort } from '../support/ports.ts';
import { Deployment, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { waitUntil } from '../support/wait-for.ts';
import { pasteOver, seriousFindings } from './support/browser.ts';
import { richerConfig } from './support/configs.ts';
import { confirm, rowsOf, shareBrowser } from './support/pages.ts';

/** Prometheus, as a gate asks it. */
const outside = new OutsideServer(await findFreePort());
const stack = shareStack({ coordinatorEnv: { OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS: outside.url } });
const { usePage, visit } = shareBrowser(stack);

/** Half, then all; a soak that only a person ends. */
const HALF = {
  ...FAST_STRATEGY,
  waves: [
    { size: { count: 5 }, soak: '0s' },
    { size: { percent: 50 }, soak: '10m' },
    { size: { percent: 100 }, soak: '0s' },
  ],
};

beforeAll(async () => await outside.open());
afterAll(async () => await outside.close());

/** `--good` of the style sheet, the colour of settled agents. */
const LIGHT_GOOD = [0x15, 0x73, 0x47];
const DARK_GOOD = [0x4c, 0xc3, 0x8a];

/** What of a canvas is looked at. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(
    kind: '2d',
  ): { getImageData(x: number, y: number, width: number, height: number): { readonly data: readonly number[] } } | null;
}

/** Whether the live chart has a line in this colour. */
async function paints(page: Page, rgb: readonly number[]): Promise<boolean> {
  return await page.locator('.chart canvas').evaluate((element, wanted) => {
    const canvas = element as unknown as Canvas;
    const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    for (let at = 0; at < pixels.length; at += 4)
      if (pixels[at + 3] === 255 && wanted.every((value, index) => Math.abs(value - (pixels[at + index] ?? 0)) <= 2)) return true;
    return false;
  }, rgb);
}

/** Number of the wave picture beside a status, 0 when the status does not stand there. */
async function countOf(page: Page, wave: number, status: string): Promise<number> {
  const number = page.locator('.wave').nth(wave).locator(`[data-status="${status}"]`);
  return (await number.count()) === 0 ? 0 : Number((await number.innerText()).replaceAll(',', ''));
}

describe('the dashboard', () => {
  test('starts a rollout from a config, with a preview, and shows it live to its end', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'watched', agents: 60 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('watched 1');
    await deployment.store('watched 2');
    const page = await usePage(context);

    await visit(page, '/configs/watched');
    await page.getByRole('button', { name: 'Roll out v2' }).click();
    const dialog = page.getByRole('dialog', { name: 'Start a rollout' });
    await dialog.getByLabel('Group').selectOption('watched');
    await dialog.getByText('Strategy as JSON').click();
    await dialog.getByRole('textbox', { name: /Empty means/ }).fill(JSON.stringify(HALF));
    await dialog.getByLabel('Reason').fill('seen by a test');
    await dialog.getByRole('button', { name: 'Start for 60 agents' }).waitFor();
    await waitUntil(
      'the preview to be that of the strategy',
      async () => await dialog.locator('.preview-waves').innerText(),
      (text) => /5 agents[^]*25 agents[^]*30 agents/.test(text),
    );
    await dialog.getByText(/^The config changes: [1-9]\d* lines? added, [1-9]\d* removed$/).click();
    await dialog.locator('.preview-diff').getByText('+++ watched@2').waitFor();
    await dialog.getByRole('button', { name: 'Start for 60 agents' }).click();

    await page.waitForURL(/\/rollouts\/[^/]+$/);
    const id = page.url().split('/').at(-1) ?? '';
    await page.locator('.wave').nth(1).getByText('Soaking').waitFor();
    await waitUntil(
      'the picture to show half',
      async () => [await countOf(page, 0, 'applied'), await countOf(page, 1, 'applied')],
      ([canary, half]) => canary === 5 && half === 25,
    );
    await page.getByText('live', { exact: true }).waitFor();

    const effect = await confirm(page, 'Promote', 'looks good');
    expect(effect).toContain('30 agents');
    await page.getByRole('heading', { name: /Succeeded/ }).waitFor();
    await waitUntil(
      'the picture to show the last wave',
      async () => await countOf(page, 2, 'applied'),
      (count) => count === 30,
    );
    expect((await api.getRollout(id)).counts).toEqual({ applied: 60 });
    // Half had it, half had not: the second wave could be compared, with numbers and bars.
    const comparison = page.locator('.comparison');
    expect(await comparison.locator('thead').innerText()).toMatch(/new config, 30 agents\s+without it, 30 agents/);
    expect(await comparison.locator('tbody').innerText()).toMatch(/Unhealthy\s+[\d.]+ %\s+[\d.]+ %\s+Reconnected\s+[\d.]+ %\s+[\d.]+ %/);
    expect(await comparison.locator('.bar').count()).toBe(4);
    await page.locator('.timeline').first().getByText('looks good').first().waitFor();
    expect(await page.getByRole('button', { name: 'Abort' }).count()).toBe(0);
    expect(await seriousFindings(page)).toEqual([]);
  });

  test('shows a bad rollout take itself back, with its failures grouped', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), {
      name: 'spoilt',
      agents: 60,
      profiles: [
        {
          profile: 'normal',
          fraction: 0.5,
          overrides: { failOn: [{ kind: 'validation', match: { contains: 'spoilt 2' }, error: 'no such file: ca.pem' }] },
        },
      ],
    });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('spoilt 1');
    const config = await deployment.store('spoilt 2');
    const page = await usePage(context);
    await visit(page, '/rollouts');
    const id = await deployment.start(config, {
      ...FAST_STRATEGY,
      waves: [{ size: { count: 20 }, soak: '0s' }, { size: { percent: 100 } }],
    });

    await page.getByRole('link', { name: 'spoilt → spoilt v2' }).click();
    await page.getByRole('heading', { name: /Rolled back/ }).waitFor();
    const { counts } = await api.getRollout(id);
    await waitUntil(
      'the picture to show who was taken back',
      async () => await countOf(page, 0, 'restored'),
      (count) => count === counts['restored'],
    );
    await page.getByText('no such file: ca.pem').first().waitFor();
    await page.locator('.failures a').first().click();
    await page.getByRole('heading', { name: 'Verdicts on configs, newest first' }).waitFor();
    await page.getByText('no such file: ca.pem').first().waitFor();
    await page.getByText('In sync').waitFor();
    expect(await seriousFindings(page)).toEqual([]);
  });

  test('pauses, resumes and aborts, and says how many agents each touches', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'steered', agents: 40 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('steered 1');
    const id = await deployment.start(await deployment.store('steered 2'), HALF);
    const page = await usePage(context);
    await visit(page, `/rollouts/${id}`);
    await page.locator('.wave').nth(1).getByText('Soaking').waitFor();

    expect(await confirm(page, 'Pause', 'a look first')).toContain('20 agents wait');
    await page.locator('.hold').getByText('Paused by a person').waitFor();
    expect(await page.locator('.hold').innerText()).toContain('a look first');
    expect((await api.getRollout(id)).holds).toEqual(['manual']);
    await confirm(page, 'Resume', 'fine');
    await page.locator('.hold').waitFor({ state: 'hidden' });
    expect((await api.getRollout(id)).holds).toEqual([]);

    await api.call('POST', '/fleet/freeze', { body: { reason: 'a look at all of it' } });
    try {
      await page.locator('.hold').getByText('The fleet is frozen').waitFor();
    } finally {
      await api.call('POST', '/fleet/unfreeze', { body: { reason: 'seen' } });
    }
    await page.locator('.hold').waitFor({ state: 'hidden' });

    expect(await confirm(page, 'Abort', 'not today')).toContain('20 agents that had steered v2 go back to steered v1');
    await page.getByRole('heading', { name: /Rolled back/ }).waitFor();
    await page.getByText('not today').first().waitFor();
    expect((await api.getRollout(id)).counts).toEqual({ restored: 20 });
  });

  test('shows what gates found, and lets somebody else than the author approve', async (context) => {
    const { api, directory } = stack();
    const file = join(directory, 'author-and-approver');
    await writeFile(file, 'grace:a-token-of-the-author role=admin\nada:a-token-of-the-approver role=approver\n', { mode: 0o600 });
    const url = stack().apiUrlOf(await stack().startCoordinator({ OPAMP_API_TOKENS_FILE: file }));
    const fleet = await useFleet(context, stack(), { name: 'gated', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('gated 1');
    const { name, version } = await deployment.store('gated 2');
    outside.answer = () => instantVector(0.001);
    const measured = { type: 'prometheus', query: 'errors{group="{{group}}"}', condition: 'value < 0.01', interval: '1s', timeout: '30s' };
    const strategy = {
      ...FAST_STRATEGY,
      waves: [
        { size: { count: 5 }, soak: '0s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
      gates: ['ackRatio', measured, { type: 'manual', name: 'board' }],
    };
    const { id } = (await api.at(url).call('POST', '/rollouts', {
      headers: { authorization: 'Bearer a-token-of-the-author' },
      body: { group: 'gated', config: { name, version }, strategy },
    })) as { id: string };
    const openAs = async (token: string): Promise<Page> => {
      const page = await usePage(context);
      await visit(page, `/rollouts/${id}`, url);
      await page.getByLabel('API token').fill(token);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.locator('.hold').getByText('Waits for approval').waitFor();
      return page;
    };

    const author = await openAs('a-token-of-the-author');
    await author.locator('.hold').getByText('somebody else has to approve it').waitFor();
    await author.getByRole('button', { name: 'Abort' }).waitFor();
    expect(await author.getByRole('button', { name: 'Approve' }).count()).toBe(0);

    const page = await openAs('a-token-of-the-approver');
    const gate = page.locator('.gate').filter({ hasText: 'prometheus' });
    await gate.getByText('Passed').waitFor();
    await gate.getByText('the value is 0.001, wanted value < 0.01').waitFor();
    await gate.getByText('found on').click();
    await gate.getByText('errors{group="gated"} = {"series":"0"} 0.001').waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    expect(await confirm(page, 'Approve', 'the canary is fine')).toContain('15 agents');
    await page.locator('.gate').filter({ hasText: 'by ada' }).getByText('the canary is fine').waitFor();
    await page.locator('.hold').getByText('wave 2 waits for promote').waitFor();
    expect(await confirm(page, 'Approve', 'all are fine')).toContain('the proven version of 20 agents');
    await page.getByRole('heading', { name: /Succeeded/ }).waitFor();
    expect((await api.getRollout(id)).waves.map(({ approvals }) => approvals.map(({ by }) => by))).toEqual([['ada'], ['ada']]);
  });

  test('marks an error of a config at its place, stores a version, and compares two', async (context) => {
    const { api } = stack();
    await api.putConfig('edited', collectorConfig('edited 1'), 'the first');
    const page = await usePage(context);
    await visit(page, '/configs');
    await page.getByRole('link', { name: 'edited', exact: true }).click();
    await page.getByRole('button', { name: 'Edit v1' }).click();
    const broken = richerConfig('edited 2', '5s').replace('exporters: [debug]', 'exporters: [debgu]');
    const line = broken.split('\n').findIndex((text) => text.includes('debgu')) + 1;
    await pasteOver(page, broken);
    await page.getByText('1 error', { exact: true }).waitFor();
    const marked = page.locator('.cm-lintRange-error');
    await marked.first().waitFor();
    expect(await marked.first().innerText()).toContain('debgu');
    await page.getByRole('button', { name: `line ${line}` }).waitFor();
    expect(await page.getByRole('button', { name: 'Store as a new version' }).isDisabled()).toBe(true);
    await page.getByText('Store it although it has errors').click();
    const force = page.getByRole('button', { name: 'Store with 1 error' });
    expect(await force.isDisabled()).toBe(true);
    await page.getByLabel('Reason', { exact: true }).fill('a build of our own');
    await waitUntil('the button to be enabled', async () => await force.isEnabled(), Boolean);
    expect(await seriousFindings(page)).toEqual([]);

    await pasteOver(page, richerConfig('edited 2', '5s'));
    await page.getByText('A collector can load this').waitFor();
    await page.getByLabel('What changes, and why').fill('longer batches');
    await page.getByRole('button', { name: 'Store as a new version' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Compare with v1' }).click();
    await page.getByText('processors::batch::timeout').waitFor();
    await page.locator('.cm-merge-b .cm-changedText').getByText('5s').waitFor();
    await page.locator('.cm-merge-a .cm-changedText').getByText('1s').waitFor();
    expect((await api.call('GET', '/configs/edited')) as object).toMatchObject({
      version: 2,
      message: 'longer batches',
      createdBy: 'dashboard',
    });
    expect(await seriousFindings(page)).toEqual([]);
  });

  test('finds one agent by a selector, shows all of it, pins it and restarts it', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'sought', agents: 60, attributes: { 'host.name': 'sought-{i}' } });
    const deployment = await Deployment.create(api, fleet);
    const config = await deployment.prove('sought 1');
    const other = await deployment.store('sought 2');
    const { uid } = await fleet.record(17);
    const page = await usePage(context);

    await visit(page, '/');
    await page.getByRole('searchbox', { name: 'Find agents' }).fill('env=sought, host.name=sought-17');
    await page.getByRole('searchbox', { name: 'Find agents' }).press('Enter');
    await rowsOf(page, 2);
    expect(new URL(page.url()).searchParams.get('selector')).toBe('env=sought, host.name=sought-17');
    await page.getByRole('link', { name: 'sought-17' }).click();
    await page.getByText('takes configs from here').waitFor();
    await page.getByRole('heading', { name: 'Health of its components' }).waitFor();
    await page.getByText(config.hash.slice(0, 12)).first().waitFor();
    await page.getByText('Runs what it should').waitFor();
    expect(page.url()).toContain(uid);

    await page.getByRole('button', { name: 'Pin a config' }).click();
    await page.getByLabel('Version').selectOption(String(other.version));
    await page.getByRole('button', { name: 'Pin', exact: true }).click();
    await page.getByRole('button', { name: 'Remove the pin' }).waitFor();
    await waitUntil(
      'the agent to run its pin',
      async () => (await fleet.record(17)).running,
      (running) => running === other.hash,
    );
    await page.getByText(other.hash.slice(0, 12)).first().waitFor();

    expect(await confirm(page, 'Restart', 'it looked tired')).toContain('This one agent restarts');
    await waitUntil(
      'the agent to be asked for a restart',
      async () => (await fleet.record(17)).restartCommands,
      (commands) => commands === 1,
    );

    await page.goBack();
    await page.getByRole('combobox', { name: 'Health' }).selectOption('unhealthy');
    await page.getByText('No agent fits on this page').waitFor();
    await visit(page, '/agents?group=sought');
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.getByText('That is all.').waitFor();
    await rowsOf(page, 11);
  });

  test('goes on after the coordinator was away, and marks what it shows as old meanwhile', async (context) => {
    const lab = await useStack(context, { gateways: 1 });
    const fleet = await useFleet(context, lab, { name: 'lonely', agents: 20 });
    const deployment = await Deployment.create(lab.api, fleet);
    await deployment.prove('lonely 1');
    const id = await deployment.start(await deployment.store('lonely 2'), HALF);
    await waitForRollout(lab.api, id, 'to soak', ({ waves }) => waves[1]?.phase === 'soaking');
    const page = await usePage(context);
    await visit(page, `/rollouts/${id}`, lab.apiUrl);
    await page.locator('.wave').nth(1).getByText('Soaking').waitFor();

    // Two readings make a line.
    await waitUntil('the chart to have a line', async () => await paints(page, LIGHT_GOOD), Boolean);

    const [coordinator] = lab.names('coordinator');
    if (coordinator === undefined) throw new Error('the stack has no coordinator');
    await lab.kill(coordinator);
    await page.getByText('The coordinator cannot be reached.').waitFor();
    await page.getByText('What you see is as of').waitFor();
    expect(await page.locator('.wave').count()).toBe(3);
    expect(await seriousFindings(page)).toEqual([]);

    // No new number comes now, so a chart that does not look at the colours of the page would keep its old ones.
    await page.getByRole('button', { name: 'Change to dark colours' }).click();
    await waitUntil('the chart to have dark colours', async () => await paints(page, DARK_GOOD), Boolean);

    await lab.restart(coordinator);
    await page.getByText('The coordinator cannot be reached.').waitFor({ state: 'hidden' });
    await page.getByText('live', { exact: true }).waitFor();
    await lab.api.act(id, 'promote', 'after the break');
    await page.getByRole('heading', { name: /Succeeded/ }).waitFor();
    await page.locator('.timeline').getByText('after the break').waitFor();
  });

  test('asks for a token where the coordinator wants one, and keeps it in memory only', async (context) => {
    const file = join(stack().directory, 'tokens');
    await writeFile(file, 'maria:a-token-of-the-browser-tests\n', { mode: 0o600 });
    const url = stack().apiUrlOf(await stack().startCoordinator({ OPAMP_API_TOKENS_FILE: file }));
    const page = await usePage(context);
    await visit(page, '/rollouts', url);
    await page.getByLabel('API token').fill('not-a-known-token');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This token is not known').waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByLabel('API token').fill('a-token-of-the-browser-tests');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Rollouts' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect(await page.evaluate('localStorage.length + sessionStorage.length + document.cookie.length')).toBe(0);
    await page.reload();
    await page.getByLabel('API token').waitFor();
  });

  for (const { name, colorScheme, viewport } of [
    { name: 'light and wide', colorScheme: 'light' as const, viewport: { width: 1360, height: 900 } },
    { name: 'dark and narrow', colorScheme: 'dark' as const, viewport: { width: 390, height: 844 } },
  ])
    test(`has nothing that keeps anybody out, ${name}`, async (context) => {
      const { api } = stack();
      const page = await usePage(context, { colorScheme, viewport });
      const [rollout] = await api.listRollouts();
      const [agent] = await api.listAgents();
      const pages = [
        ['/', 'Fleet'],
        ['/agents', 'Agents'],
        ['/groups', 'Groups'],
        ['/gateways', 'Gateways'],
        ['/configs', 'Configs'],
        ['/rollouts', 'Rollouts'],
        ['/audit', 'Audit'],
        ['/tokens', 'Tokens'],
        ['/settings', 'Settings'],
        ...(rollout === undefined ? [] : [[`/rollouts/${rollout.id}`, 'Timeline']]),
        ...(rollout === undefined ? [] : [[`/configs/${rollout.to.name}`, 'Versions']]),
        ...(agent === undefined ? [] : [[`/agents/${agent.uid}`, 'What it can do']]),
      ] as const;
      for (const [path, heading] of pages) {
        await visit(page, path ?? '/');
        await page
          .getByRole('heading', { name: heading ?? '', exact: true })
          .first()
          .waitFor();
        await page.locator('.skeleton').first().waitFor({ state: 'detached' });
        expect(await seriousFindings(page), `findings at ${path}`).toEqual([]);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
        expect(overflow, `pixels beyond the window at ${path}`).toBeLessThanOrEqual(0);
      }
    });

  test('can be worked with the keyboard alone', async (context) => {
    const { api } = stack();
    const fleet = await useFleet(context, stack(), { name: 'keyed', agents: 20 });
    const deployment = await Deployment.create(api, fleet);
    await deployment.prove('keyed 1');
    const id = await deployment.start(await deployment.store('keyed 2'), HALF);
    const page = await usePage(context);
    await visit(page, `/rollouts/${id}`);
    await page.locator('.wave').nth(1).getByText('Soaking').waitFor();
    const pause = page.getByRole('button', { name: 'Pause' });
    for (let presses = 0; presses < 30 && !(await pause.evaluate((button) => button.matches(':focus'))); presses += 1)
      await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Pause' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await waitUntil('the button to have the focus again', async () => await pause.evaluate((button) => button.matches(':focus')), Boolean);
    await page.keyboard.press('Enter');
    await page.getByLabel('Reason').press('Enter');
    await page.locator('.hold').waitFor();
    expect((await api.getRollout(id)).holds).toEqual(['manual']);
    await api.act(id, 'abort');
    await deployment.finish(id, 'rolled_back');
  });
});
