import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSilentLogger } from '@opamp-gateway/shared/logger';
import { closeRedis, createRedis, waitUntilReady } from '@opamp-gateway/shared/redis/client';
import { beforeAll, describe, expect, test } from 'vitest';
import { fillFleet, fillHistory } from '../support/filled-fleet.ts';
import { shareStack } from '../support/lifetimes.ts';
import { OidcIssuer } from '../support/oidc-issuer.ts';
import { waitUntil } from '../support/wait-for.ts';
import { seriousFindings } from './support/browser.ts';
import { rowsOf, shareBrowser } from './support/pages.ts';

const AGENTS = 20_000;
const GATEWAYS = 4;
const VIEWER = 'a-token-of-somebody-who-looks';
const OPERATOR = 'a-token-of-somebody-who-acts';
const ADMIN = 'a-token-of-somebody-who-gives-access';
/** Words of every button that changes something. */
const WRITES =
  /new|edit|delete|store|roll out|start|pause|resume|promote|approve|retry|abort|cancel|roll back|freeze|pin|labels|restart|revoke|pace|make/i;

/** No gateway runs: the fleet stands in Redis as gateways would have written it. */
const stack = shareStack({ gateways: 0, coordinators: 1 });
const { usePage, visit } = shareBrowser(stack);
let uids: readonly string[] = [];
/** API of a coordinator that asks for tokens. */
let guarded = '';

beforeAll(async () => {
  const { api, keys, redisUrl, directory } = stack();
  const client = createRedis(redisUrl, 'command', createSilentLogger());
  await waitUntilReady(client, 60_000);
  uids = await fillFleet({ api, client, keys }, { agents: AGENTS, gateways: GATEWAYS });
  await fillHistory(client, keys, { agents: AGENTS, gateways: GATEWAYS });
  await closeRedis(client);
  const file = join(directory, 'tokens');
  const lines = [`vera:${VIEWER} role=viewer`, `otto:${OPERATOR} role=operator`, `amy:${ADMIN} role=admin`];
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  guarded = stack().apiUrlOf(await stack().startCoordinator({ OPAMP_API_TOKENS_FILE: file }));
});

