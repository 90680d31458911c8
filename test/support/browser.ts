// A real Chromium for tests, driven by playwright-core, inside a network namespace and with a profile of its own. It asks for nothing on its
// own account; what it was told by the page (errors, foreign requests) is kept for the test to judge.

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { cleanEnvironment, mustRun } from './program.ts';

export interface BrowserOptions {
  /** Network namespace in which it runs; null: none of its own. */
  readonly namespace: string | null;
  /** Its profile and home are made below this folder. */
  readonly folder: string;
  readonly colorScheme?: 'light' | 'dark';
  readonly width?: number;
  readonly height?: number;
  /** PEM files of roots it is to trust, besides its own. */
  readonly roots?: readonly string[];
}

export interface Browser {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What pages complained of: exceptions, console errors, refused resources (content security policy included). A test may take out what it caused. */
  readonly complaints: string[];
  /** Every address that was asked for. */
  readonly requested: readonly string[];
  close(): Promise<void>;
}

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
/** Longest a step may take: machines that run tests are slow and shared. */
const stepMs = 20_000;

/** Where Debian puts it. */
export const chromiumPath = '/usr/bin/chromium';

/** Starts it with a fresh profile. Rejects when Chromium does not start. */
export async function openBrowser({ namespace, folder, colorScheme = 'light', width = 1200, height = 760, roots = [] }: BrowserOptions): Promise<Browser> {
  const home = mkdtempSync(join(folder, 'browser-'));
  if (roots.length > 0) await trust(home, roots);
  // playwright talks to it over file descriptors, which pass through `ip netns exec`.
  const starter = join(home, 'chromium');
  writeFileSync(starter, `#!/bin/sh\nexec ${namespace === null ? '' : `ip netns exec ${namespace} `}${chromiumPath} "$@"\n`);
  chmodSync(starter, 0o755);
  const context = await chromium.launchPersistentContext(join(home, 'profile'), {
    executablePath: starter, args: flags, env: { ...cleanEnvironment(home) }, colorScheme, viewport: { width, height }, timeout: stepMs, chromiumSandbox: false,
  });
  context.setDefaultTimeout(stepMs);
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints: string[] = [];
  const requested: string[] = [];
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => requested.push(request.url()));
  return { page, context, complaints, requested, close: () => context.close() };
}

/** Chromium reads the user's own roots from the NSS database of its home. */
async function trust(home: string, roots: readonly string[]): Promise<void> {
  const database = join(home, '.pki', 'nssdb');
  mkdirSync(database, { recursive: true });
  await mustRun(['certutil', '-N', '-d', `sql:${database}`, '--empty-password']);
  for (const root of roots) await mustRun(['certutil', '-A', '-d', `sql:${database}`, '-n', root, '-t', 'C,,', '-i', root]);
}

/** One finding of axe-core: the rule, and the elements that break it. */
export interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly elements: readonly string[];
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds against WCAG 2.1 A and AA (contrast among them) in the page as it is now. */
export async function accessibilityFaults(page: Page): Promise<Violation[]> {
  // Through the debugger, not by a script element: the page's policy allows none but its own.
  await page.evaluate(axeSource);
  const found: unknown = await page.evaluate(`axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations'] })
    .then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, elements: nodes.map(({ html, failureSummary }) => html.slice(0, 200) + ' ' + failureSummary) })))`);
  if (!Array.isArray(found)) throw new Error('axe-core gave no answer');
  return found.map((violation: Violation) => violation);
}
