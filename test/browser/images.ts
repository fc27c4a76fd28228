/** `npm run docs:images`: pictures of every page for the documentation, from a real stack with simulated agents. */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import type { Browser, Page } from 'playwright-core';
import type { ConfigRef } from '../support/api-client.ts';
import type { Fleet } from '../support/fleet.ts';
import { fillHistory } from '../support/filled-fleet.ts';
import { startFleet } from '../support/fleet.ts';
import { Deployment, FAST_STRATEGY, waitForRollout } from '../support/rollouts.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { launchBrowser, openPage, pasteOver, PATIENCE_MS } from './support/browser.ts';
import { richerConfig } from './support/configs.ts';

const TARGET = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const WIDE = { width: 1280, height: 860 };
const NARROW = { width: 390, height: 844 };
const MARIA = { 'x-opamp-actor': 'maria' };
/** Credentials of agents, and whether each is revoked. */
const TOKENS = [
  [{ name: 'edge sites', labels: { site: 'edge' }, groups: ['edge'], expiresIn: '90d' }, false],
  [{ name: 'madrid collectors', labels: { site: 'madrid', team: 'payments' } }, false],
  [{ name: 'lisbon collectors', labels: { site: 'lisbon' } }, true],
] as const;
const REGIONS = ['eu-west-1', 'us-east-1', 'ap-south-1'];

/** Slow enough to be seen: waves of half a minute in small steps. */
const VISIBLE = {
  ...FAST_STRATEGY,
  waves: [
    { size: { count: 12 }, soak: '0s' },
    { size: { percent: 25 }, soak: '0s' },
    { size: { percent: 60 }, soak: '0s' },
    { size: { percent: 100 }, soak: '30s' },
  ],
  maxInFlight: 26,
  healthHold: '2s',
};

/** On a machine that has no time no lease may run out, and nothing is late. */
const PATIENT = { deadlineMs: 5 * PATIENCE_MS };
const stack = await startStack({ gateways: 3, gatewayEnv: { OPAMP_GATEWAY_LEASE_MS: '15000', OPAMP_GATEWAY_LEASE_RENEW_MS: '3000' } });
const fleets: Fleet[] = [];
let browser: Browser | undefined;
try {
  await mkdir(TARGET, { recursive: true });
  browser = await launchBrowser();
  await takePictures(stack, browser);
} finally {
  await browser?.close();
  for (const fleet of fleets) await fleet.close();
  await stack.stop();
}
const sizes = await Promise.all(
  (await readdir(TARGET, { recursive: true })).map(async (name) => [name, (await stat(TARGET + name)).size] as const),
);
for (const [name, bytes] of sizes) process.stdout.write(`docs/images/${name} ${Math.round(bytes / 1024)} KiB\n`);

