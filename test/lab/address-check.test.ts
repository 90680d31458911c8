// Clients that claim one server's name and dial another's address (the class of CVE-2009-0801): a rule on `address` catches them before
// the rule that the name would have given them, and honest clients never notice.

import { describe, expect, it } from 'vitest';
import { modes } from './support/config.ts';
import { curlWith, gatewayAt, openServices } from './support/explicit.ts';
import { address } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const bypassed = address('tls13').name;
const elsewhere = address('https');
const bypass = { name: 'bypass', when: { sni: bypassed }, then: 'tunnel' } as const;
const policy = {
  ssl: [{ name: 'forged', when: { address: 'other' }, then: 'deny' }, { name: 'nameless', when: { address: 'unresolved' }, then: 'deny' }, bypass, { name: 'all', then: 'intercept' }],
  http: [{ name: 'forged-host', when: { address: 'other' }, then: 'deny', status: 421 }],
} as const;

labFile('the name claimed and the address dialled', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  const ask = (more: readonly string[]) => curlWith(file.lab.client, ['-4', '--cacert', file.certificates.rootFile, ...more]);
  const forged = ['--resolve', `${bypassed}:443:${elsewhere.v4}`, '-k', `https://${bypassed}/`];

  describe('without such a rule', () => {
    const at = gatewayFor(file, { mode: 'redirect', policy: { ssl: [bypass, { name: 'all', then: 'intercept' }] } });

    it('a client that names the one and dials the other gets the one\'s bypass', async () => {
      const { sessions } = await at.gateway.during(() => ask(forged));
      expect(sessions).toMatchObject([{ rule: 'ssl/bypass', action: 'tunnel', destination: { ip: elsewhere.v4 } }]);
      expect(sessions[0]?.claim).toBeUndefined();
    });
  });

  describe.each(modes)('with one, by %s', (mode) => {
    const at = gatewayFor(file, { mode, policy: { ssl: [...policy.ssl], http: [...policy.http] }, services: openServices, limits: { dnsMs: 2_000 } });

    it.each(['-4', '-6'])('an honest client is tunnelled by its name (%s)', async (family) => {
      const { result, sessions } = await at.gateway.during(() => ask([family, `https://${bypassed}/`]));
      expect([result.code, result.stdout]).toEqual([0, greeting('tls13')]);
      expect(sessions).toMatchObject([{ rule: 'ssl/bypass', action: 'tunnel', claim: { name: bypassed, address: 'named' }, error: null }]);
    });

    it('a client that names the one and dials the other is refused', async () => {
      const { result, sessions } = await at.gateway.during(() => ask(forged));
      expect(result.code).toBe(35);
      expect(sessions).toMatchObject([{ rule: 'ssl/forged', action: 'deny', error: 'CONNECTION_DENIED', claim: { name: bypassed, address: 'other' }, bytes: { toUpstream: 0 } }]);
    });

    it('a name that nobody knows is unresolved', async () => {
      const { sessions } = await at.gateway.during(() => ask(['--resolve', `nowhere.lab.test:443:${elsewhere.v4}`, '-k', 'https://nowhere.lab.test/']));
      expect(sessions).toMatchObject([{ rule: 'ssl/nameless', action: 'deny', claim: { name: 'nowhere.lab.test', address: 'unresolved' } }]);
    });

    it('plain http: the Host of the first request, and another Host on the same connection', async () => {
      const plain = `http://${address('plain').name}/`;
      const shown = ['-w', '%{http_code} ', '-o', '/dev/null'];
      const honest = await at.gateway.during(() => ask([...shown, plain, ...shown, plain]));
      expect([honest.result.stdout, honest.sessions.length]).toEqual(['200 200 ', 1]);
      expect(honest.sessions).toMatchObject([{ claim: { name: address('plain').name, address: 'named' } }]);
      const other = await at.gateway.during(() => ask([...shown, '-X', 'PUT', '-H', `Host: ${bypassed}`, plain]));
      expect(other.result.stdout).toBe('421 ');
      expect(other.sessions).toMatchObject([{ rule: 'http/forged-host', error: 'REQUEST_DENIED', claim: { name: bypassed, address: 'other' } }]);
      const later = await at.gateway.during(() => ask([...shown, plain, '--next', '-4', ...shown, '-H', `Host: ${bypassed}`, plain]));
      expect([later.result.stdout, later.sessions.length]).toEqual(['200 421 ', 1]);
      expect(later.sessions).toMatchObject([{ rule: 'http/forged-host', claim: { address: 'named' } }]);
    });

    it('CONNECT to the one with the other\'s name inside', async () => {
      const through = ['-x', `http://${gatewayAt(3128)}`];
      const honest = await at.gateway.during(() => ask([...through, `https://${bypassed}/`]));
      expect(honest.result.stdout).toBe(greeting('tls13'));
      expect(honest.sessions).toMatchObject([{ rule: 'ssl/bypass', claim: { address: 'named' } }]);
      const { sessions } = await at.gateway.during(() => ask([...through, '--connect-to', `${bypassed}:443:${elsewhere.name}:443`, '-k', `https://${bypassed}/`]));
      expect(sessions).toMatchObject([{ service: 'proxy', rule: 'ssl/forged', error: 'CONNECTION_DENIED', claim: { address: 'other' } }]);
      const forwarded = await at.gateway.during(() => ask([...through, `http://${address('plain').name}/`]));
      expect(forwarded.result.stdout).toBe(greeting('plain'));
    });
  });
});
