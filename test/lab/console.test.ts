// The console as an operator sees it: a real Chromium while real HTTPS, SIPS and MS-TURN clients keep talking through the gateway. With
// SALLYPORT_PICTURES=docs/images the README's pictures are taken from it.

import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolWords } from '../../src/core/protocols.ts';
import { accessibilityFaults, openBrowser } from '../support/browser.ts';
import type { Browser } from '../support/browser.ts';
import { address } from './support/names.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { Linphone } from './support/peers/linphone.ts';
import { MsTurnPeer, runMsTurnClient, runNice } from './support/peers/ms-turn.ts';
import { startNginx } from './support/peers/nginx.ts';
import { startRequiringServers } from './support/peers/openssl.ts';
import { runSipe } from './support/peers/sipe.ts';
import { startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile, type LabFile } from './support/suite.ts';
import type { Gateway } from './support/gateway.ts';

const admin = 'http://127.0.0.1:9090';
/** How long the clients of the background stay; longer than the tests take. */
const staySeconds = 150;

labFile('console', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await startSmallServers(lab.server, certificates.server);
  await startRequiringServers(lab.server, certificates);
  await MsTurnPeer.start(lab.server, 443);
}, (file) => {
  describe('while traffic passes', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2 });
    let traffic: Traffic | null = null;
    let browser: Browser | null = null;
    const page = (): Page => {
      if (browser === null) throw new Error('only inside tests');
      return browser.page;
    };
    const show = async (place: string): Promise<Page> => {
      await page().goto('about:blank');
      await page().goto(`${admin}/#/${place}`);
      return page();
    };

    beforeAll(async () => {
      traffic = await startTraffic(file, at.gateway);
      browser = await openBrowser({ namespace: file.lab.gateway.namespace, folder: file.lab.gateway.folder });
    });
    afterAll(async () => {
      await browser?.close();
      await traffic?.stop();
    });

    it.each(['https', 'sips', 'ms-turn'])('the filter by %s shows exactly those sessions', async (protocol) => {
      const view = await show('sessions');
      await view.locator('summary', { hasText: 'Protocol' }).click();
      await view.locator(`input[name=protocol][value=${protocol}]`).check();
      await expect.poll(() => view.url()).toContain(`#/sessions?protocol=${protocol}`);
      await expect.poll(async () => new Set(await view.locator('tbody .badge').allTextContents())).toSatisfy(isOnly(protocolWords.get(protocol) ?? []));
      const { total } = await at.gateway.page(`protocol=${protocol}`);
      expect(total).toBeGreaterThan(0);
      // New ones may have come since.
      await expect.poll(async () => Number.parseInt((await view.locator('.list [role=status]').textContent() ?? '').replaceAll(/\D+/g, ' '), 10)).toBeGreaterThanOrEqual(total);
    });

    it('the details of a SIPS, an MS-TURN and an HTTPS session tell what its handler saw', async () => {
      const sips = await open(await show('sessions?protocol=sips&state=active&service=sip'));
      expect(await sips.textContent()).toMatch(/Registrations[^]*sip:alice@sip-5061\.lab\.test[^]*registered/);
      const turn = await open(await show('sessions?protocol=ms-turn&state=closed'));
      expect(await turn.textContent()).toMatch(/Allocations[^]*mras-user/);
      const https = await open(await show('sessions?protocol=https&state=closed'));
      expect(await https.textContent()).toMatch(/requests[^]*\.lab\.test[^]*Emulated certificate/i);
    });

    it('kills a session, with the token only', async () => {
      const plan = { host: address('echo').v4, port: 443, localAddress: '10.77.1.4', tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: 'STRANGE words\n' }], timeoutMs: 60_000 };
      const talking = talk(file.lab.client, plan);
      const { id } = await at.gateway.waitForSession('state=active & client=10.77.1.4', ({ protocol }) => protocol === 'unknown');
      const view = await show('sessions?client=10.77.1.4');
      await (await open(view)).getByRole('button', { name: 'Kill…' }).click();
      const kill = view.locator('dialog[open]', { hasText: `Kill session ${id}` });
      await kill.getByRole('button', { name: 'Kill' }).click();
      expect(await kill.getByRole('alert').textContent()).toContain('token');
      await kill.getByRole('button', { name: 'Keep' }).click();
      await view.getByRole('button', { name: 'Read-only' }).click();
      await view.getByLabel('Token').last().fill(readFileSync(join(at.gateway.stateFolder, 'admin.token'), 'utf8').trim());
      await view.getByRole('button', { name: 'Use' }).click();
      await view.getByRole('button', { name: 'Read and write' }).waitFor();
      await view.locator('.details').getByRole('button', { name: 'Kill…' }).click();
      await kill.getByRole('button', { name: 'Kill' }).click();
      await view.locator('tbody .state', { hasText: 'KILLED_BY_OPERATOR' }).first().waitFor();
      expect((await talking).end).not.toBe('timeout');
      expect(browser?.complaints.splice(0).every((text) => text.includes('403'))).toBe(true);
    });

    it('the charts show what passes', async () => {
      const view = await show('summary');
      const legend = (title: string) => view.locator('figure', { hasText: title }).locator('.legend li');
      await expect.poll(() => legend('Sessions now, by protocol').allTextContents(), { timeout: 20_000 }).toEqual(expect.arrayContaining([expect.stringMatching(/ms-turn\s*1/), expect.stringMatching(/sips\s*2/)]));
      await expect.poll(() => legend('SIP registrations and calls').allTextContents()).toEqual(expect.arrayContaining([expect.stringMatching(/registrations\s*2/)]));
      await expect.poll(() => legend('TURN allocations').allTextContents()).toEqual([expect.stringMatching(/ms-turn\s*1/)]);
      await expect.poll(() => legend('Bytes per second').allTextContents(), { timeout: 20_000 }).toEqual(expect.arrayContaining([expect.stringMatching(/https/)]));
      // Lines are drawn, not only told: some pixels of the canvas have the first series' colour.
      await expect.poll(() => colouredPixels(view), { timeout: 20_000 }).toBeGreaterThan(50);
    });

    it('the keyboard reaches everything', async () => {
      const view = await show('sessions');
      await view.locator('tbody [role=row]').nth(3).waitFor();
      await view.keyboard.press('Tab');
      expect(await focused(view)).toBe('Skip to content');
      await view.keyboard.press('/');
      expect(await view.evaluate('document.activeElement.id')).toBe('filter-q');
      await view.locator('table[role=grid]').focus();
      for (const key of ['ArrowDown', 'ArrowDown', 'ArrowUp', 'ArrowDown']) await view.keyboard.press(key);
      const active = await view.locator('table[role=grid]').getAttribute('aria-activedescendant');
      expect(active).toMatch(/^row-/);
      await view.keyboard.press('Enter');
      await view.locator('.details h2').waitFor();
      expect(await view.evaluate('document.activeElement.id')).toBe('details-title');
      await view.keyboard.press('Escape');
      await view.locator('.details').waitFor({ state: 'detached' });
      expect(await view.evaluate("document.activeElement.getAttribute('role')")).toBe('grid');
      await view.keyboard.press('Delete');
      await view.locator('dialog[open]', { hasText: `Kill session ${active?.slice(4) ?? ''}` }).waitFor();
      await view.keyboard.press('Escape');
      await view.locator('dialog[open]').waitFor({ state: 'detached' });
      await view.locator('summary', { hasText: 'Protocol' }).focus();
      await view.keyboard.press('Enter');
      await view.keyboard.press('Tab');
      await view.keyboard.press('Space');
      await expect.poll(() => view.url()).toContain('protocol=');
      await view.keyboard.press('Escape');
      expect(await view.locator('details[open]').count()).toBe(0);
    });

    it.each(['light', 'dark'] as const)('axe-core finds nothing to complain of in any view (%s)', async (colorScheme) => {
      await page().emulateMedia({ colorScheme });
      for (const place of ['sessions', 'summary', 'policy', 'learned', 'issuer', 'health']) {
        const view = await show(place);
        await view.locator('main h1').first().waitFor({ state: 'attached' });
        if (place === 'sessions') await open(view);
        await sleep(300);
        expect({ place, faults: await accessibilityFaults(view) }).toEqual({ place, faults: [] });
      }
      await page().emulateMedia({ colorScheme: 'light' });
    });

    it('takes the README\'s pictures', async () => {
      const folder = process.env['SALLYPORT_PICTURES'] ?? join(file.lab.folder, 'pictures');
      mkdirSync(folder, { recursive: true });
      await traffic?.calm();
      await oneOfEach(file, at.gateway);
      const view = await show('sessions');
      await view.setViewportSize({ width: 1240, height: 800 });
      await view.locator('tbody tr', { hasText: 'ms-turn' }).first().click();
      await view.locator('.details table').first().waitFor();
      await view.locator('.grid table').focus();
      await sleep(1_000);
      await view.screenshot({ path: join(folder, 'console.png') });
      await show('summary');
      await view.locator('canvas').first().waitFor();
      // Lines take their time; only the picture that is kept needs some.
      for (let rounds = process.env['SALLYPORT_PICTURES'] === undefined ? 1 : 15; rounds > 0; rounds -= 1) {
        await oneOfEach(file, at.gateway);
        await sleep(2_000);
      }
      await view.screenshot({ path: join(folder, 'summary.png') });
      for (const picture of ['console.png', 'summary.png']) expect(statSync(join(folder, picture)).size).toBeGreaterThan(10_000);
    });

    it('nothing was asked of others, and nothing went wrong in the page', () => {
      expect((browser?.requested ?? []).filter((url) => !url.startsWith(`${admin}/`) && url !== 'about:blank')).toEqual([]);
      expect(browser?.complaints).toEqual([]);
    });
  });
});