async function takePictures({ api, apiUrl }: Stack, chrome: Browser): Promise<void> {
  const edge = await addFleet('edge', 320, { fraction: 0.05 });
  const core = await addFleet('core', 60);
  const [edgeGroup, coreGroup] = [await Deployment.create(api, edge), await Deployment.create(api, core)];
  await coreGroup.prove('first version for the core', PATIENT);
  await edgeGroup.prove('first version for the edge', PATIENT);
  const good = await api.putConfig('edge', richerConfig('longer batches', '2s'), 'Longer batches for slow uplinks');
  const bad = await api.putConfig('edge', richerConfig('edge refused', '3s'), 'Archive exporter with a private CA');
  await core.control({ do: 'set-health', healthy: false, lastError: 'exporter queue is full' }, { indexes: [3, 17] });

  const light = await openPage(chrome, { viewport: WIDE, colorScheme: 'light', timezoneId: 'Europe/Madrid' });
  const dark = await openPage(chrome, { viewport: WIDE, colorScheme: 'dark', timezoneId: 'Europe/Madrid' });
  const phone = await openPage(chrome, { viewport: NARROW, deviceScaleFactor: 1.5, colorScheme: 'light', timezoneId: 'Europe/Madrid' });

  const moving = await start(good, VISIBLE, 'Batches time out on slow uplinks');
  for (const { page } of [light, dark, phone]) await page.goto(`${apiUrl}/rollouts/${moving}`);
  await waitForRollout(
    api,
    moving,
    'to be in its third wave',
    ({ waveIndex, waves }) => waveIndex === 2 && (waves[2]?.counts['applied'] ?? 0) > 25,
    PATIENT,
  );
  await shoot(light.page, 'rollout-in-motion', 'Timeline');
  await shoot(dark.page, 'rollout-dark', 'Timeline');
  await shoot(phone.page, 'rollout-narrow', 'Timeline');
  await recordDay(380);
  await light.page.goto(apiUrl);
  await shoot(light.page, 'fleet', 'gateway-3.1');
  await dark.page.goto(apiUrl);
  await shoot(dark.page, 'fleet-dark', 'gateway-3.1');
  await phone.page.goto(`${apiUrl}/agents?group=core`);
  await shoot(phone.page, 'agents-narrow', 'core-3');
  await light.page.goto(`${apiUrl}/agents?group=core`);
  await shoot(light.page, 'agents', 'core-3');
  await api.act(moving, 'promote').catch(() => undefined);
  await waitForRollout(
    api,
    moving,
    'to soak at the end',
    ({ waveIndex, waves }) => waveIndex === 3 && waves[3]?.phase === 'soaking',
    PATIENT,
  );
  await api.act(moving, 'promote');
  await edgeGroup.finish(moving, 'succeeded', PATIENT);

  await light.page.goto(`${apiUrl}/configs/edge?version=2&against=1`);
  await shoot(light.page, 'config-compare', 'processors::batch::timeout');
  await light.page.goto(`${apiUrl}/configs/edge?version=3`);
  await light.page.getByRole('button', { name: 'Roll out v3' }).click();
  await light.page.getByText('Brisk').click();
  await shoot(light.page, 'start', 'Canaries:');

  await light.page.goto(`${apiUrl}/configs/edge`);
  await light.page.getByRole('button', { name: /^Edit/ }).click();
  await pasteOver(light.page, richerConfig('typo', '2s').replace('exporters: [debug]', 'exporters: [debgu]'));
  await shoot(light.page, 'editor', '1 error');

  const failing = await start(
    bad,
    {
      ...VISIBLE,
      maxInFlight: 200,
      waves: [
        { size: { percent: 40 }, soak: '0s' },
        { size: { percent: 100 }, soak: '0s' },
      ],
    },
    'Archive traces at the new site',
  );
  await edgeGroup.finish(failing, 'rolled_back', PATIENT);
  await light.page.goto(`${apiUrl}/rollouts/${failing}`);
  await shoot(light.page, 'rollout-rolled-back', 'What went wrong');
  await light.page.goto(`${apiUrl}/rollouts`);
  await shoot(light.page, 'rollouts', 'edge → edge v3');
  const [agent] = await api.listAgents({ selector: 'host.name=core-3' });
  await light.page.goto(`${apiUrl}/agents/${agent?.uid ?? ''}`);
  await shoot(light.page, 'agent', 'Effective, as reported');
  for (const { context } of [light, dark, phone]) await context.close();
  for (const [body, isRevoked] of TOKENS) {
    const { id } = (await api.call('POST', '/tokens', { body, headers: MARIA })) as { readonly id: string };
    if (isRevoked) await api.call('DELETE', `/tokens/${id}`, { headers: MARIA });
  }
  await recordDay(380);
  await shootEveryPage(chrome, [
    ['fleet', apiUrl, 'Proven version'],
    ['agents', `${apiUrl}/agents?group=core`, 'core-'],
    ['agent', `${apiUrl}/agents/${agent?.uid ?? ''}`, 'What it can do'],
    ['groups', `${apiUrl}/groups`, 'env=core'],
    ['gateways', `${apiUrl}/gateways`, 'gateway-3.1'],
    ['configs', `${apiUrl}/configs`, 'edge'],
    ['config', `${apiUrl}/configs/edge?version=2&against=1`, 'processors::batch::timeout'],
    ['rollouts', `${apiUrl}/rollouts`, 'edge → edge v3'],
    ['rollout', `${apiUrl}/rollouts/${failing}`, 'What went wrong'],
    ['audit', `${apiUrl}/audit`, 'promoted'],
    ['tokens', `${apiUrl}/tokens`, 'madrid collectors'],
    ['settings', `${apiUrl}/settings`, 'What your role allows'],
    ['sign-in', await signInUrl(), 'API token'],
  ]);
}

