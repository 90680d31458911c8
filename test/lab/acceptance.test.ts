// The same emulated site, opened by every client that checks revocation: accepted as it is, with both kinds of leaf and of issuer; refused
// after `ca revoke --keep`; and refused by those that insist when neither CRL nor OCSP can be reached.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCrl, makeIntermediate, makeRoot, type TestCert } from '../support/certs.ts';
import { insistOnRevocation } from './support/browsers.ts';
import type { Mode } from './support/config.ts';
import type { Gateway } from './support/gateway.ts';
import { address, network } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { chromium, compileJava, fetchCrls, firefox, gnutls, java, revocationClients, type RevocationClient } from './support/revocation-clients.ts';
import { sallyport } from './support/rules.ts';
import { gatewayFor, labFile, type LabFile } from './support/suite.ts';

type LeafKey = 'ec' | 'rsa';
type IssuerKind = 'root' | 'intermediate';

const { name } = address('https');
/** Where the owner of the root above an intermediate issuer publishes its list: a server of its own, on a port that is not intercepted. */
const rootCrlPort = 8088;
const rootCrlUrl = `http://${address('plain').name}:${rootCrlPort}/root.crl`;
const revocationPort = 9080;
const ownCrlUrl = `http://${network.gatewayToClient.v4}:${revocationPort}/ssl/crl/issuer_CA.crl`;
const corporateRoot = makeRoot('Corporate root', { key: 'rsa' });

labFile('acceptance', async ({ lab, certificates }) => {
  insistOnRevocation(lab.client);
  await startNginx(lab.server, certificates);
  const published = join(lab.server.folder, 'published');
  mkdirSync(published);
  writeFileSync(join(published, 'root.crl'), makeCrl(corporateRoot));
  await lab.server.spawn('root-crl', ['python3', '-m', 'http.server', '--bind', '::', '--directory', published, String(rootCrlPort)], { listens: [`*:${rootCrlPort}`] });
  await compileJava(lab.client);
}, (file) => {
  const siteBehind = (kind: IssuerKind, leafKey: LeafKey, mode: Mode, ocsp: { staple: boolean }): { readonly site: Site } => {
    const at = gatewayFor(file, {
      mode, issuer: { leafKey, ocsp },
      ...(kind === 'root' ? {} : { prepare: (folder: string) => placeIssuer(folder, makeIntermediate(corporateRoot, 'Corporate TLS inspection', { key: leafKey, crlUrls: [rootCrlUrl] })) }),
    });
    return { get site() { return { file, gateway: at.gateway, rootPem: kind === 'root' ? readFileSync(at.gateway.caFile, 'utf8') : corporateRoot.certPem, kind }; } };
  };

  describe.each<[LeafKey, IssuerKind, Mode]>([
    ['ec', 'root', 'redirect'], ['rsa', 'root', 'tproxy'], ['ec', 'intermediate', 'tproxy'], ['rsa', 'intermediate', 'redirect'],
  ])('%s leaf, %s issuer', (leafKey, kind, mode) => {
    const at = siteBehind(kind, leafKey, mode, { staple: true });

    it('the gateway shows what the case is about', async () => {
      const shown = await file.lab.client.run(['openssl', 's_client', '-connect', `${name}:443`, '-servername', name, '-showcerts'], { input: 'Q\n' });
      const [leaf = ''] = pemsOf(shown.stdout);
      const text = await file.lab.client.mustRun(['openssl', 'x509', '-noout', '-text'], { input: leaf });
      expect(text).toContain(leafKey === 'ec' ? 'Public Key Algorithm: id-ecPublicKey' : 'Public Key Algorithm: rsaEncryption');
      expect(text).toContain(kind === 'root' ? 'Sallyport CA' : 'Issuer: CN = Corporate TLS inspection');
    });

    it.each(revocationClients)('$title accepts', async (client) => {
      const { arrived, words } = await sent(client, at.site);
      expect(arrived, words).toBe(true);
    });

    describe('after ca revoke --keep', () => {
      beforeAll(() => revokeKept(at.site));

      it.each(revocationClients)('$title refuses', async (client) => {
        const { arrived, words } = await sent(client, at.site);
        expect(words).toMatch(client.revoked);
        expect(arrived).toBe(false);
      });
    });
  });

  describe('two distribution points, the first of them dead, and no OCSP', () => {
    const at = gatewayFor(file, { mode: 'redirect', issuer: { leafKey: 'ec', ocsp: { enabled: false } }, crl: { host: [`${network.gatewayToClient.v4}:9`, `${network.gatewayToClient.v4}:${revocationPort}`] } });
    const site = (): Site => ({ file, gateway: at.gateway, rootPem: readFileSync(at.gateway.caFile, 'utf8'), kind: 'root' });

    it.each([java, chromium])('$title finds the second, and accepts', async (client) => {
      const { arrived, asked, words } = await sent(client, site());
      expect(arrived, words).toBe(true);
      expect(asked).toBeGreaterThan(0);
    });

    describe('after ca revoke --keep', () => {
      beforeAll(() => revokeKept(site()));

      it.each([java, chromium])('$title finds the second, and refuses', async (client) => {
        const { arrived, words } = await sent(client, site());
        expect(words).toMatch(client.revoked);
        expect(arrived).toBe(false);
      });
    });
  });

  describe.each<[LeafKey, IssuerKind, Mode]>([['ec', 'root', 'redirect'], ['rsa', 'intermediate', 'tproxy']])('without a staple (%s leaf, %s issuer)', (leafKey, kind, mode) => {
    const at = siteBehind(kind, leafKey, mode, { staple: false });
    const asking = [gnutls, java, chromium, firefox];

    it.each(asking)('$title asks, and accepts', async (client) => {
      const { arrived, asked, words } = await sent(client, at.site);
      expect(arrived, words).toBe(true);
      expect(asked).toBeGreaterThan(0);
    });

    describe('when neither CRL nor OCSP can be reached', () => {
      beforeAll(async () => {
        const reject = `table inet cut { chain out { type filter hook output priority 0; tcp dport ${revocationPort} reject with tcp reset; }; }`;
        await file.lab.client.mustRun(['nft', '-f', '-'], { input: reject });
      });
      afterAll(() => file.lab.client.mustRun(['nft', 'delete', 'table', 'inet', 'cut']));

      it.each([
        { client: java, says: /Unable to determine revocation status|Connection refused/ }, { client: chromium, says: /ERR_CERT_UNABLE_TO_CHECK_REVOCATION/ },
      ])('$client.title refuses', async ({ client, says }) => {
        const { arrived, words } = await sent(client, at.site);
        expect(words).toMatch(says);
        expect(arrived).toBe(false);
      });

      it('Firefox goes on without, as it does by default: its refusals elsewhere in this file come from answers', async () => {
        const { arrived, words } = await sent(firefox, at.site);
        expect(arrived, words).toBe(true);
      });
    });

    describe('after ca revoke --keep', () => {
      beforeAll(() => revokeKept(at.site));

      it.each(asking)('$title asks, and refuses', async (client) => {
        const { arrived, asked, words } = await sent(client, at.site);
        expect(words).toMatch(client.revoked);
        expect(arrived).toBe(false);
        expect(asked).toBeGreaterThan(0);
      });
    });
  });
});