describe('the dashboard of a large fleet', () => {
  test('finds one agent among 20,000, by its host and by its uid', async (context) => {
    const page = await usePage(context);
    await visit(page, '/');
    await page.locator('.number').filter({ hasText: 'Connected' }).getByText('19,900').waitFor();
    await page.locator('.number').filter({ hasText: 'Drifted' }).getByText('400').waitFor();
    const search = page.getByRole('searchbox', { name: 'Find agents' });
    await search.fill('host.name=host-17017');
    await search.press('Enter');
    await page.getByRole('link', { name: 'host-17017', exact: true }).waitFor();
    await page.getByText('That is all.').waitFor();
    await rowsOf(page, 2);
    await page.getByRole('link', { name: 'host-17017', exact: true }).click();
    await page
      .locator('.lead')
      .getByText(uids[17_017] ?? '')
      .waitFor();

    await visit(page, '/');
    await search.fill((uids[4_321] ?? '').toUpperCase());
    await search.press('Enter');
    await page.getByRole('heading', { name: 'host-4321' }).waitFor();

    await visit(page, '/');
    await page.getByRole('link', { name: 'Drifted' }).click();
    await page.locator('td').getByText('runs something else').first().waitFor();
    await rowsOf(page, 51);
  });

  test('shows a day of connections, of the fleet and of each gateway, in words too', async (context) => {
    const page = await usePage(context);
    await visit(page, '/');
    const legend = page.locator('.chart figcaption');
    await legend
      .getByText(/lowest \d/)
      .first()
      .waitFor();
    await visit(page, '/gateways');
    await legend.getByText('(lowest 0,').waitFor();
    expect(await legend.locator('li').count()).toBe(GATEWAYS);
    // The table comes by a request of its own.
    await rowsOf(page, GATEWAYS + 1);
    expect(await seriousFindings(page)).toEqual([]);
  });

  test('makes a group after saying how many agents it moves, changes it, labels an agent into it, and deletes it', async (context) => {
    const { api } = stack();
    const page = await usePage(context);
    await visit(page, '/groups');
    await page.getByRole('button', { name: 'New group' }).click();
    const dialog = page.getByRole('dialog', { name: 'New group' });
    await dialog.getByLabel('Name').fill('madrid');
    const howMany = page.getByRole('button', { name: 'How many agents?' });
    await dialog.getByLabel('Selector').fill('label.site=');
    await howMany.click();
    await dialog.locator('.effect').getByText('selector').first().waitFor();
    await dialog.getByLabel('Selector').fill('label.site=madrid');
    await howMany.click();
    await dialog.locator('.effect').getByText('0 agents').waitFor();
    // What was counted was another group than this.
    await dialog.getByLabel('Priority').fill('10');
    expect(await dialog.getByRole('button', { name: 'Make the group' }).count()).toBe(0);
    await howMany.click();
    await dialog.locator('.effect').getByText('0 agents').waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Make the group' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await page.getByRole('link', { name: 'madrid' }).waitFor();

    await visit(page, `/agents/${uids[55] ?? ''}`);
    await page.getByRole('button', { name: 'Labels' }).click();
    const labels = page.getByRole('dialog', { name: 'Labels' });
    await labels.getByRole('textbox').fill('site=madrid, nonsense');
    await labels.getByText('“nonsense” is not of the form name=value').waitFor();
    await labels.getByRole('textbox').fill('site=madrid');
    await labels.getByRole('button', { name: 'Label this agent' }).click();
    await labels.waitFor({ state: 'hidden' });
    await page.getByText('label.site').waitFor();

    await visit(page, '/groups');
    await page.getByRole('button', { name: 'Edit madrid' }).click();
    await page.getByLabel('Mode').selectOption('observe');
    await howMany.click();
    await page
      .locator('.effect')
      .getByText(/^\d+ agents?$/)
      .waitFor();
    await page.getByRole('button', { name: 'Change it' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.getByText('Observed only').waitFor();
    await page.getByRole('button', { name: 'Delete madrid' }).click();
    await page.getByRole('dialog', { name: 'Delete' }).getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('link', { name: 'madrid' }).waitFor({ state: 'detached' });
    const actions = ((await api.call('GET', '/audit')) as { items: { action: string; target: string }[] }).items
      .filter(({ target }) => target === 'group/madrid')
      .map(({ action }) => action);
    expect(actions).toEqual(['group.delete', 'group.put', 'group.put']);

    await visit(page, '/audit');
    await page.getByRole('searchbox', { name: 'What it concerns' }).fill('group/madrid');
    await page.getByRole('searchbox', { name: 'What it concerns' }).press('Enter');
    await rowsOf(page, actions.length + 1);
    await page.getByText('labelled').waitFor({ state: 'detached' });
  });
});

describe('the dashboard by role', () => {
  /** Signs in with a token, as people do. */
  const signIn = async (page: Awaited<ReturnType<typeof usePage>>, token: string): Promise<void> => {
    await page.getByLabel('API token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  };
  /** Goes to a page by its link: a reload would forget the token. */
  const go = async (page: Awaited<ReturnType<typeof usePage>>, name: string): Promise<void> => {
    await page.getByRole('navigation', { name: 'Pages', exact: true }).getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { name, exact: true, level: 1 }).waitFor();
  };
  const startRollout = async (): Promise<string> => {
    const { api } = stack();
    const { version } = await api.putConfig('stage', `# ${Math.random()}\n${CONFIG}`, 'another');
    const strategy = { waves: [{ size: { count: 5 }, soak: '1h' }, { size: { percent: 100 } }], onFailure: 'pause' };
    const body = { group: 'stage', config: { name: 'stage', version }, strategy, reason: 'to look at' };
    return ((await api.call('POST', '/rollouts', { body })) as { id: string }).id;
  };

  test('a viewer sees everything and is offered nothing that changes it', async (context) => {
    const id = await startRollout();
    const page = await usePage(context);
    await visit(page, '/', guarded);
    await signIn(page, VIEWER);
    await page.locator('.who').getByText('vera').waitFor();
    const offered = async (): Promise<string[]> => {
      await page.locator('.skeleton').first().waitFor({ state: 'detached' });
      const names = await page.getByRole('main').getByRole('button').allInnerTexts();
      return names.filter((name) => WRITES.test(name));
    };
    for (const name of ['Fleet', 'Groups', 'Gateways', 'Configs', 'Rollouts', 'Audit', 'Settings']) {
      await go(page, name);
      expect(await offered(), `on the page ${name}`).toEqual([]);
    }
    expect(await page.getByRole('link', { name: 'Tokens' }).count()).toBe(0);
    await go(page, 'Rollouts');
    await page
      .getByRole('link', { name: /stage → stage/ })
      .first()
      .click();
    await page.getByRole('heading', { name: 'Waves' }).waitFor();
    await page.getByText('to look at').first().waitFor();
    expect(await offered(), 'on the page of a rollout').toEqual([]);
    await go(page, 'Configs');
    await page.getByRole('link', { name: 'core', exact: true }).click();
    await page.getByRole('heading', { name: 'Versions' }).waitFor();
    expect(await offered(), 'on the page of a config').toEqual([]);
    await go(page, 'Agents');
    await page.getByRole('row').nth(1).getByRole('link').first().click();
    await page.getByRole('heading', { name: 'What it can do' }).waitFor();
    expect(await offered(), 'on the page of an agent').toEqual([]);
    // What is refused by the API is what was not offered.
    const answer = await fetch(`${guarded}/api/v1/rollouts/${id}/pause`, {
      method: 'POST',
      headers: { authorization: `Bearer ${VIEWER}`, 'content-type': 'application/json' },
      body: '{}',
    });
    expect(answer.status).toBe(403);
    expect(await seriousFindings(page)).toEqual([]);
    await stack().api.act(id, 'cancel');
  });

  test('makes tokens of agents, which are shown once, and revokes them; a viewer sees neither', async (context) => {
    const strict = stack().api.at(guarded);
    const page = await usePage(context);
    await visit(page, '/tokens', guarded);
    await signIn(page, ADMIN);
    await page.getByText('No agent has a token of its own yet').waitFor();
    await page.getByRole('button', { name: 'New token' }).click();
    const form = page.getByRole('dialog', { name: 'New token' });
    await form.getByLabel('Name, for people').fill('madrid collectors');
    await form.getByLabel('Labels of its agents').fill('site=madrid');
    await form.getByLabel('Only these groups').fill('stage, core');
    await form.getByLabel('Ends after').selectOption('90d');
    expect(await seriousFindings(page)).toEqual([]);
    await form.getByRole('button', { name: 'Make it' }).click();
    const shown = page.getByRole('dialog', { name: 'The token' });
    const secret = await shown.locator('pre').innerText();
    expect(secret).toMatch(/^[\w.-]{40,}$/);
    expect(await seriousFindings(page)).toEqual([]);
    await shown.getByRole('button', { name: 'I have it' }).click();
    const row = page.getByRole('row').filter({ hasText: 'madrid collectors' });
    await row.getByText('only stage, core').waitFor();
    await row.getByText('site=madrid').waitFor();
    await row.getByText('by amy').waitFor();
    expect(await page.content(), 'the secret stands nowhere any more').not.toContain(secret);

    await row.getByRole('button', { name: 'Revoke madrid collectors' }).click();
    const sure = page.getByRole('dialog', { name: 'Revoke' });
    expect(await sure.locator('.effect').innerText()).toContain('cut off at once');
    await sure.getByRole('button', { name: 'Keep as it is' }).click();
    await row.getByText('Active').waitFor();
    await row.getByRole('button', { name: 'Revoke madrid collectors' }).click();
    await sure.getByLabel('Reason').fill('the host was sold');
    await sure.getByRole('button', { name: 'Revoke', exact: true }).click();
    await row.getByText('Revoked').waitFor();
    expect(await row.getByRole('button').count()).toBe(0);
    const headers = { authorization: `Bearer ${ADMIN}` };
    const { items } = (await strict.call('GET', '/tokens', { headers })) as { items: { id: string; state: string }[] };
    expect(items.map(({ state }) => state)).toEqual(['revoked']);
    const log = (await strict.call('GET', '/audit', { headers })) as { items: { target: string; action: string; reason: string }[] };
    expect(log.items.filter(({ target }) => target === `token/${items[0]?.id}`)).toMatchObject([
      { action: 'token.revoke', reason: 'the host was sold' },
      { action: 'token.create' },
    ]);

    await page.reload();
    await signIn(page, VIEWER);
    await page.getByRole('heading', { name: 'Tokens', level: 1 }).waitFor();
    await page.getByRole('main').getByRole('alert').waitFor();
    expect(await page.getByRole('main').getByRole('button').allInnerTexts()).toEqual([]);
    expect(await page.getByRole('main').getByText('madrid collectors').count()).toBe(0);
  });

  test('an operator changes pace and limits of a running rollout, but not over the change of somebody else', async (context) => {
    const { api } = stack();
    const id = await startRollout();
    const page = await usePage(context);
    await visit(page, `/rollouts/${id}`, guarded);
    await signIn(page, OPERATOR);
    await page.getByRole('button', { name: 'Pace and limits' }).click();
    const dialog = page.getByRole('dialog', { name: 'Change pace and limits' });
    await dialog.getByLabel('Agents under way').fill('7');
    expect(await seriousFindings(page)).toEqual([]);
    await api.call('PATCH', `/rollouts/${id}`, { body: { strategy: { failure: { maxCount: 3 } }, reason: 'somebody else' } });
    await dialog.getByRole('button', { name: 'Change it' }).click();
    await dialog.getByText('has changed since you opened this').waitFor();
    await dialog.getByRole('button', { name: 'Keep as it is' }).click();
    // The page has seen the change by the time it shows its event.
    await page.locator('.timeline').getByText('somebody else').waitFor();
    await waitUntil(
      'the change to be taken',
      async () => {
        await page.getByRole('button', { name: 'Pace and limits' }).click();
        await dialog.getByLabel('Agents under way').fill('7');
        await dialog.getByLabel('Reason').fill('slower, please');
        await dialog.getByRole('button', { name: 'Change it' }).click();
        const refused = dialog.getByText('has changed since you opened this');
        await refused.or(page.locator('.timeline').getByText('slower, please')).first().waitFor();
        const isTaken = (await refused.count()) === 0;
        if (!isTaken) await dialog.getByRole('button', { name: 'Keep as it is' }).click();
        return isTaken;
      },
      (isTaken) => isTaken,
    );
    const { strategy } = (await api.call('GET', `/rollouts/${id}`)) as { strategy: { maxInFlight: number; waves: object[] } };
    expect(strategy).toMatchObject({ maxInFlight: 7, waves: [{ failure: { maxCount: 3 } }, { failure: { maxCount: 3 } }] });
    await api.act(id, 'cancel');
  });

  test('signs in through the issuer, keeps the token in memory only, and says when that fails', async (context) => {
    const issuer = await OidcIssuer.start('dashboard');
    context.onTestFinished(async () => await issuer.stop());
    issuer.user = { sub: 'ann@example.com', roles: ['viewer'] };
    const url = stack().apiUrlOf(await stack().startCoordinator({ OPAMP_OIDC_ISSUER: issuer.url, OPAMP_OIDC_CLIENT_ID: issuer.clientId }));
    const page = await usePage(context);
    await visit(page, '/groups', url);
    expect(await page.getByLabel('API token').count()).toBe(0);
    const button = page.getByRole('button', { name: `Sign in with ${new URL(issuer.url).host}` });
    await button.waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await button.click();
    await page.locator('.who').getByText('ann@example.com').waitFor();
    await page.getByRole('heading', { name: 'Groups', exact: true }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/groups');
    expect(await page.getByRole('button', { name: 'New group' }).count()).toBe(0);
    expect(await page.evaluate('localStorage.length + sessionStorage.length + document.cookie.length')).toBe(0);
    expect([...issuer.requests.keys()]).toEqual(expect.arrayContaining(['/authorize', '/token']));

    await page.goto(`${url}/signed-in?code=stolen&state=guessed`);
    await page.getByText('this sign-in was not begun in this tab').waitFor();
    await page.getByRole('link', { name: 'Try again' }).click();
    await button.waitFor();
    await issuer.pause();
    await button.click();
    await page.getByText('The issuer cannot be used').waitFor();
  });
});

const CONFIG = `receivers:
  otlp:
    protocols:
      grpc:
exporters:
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
`;
