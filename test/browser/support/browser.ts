import { accessSync, constants } from 'node:fs';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-dev-shm-usage'];
/** What is waited for comes in a second or two; a busy machine may take much longer. */
export const PATIENCE_MS = 60_000;

/** Path of a Chromium that this machine has; undefined when there is none. */
export function findChromium(): string | undefined {
  return PLACES.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why browser tests cannot run here; undefined when they can. */
export function whyNoBrowser(): string | undefined {
  return findChromium() === undefined ? 'there is no Chromium (Debian: apt-get install chromium)' : undefined;
}

/** Starts the browser without a window. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error(whyNoBrowser());
  return await chromium.launch({ executablePath, headless: true, args: FLAGS, timeout: PATIENCE_MS });
}

/** What went wrong inside a page, except for requests that found nobody: tests take the coordinator away on purpose. */
export interface Complaints {
  readonly lines: string[];
}

/** A page in a context of its own, with the deadlines of a busy machine; `complaints` collects its errors. */
export async function openPage(
  browser: Browser,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<{ readonly page: Page; readonly context: BrowserContext; readonly complaints: Complaints }> {
  const context = await browser.newContext({
    viewport: { width: 1360, height: 900 },
    reducedMotion: 'reduce',
    locale: 'en-GB',
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints: Complaints = { lines: [] };
  page.on('pageerror', (error) => complaints.lines.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.lines.push(message.text());
  });
  return { page, context, complaints };
}

/** Replaces the text of the YAML editor, as somebody does who pastes over everything. */
export async function pasteOver(page: Page, text: string): Promise<void> {
  const editor = page.getByRole('textbox', { name: 'Collector config in YAML' });
  await editor.click();
  await editor.press('ControlOrMeta+a');
  await editor.evaluate((element, pasted) => {
    // This runs in the browser, whose types this project does not have.
    const web = globalThis as unknown as {
      DataTransfer: new () => { setData(type: string, text: string): void };
      ClipboardEvent: new (type: string, options: object) => never;
    };
    const clipboardData = new web.DataTransfer();
    clipboardData.setData('text/plain', pasted);
    element.dispatchEvent(new web.ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

const require = createRequire(import.meta.url);
let axeSource: string | undefined;

/** Runs axe-core in the page; answers its serious and critical findings in words. */
export async function seriousFindings(page: Page): Promise<string[]> {
  axeSource ??= await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  // Evaluated by the debugger, which no Content-Security-Policy holds back.
  await page.evaluate(axeSource);
  return await page.evaluate(async () => {
    interface AxeResult {
      violations: { id: string; impact: string | null; help: string; nodes: { target: unknown[]; failureSummary?: string }[] }[];
    }
    const { axe } = globalThis as unknown as { axe: { run(): Promise<AxeResult> } };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(
        ({ id, help, nodes }) =>
          `${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target.join(' ')} (${failureSummary ?? ''})`).join('; ')}`,
      );
  });
}