interface Site {
  readonly file: LabFile;
  readonly gateway: Gateway;
  readonly rootPem: string;
  readonly kind: IssuerKind;
}

interface Sent {
  /** The server was asked for the page. */
  readonly arrived: boolean;
  /** Requests for CRL and OCSP that the gateway answered meanwhile. */
  readonly asked: number;
  /** What the client said. */
  readonly words: string;
}

let errands = 0;

async function sent(client: RevocationClient, { file, gateway, rootPem, kind }: Site): Promise<Sent> {
  errands += 1;
  const { client: host, server } = file.lab;
  const path = `/?errand-${errands}`;
  const rootFile = join(host.folder, `root-${errands}.pem`);
  writeFileSync(rootFile, rootPem);
  const log = join(server.folder, 'nginx', 'access.log');
  const arrived = (): boolean => readFileSync(log, 'utf8').includes(`GET ${path} `);
  const crlFile = (): Promise<string> => fetchCrls(host, [ownCrlUrl, ...(kind === 'root' ? [] : [rootCrlUrl])], `${rootFile}.crl`);
  const before = await revocationRequests(gateway);
  const words = await client.fetch({ host, gateway, name, path, rootFile, crlFile, arrived });
  return { arrived: arrived(), asked: await revocationRequests(gateway) - before, words };
}

async function revocationRequests(gateway: Gateway): Promise<number> {
  const counted = ['sallyport_crl_requests_total', 'sallyport_ocsp_requests_total'];
  return (await gateway.metrics()).reduce((sum, sample) => (counted.includes(sample.name) ? sum + sample.value : sum), 0);
}

/** Revokes the site's certificates as an operator would, while the gateway runs, and waits until it has noticed. */
async function revokeKept({ gateway: { configFile, program }, file: { lab } }: Site): Promise<void> {
  const said = await lab.gateway.mustRun([...sallyport, 'ca', 'revoke', name, '--keep', '-c', configFile]);
  const serials = [...said.matchAll(/^revoked ([0-9a-f]+)$/gm)].map(([, serial = '']) => serial.toUpperCase());
  expect(serials.length).toBeGreaterThan(0);
  const list = join(lab.client.folder, 'noticed.crl');
  const listed = async (): Promise<boolean> => {
    await lab.client.mustRun(['curl', '-sS', '-o', list, ownCrlUrl]);
    const text = await lab.client.mustRun(['openssl', 'crl', '-inform', 'DER', '-in', list, '-noout', '-text']);
    return serials.every((serial) => text.includes(serial));
  };
  await program.waitUntil(listed, 'notice the revocation');
}

function placeIssuer(folder: string, issuing: TestCert): void {
  writeFileSync(join(folder, 'ca.pem'), issuing.certPem + corporateRoot.certPem);
  writeFileSync(join(folder, 'ca.key'), issuing.keyPem, { mode: 0o600 });
}

function pemsOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