/** Clicks the newest session; answers its details. */
async function open(view: Page) {
  await view.locator('tbody [role=row]').first().click();
  const details = view.locator('.details');
  await details.locator('dl').first().waitFor();
  return details;
}

async function focused(view: Page): Promise<unknown> {
  return view.evaluate('document.activeElement.textContent.trim()');
}

/** Pixels of the first chart that are neither transparent nor grey (the grid and the numbers are grey). */
async function colouredPixels(view: Page): Promise<number> {
  const count: unknown = await view.evaluate(`(() => {
    const canvas = document.querySelector('figure canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let coloured = 0;
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue, alpha] = data.slice(at, at + 4);
      if (alpha > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) coloured += 1;
    }
    return coloured;
  })()`);
  return Number(count);
}

/** True of a set with something in it, and nothing but these words. */
function isOnly(words: readonly string[]): (found: ReadonlySet<string>) => boolean {
  return (found) => found.size > 0 && [...found].every((word) => words.includes(word));
}

/** Web, voice, relay and strange traffic, one after the other, and servers that refuse or are refused. */
async function oneOfEach({ lab: { client }, certificates }: LabFile, { caFile, caFolder }: Gateway): Promise<void> {
  const strange = { host: address('echo').v4, port: 443, tls: { caFile, name: address('echo').name }, say: [{ text: 'STRANGE words\n' }], untilBytes: 5 };
  await curl(client, { server: 'https', caFile, http: '2' });
  await curl(client, { server: 'required-tls13', caFile: certificates.rootFile, more: ['-4', '--cert', certificates.user.certFile, '--key', certificates.user.keyFile] });
  await curl(client, { server: 'https', caFile, path: '/autodiscover', more: ['-6'] });
  await runSipe(client, { server: address('sip'), port: 443, caFolder, staySeconds: 0 });
  await talk(client, strange);
  await curl(client, { server: 'expired', caFile });
  await client.run(['curl', '-sS', '-4', `http://${address('plain').name}/`]);
  await curl(client, { server: 'tls12', caFile });
  await runMsTurnClient(client, { port: 443 });
  await curl(client, { server: 'https', caFile, http: '2', more: ['-4'] });
}