/** Pictures of every page in light and dark, wide and narrow, as `pages/<page>-<colours>-<width>.webp`. */
async function shootEveryPage(chrome: Browser, pages: readonly (readonly [name: string, url: string, text: string])[]): Promise<void> {
  await mkdir(`${TARGET}pages`, { recursive: true });
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const [width, viewport] of [
      ['wide', WIDE],
      ['narrow', NARROW],
    ] as const) {
      const { page, context } = await openPage(chrome, { viewport, colorScheme, timezoneId: 'Europe/Madrid' });
      for (const [name, url, text] of pages) {
        await page.goto(url);
        await page.locator('.skeleton').first().waitFor({ state: 'detached' });
        await shootSmall(page, `pages/${name}-${colorScheme}-${width}`, text);
      }
      await page.goto(pages[0]?.[1] ?? '');
      await page
        .getByText(pages[0]?.[2] ?? '')
        .first()
        .waitFor();
      await context.setOffline(true);
      await shootSmall(page, `pages/offline-${colorScheme}-${width}`, 'The coordinator cannot be reached.');
      await context.close();
    }
  }
}

/** A coordinator that asks for a token or a sign-in at an issuer; the issuer is never called. */
async function signInUrl(): Promise<string> {
  const file = join(stack.directory, 'tokens');
  await writeFile(file, 'maria:a-token-for-the-pictures\n', { mode: 0o600 });
  const settings = { OPAMP_API_TOKENS_FILE: file, OPAMP_OIDC_ISSUER: 'http://localhost:8443', OPAMP_OIDC_CLIENT_ID: 'opamp-dashboard' };
  return stack.apiUrlOf(await stack.startCoordinator(settings));
}

/** A day of connections, as coordinators would have noted it. */
async function recordDay(agents: number): Promise<void> {
  const client = createRedis(stack.redisUrl, 'command', createSilentLogger());
  await waitUntilReady(client, PATIENCE_MS);
  const gatewayIds = stack.names('gateway').map((name) => `${name}.1`);
  await fillHistory(client, stack.keys, { agents, gateways: gatewayIds.length, gatewayIds, withPresent: true });
  await closeRedis(client);
}

async function addFleet(name: string, agents: number, refusing?: { readonly fraction: number }): Promise<Fleet> {
  const fleet = await startFleet(stack, {
    name,
    agents,
    timeScale: 0.3,
    attributes: {
      'host.name': `${name}-{i}`,
      'cloud.region': { cycle: REGIONS },
    },
    ...(refusing === undefined
      ? {}
      : {
          profiles: [
            {
              profile: 'normal' as const,
              fraction: refusing.fraction,
              overrides: {
                failOn: [
                  {
                    kind: 'validation' as const,
                    match: { contains: 'edge refused' },
                    error: 'failed to load CA CertPool File: open /etc/otel/ca-2026.pem: no such file or directory',
                  },
                ],
              },
            },
          ],
        }),
  });
  fleets.push(fleet);
  return fleet;
}

/** Starts a rollout as a person would. */
async function start({ name, version }: ConfigRef, strategy: object, reason: string): Promise<string> {
  const body = { group: 'edge', config: { name, version }, strategy, reason };
  return ((await stack.api.call('POST', '/rollouts', { body, headers: MARIA })) as { readonly id: string }).id;
}

/** Waits for a text, then takes what the window shows. */
async function shoot(page: Page, name: string, text: string): Promise<void> {
  await page.getByText(text).first().waitFor();
  await page.evaluate('document.fonts.ready');
  await page.screenshot({ path: `${TARGET}${name}.png` });
}

/** The same as WebP, which is a third as large: these are many. */
async function shootSmall(page: Page, name: string, text: string): Promise<void> {
  await page.getByText(text).first().waitFor();
  await page.evaluate('document.fonts.ready');
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 75 });
  await session.detach();
  await writeFile(`${TARGET}${name}.webp`, data, 'base64');
}
