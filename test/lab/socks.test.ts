// SOCKS with curl: versions 4, 4a and 5, names resolved here or there, with and without a login; what is inside is opened like everything.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { labConfig } from './support/config.ts';
import { curlWith, gatewayAt, loginServices, openServices, user } from './support/explicit.ts';
import { address, network } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

labFile('socks', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  const plain = `http://${address('plain').name}/`;
  const https = `https://${address('https').name}/`;
  const crl = address('crl').name;

  describe('open to everyone', () => {
    const at = gatewayFor(file, { mode: 'redirect', crl: { host: crl }, services: openServices });
    const ask = (way: string, more: readonly string[]) => curlWith(file.lab.client, [way, gatewayAt(1080), '--cacert', at.gateway.caFile, ...more]);

    it.each(['--socks4', '--socks4a', '--socks5', '--socks5-hostname'])('curl %s', async (way) => {
      const secure = await at.gateway.during(() => ask(way, ['-4', https]));
      expect([secure.result.code, secure.result.stdout, secure.result.stderr]).toEqual([0, greeting('https'), '']);
      expect(secure.sessions).toMatchObject([{ service: 'socks', protocol: 'h2', chain: ['socks', 'tls', 'h2'], action: 'intercept', error: null, destination: { ip: expect.toBeOneOf([address('https').v4, address('https').v6]), port: 443 } }]);
      const open = await at.gateway.during(() => ask(way, ['-4', plain]));
      expect(open.result.stdout).toBe(greeting('plain'));
      expect(open.sessions).toMatchObject([{ protocol: 'http', chain: ['socks', 'http'], action: 'handoff' }]);
    });

    it('IPv6 by address', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['--socks5', `[${network.gatewayToClient.v6}]:1080`, '-6', '--cacert', at.gateway.caFile, https]));
      expect([result.code, result.stdout]).toEqual([0, greeting('https')]);
      expect(sessions).toMatchObject([{ destination: { ip: address('https').v6 } }]);
    });

    it('revocation data by its name', async () => {
      const { result } = await at.gateway.during(() => ask('--socks5-hostname', ['-o', '/dev/null', '-w', '%{http_code}', `http://${crl}/ssl/crl/issuer_CA.crl`]));
      expect(result.stdout).toBe('200');
    });

    it('what cannot be reached is said in the words of SOCKS', async () => {
      const { result, sessions } = await at.gateway.during(() => ask('--socks5-hostname', [`https://${address('refused').name}/`]));
      expect([result.code, sessions[0]?.error]).toEqual([97, 'DIAL_REFUSED']);
      expect((await ask('--socks5-hostname', ['http://nowhere.lab.test/'])).code).toBe(97);
      expect((await ask('--socks5-hostname', [`http://${gatewayAt(1080)}/`])).code).toBe(97);
    });
  });

  describe('behind a login', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, stateFolder) => labConfig(certificates, stateFolder, { mode: 'redirect', services: loginServices(join(file.lab.gateway.folder, 'users')) }),
    });
    const ask = (more: readonly string[]) => curlWith(file.lab.client, ['--socks5-hostname', gatewayAt(1081), '--cacert', at.gateway.caFile, ...more]);

    it('the user is known to what is inside', async () => {
      const { result, sessions } = await at.gateway.during(() => ask(['-U', `${user.name}:${user.password}`, https]));
      expect([result.code, result.stdout]).toEqual([0, greeting('https')]);
      expect(sessions).toMatchObject([{ user: user.name, protocol: 'h2', error: null }]);
      expect(await at.gateway.sessions(`user=${user.name}`)).toHaveLength(1);
    });

    it.each([[['-U', 'ann:wrong']], [[]]])('%j is refused', async (more) => {
      const { result, sessions } = await at.gateway.during(() => ask([...more, https]));
      expect(result.code).toBe(97);
      expect(sessions).toMatchObject([{ error: 'AUTH_REQUIRED', user: null, bytes: { toUpstream: 0 } }]);
    });

    it('SOCKS 4 has no passwords', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['--socks4a', gatewayAt(1081), https]));
      expect([result.code, sessions[0]?.error]).toEqual([97, 'AUTH_REQUIRED']);
    });
  });
});
