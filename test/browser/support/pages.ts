import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, type TestContext } from 'vitest';
import type { Stack } from '../../support/stack.ts';
import { waitUntil } from '../../support/wait-for.ts';
import { type Complaints, launchBrowser, openPage, PATIENCE_MS, whyNoBrowser } from './browser.ts';

/** What tests do with pages. */
export interface Pages {
  /** A page for this one test; a complaint of the browser fails the test, a failed test leaves a picture. */
  usePage(context: TestContext, options?: Parameters<Browser['newContext']>[0]): Promise<Page>;
  /** Opens an address of the dashboard. */
  visit(page: Page, path: string, base?: string): Promise<void>;
}

/** One browser for all tests of the calling file; where there is none they are skipped with the reason. */
export function shareBrowser(stack: () => Stack): Pages {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (whyNoBrowser() === undefined) browser = await launchBrowser();
  });
  afterAll(async () => await browser?.close());
  beforeEach((context) => {
    const reason = whyNoBrowser();
    if (reason !== undefined) context.skip(reason);
  });
  return {
    async usePage(context, options = {}) {
      if (browser === undefined) throw new Error('there is no browser');
      const opened = await openPage(browser, options);
      const { page, complaints }: { page: Page; complaints: Complaints } = opened;
      context.onTestFinished(async ({ task }) => {
        if (task.result?.state === 'fail') {
          const path = join(stack().directory, '..', `opamp-browser-${Date.now()}.png`);
          await page.screenshot({ path }).catch(() => undefined);
          process.stderr.write(`\npicture of the failed page: ${path} at ${page.url()}\n`);
        }
        await opened.context.close();
        expect(complaints.lines, 'what the browser complained of').toEqual([]);
      });
      return page;
    },

    async visit(page, path, base = stack().apiUrl) {
      await page.goto(`${base}${path}`, { timeout: PATIENCE_MS });
    },
  };
}

/** Waits until a list has so many rows, its head among them: what stood there before may show for a moment longer. */
export async function rowsOf(page: Page, count: number): Promise<void> {
  await waitUntil(
    `${count} rows`,
    async () => await page.getByRole('row').count(),
    (rows) => rows === count,
  );
}

/** Clicks an action and confirms it; answers what the confirmation said. */
export async function confirm(page: Page, action: string, reason: string): Promise<string> {
  await page.getByRole('main').getByRole('button', { name: action, exact: true }).click();
  const dialog = page.getByRole('dialog', { name: action });
  const effect = await dialog.locator('.effect').innerText();
  await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name: action, exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  return effect;
}
