// Chromium and Firefox as users run them, but without a window: each visit has a home and a profile of its own that trusts one given root
// and nothing else is set that would soften how the browser judges certificates. The machine's own /etc and homes are never touched.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunResult } from '../../support/program.ts';
import type { Host } from './host.ts';
import { etcFolder } from './sweep.ts';

export interface Visit {
  readonly url: string;
  /** PEM of the one root that this browser is given. */
  readonly rootFile: string;
  /** HTTP proxy that Chromium asks for everything, `host:port`; absent: none. */
  readonly proxy?: string;
  /** Address of the auto-configuration file (PAC) from which Chromium learns its proxy. */
  readonly pac?: string;
}

/** Longest a browser may take from start to verdict: machines that run tests are slow and shared. */
const visitMs = 45_000;

/**
 * Has Chromium insist on revocation data for roots that an administrator installed, as managed Windows machines do. Must be called before
 * the first program of the host runs: `ip netns exec` puts the folder over /etc/chromium for each program that it starts.
 */
export function insistOnRevocation(host: Host): void {
  const folder = join(etcFolder(host.namespace), 'chromium', 'policies', 'managed');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'lab.json'), JSON.stringify({ RequireOnlineRevocationChecksForLocalAnchors: true }));
}

/** One visit; `stdout` is the page as Chromium shows it, its own error pages included. */
export async function visitWithChromium(host: Host, { url, rootFile, proxy, pac }: Visit): Promise<RunResult> {
  const home = mkdtempSync(join(host.folder, 'chromium-'));
  const database = join(home, '.pki', 'nssdb');
  mkdirSync(database, { recursive: true });
  await trust(host, database, rootFile);
  const proxied = [...(proxy === undefined ? [] : [`--proxy-server=http://${proxy}`]), ...(pac === undefined ? [] : [`--proxy-pac-url=${pac}`])];
  return host.run([
    'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', `--user-data-dir=${join(home, 'profile')}`, ...proxied, '--dump-dom', url,
  ], { env: { HOME: home }, timeoutMs: visitMs });
}

/** One visit, ended as soon as `seen` answers true; throws when it does not within 45 s. Firefox tells no verdict: others must see it. */
export async function visitWithFirefox(host: Host, { url, rootFile }: Visit, seen: () => boolean | Promise<boolean>): Promise<void> {
  const home = mkdtempSync(join(host.folder, 'firefox-'));
  const profile = join(home, 'profile');
  mkdirSync(profile);
  await trust(host, profile, rootFile);
  writeFileSync(join(profile, 'user.js'), quietPreferences.map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
  const firefox = await host.spawn('firefox', ['firefox-esr', '--headless', '--no-remote', '--profile', profile, url], { env: { HOME: home } });
  try {
    await firefox.waitUntil(seen, 'reach a verdict', visitMs);
  } finally {
    await firefox.stop();
  }
}

/** No errands of the browser's own. Nothing here is about certificates: those keep their defaults. */
const quietPreferences: readonly (readonly [string, string | number | boolean])[] = [
  ['app.update.enabled', false], ['browser.aboutwelcome.enabled', false], ['browser.safebrowsing.malware.enabled', false],
  ['browser.safebrowsing.phishing.enabled', false], ['browser.shell.checkDefaultBrowser', false], ['browser.startup.homepage_override.mstone', 'ignore'],
  ['datareporting.policy.dataSubmissionEnabled', false], ['extensions.update.enabled', false], ['network.captive-portal-service.enabled', false],
  ['network.connectivity-service.enabled', false], ['toolkit.telemetry.enabled', false],
];

/** Puts the root into an NSS database that is made for it, trusted to name servers and nothing else. */
async function trust(host: Host, database: string, rootFile: string): Promise<void> {
  await host.mustRun(['certutil', '-N', '-d', `sql:${database}`, '--empty-password']);
  await host.mustRun(['certutil', '-A', '-d', `sql:${database}`, '-n', 'the gateway', '-t', 'C,,', '-i', rootFile]);
}