interface Traffic {
  /** Ends the web requests; phones and relay stay. */
  calm(): Promise<void>;
  stop(): Promise<void>;
}

/** Phones and a relay that stay, one of each ending that operators meet, and web requests without end. */
async function startTraffic({ lab, certificates }: LabFile, gateway: Gateway): Promise<Traffic> {
  const { client } = lab;
  const { caFile, caFolder } = gateway;
  const phone = await Linphone.start(client, { server: address('sip-5061'), port: 5061, caFile });
  expect(await phone.outcome()).toBe('registered');
  const staying = [
    runSipe(client, { server: address('sip'), port: 443, caFolder, staySeconds }),
    runNice(client, { kind: 'tls', port: 443, holdSeconds: staySeconds }),
  ];
  await oneOfEach({ lab, certificates }, gateway);
  let on = true;
  const visits = (async () => {
    for (let round = 0; on; round += 1) {
      await curl(client, { server: round % 3 === 2 ? 'tls12' : 'https', caFile, http: round % 4 === 1 ? '2' : '1.1', more: [round % 2 === 0 ? '-4' : '-6'] });
      await sleep(500);
    }
  })();
  await gateway.waitForSession('protocol=sips & state=active & service=https', ({ details }) => details.sip?.registrations.some(({ state }) => state === 'registered') === true, 20_000);
  await gateway.waitForSession('protocol=ms-turn & state=active', ({ details }) => details.turn?.allocations.some(({ result }) => result === 'allocated') === true, 20_000);
  const calm = async (): Promise<void> => {
    on = false;
    await visits;
  };
  return {
    calm,
    async stop() {
      await calm();
      await phone.quit();
      await client.stopAll();
      void staying;
    },
  };
}
