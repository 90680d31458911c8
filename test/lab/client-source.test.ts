// `source: client`: nginx sees the client's own address behind the gateway, whatever was done with the connection, over IPv4 and IPv6, by
// REDIRECT and by TPROXY, in one process and over workers; without it nginx sees the gateway.

import { expect, describe, it } from 'vitest';
import { labPolicy, modes } from './support/config.ts';
import { curlWith } from './support/explicit.ts';
import { address, network } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const [, client = ''] = network.clients;
const families = [['-4', client], ['-6', network.client6]] as const;
const tunnelled = { ssl: [{ name: 'closed', when: { sni: address('tls13').name }, then: 'tunnel' }, ...labPolicy.ssl] } as const;

labFile('the client\'s address upstream', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  const ask = (family: string, from: string, caFile: string, url: string) => curlWith(file.lab.client, [family, '--interface', from, '--cacert', caFile, url]);

  describe.each([['redirect', 0], ['tproxy', 0], ['tproxy', 2]] as const)('by %s with %i workers', (mode, workers) => {
    const at = gatewayFor(file, { mode, workers, source: 'client', policy: { ...tunnelled, ssl: [...tunnelled.ssl] } });

    it.each(families)('nginx sees the address of an intercepted client (%s)', async (family, from) => {
      const { result, sessions } = await at.gateway.during(() => ask(family, from, at.gateway.caFile, `https://${address('https').name}/from`));
      expect([result.code, result.stdout, result.stderr]).toEqual([0, `${from}\n`, '']);
      expect(sessions).toMatchObject([{ action: 'intercept', protocol: 'h2', client: { ip: from }, error: null }]);
    });

    it.each(families)('nginx sees the address of a tunnelled client (%s)', async (family, from) => {
      const { result, sessions } = await at.gateway.during(() => ask(family, from, file.certificates.rootFile, `https://${address('tls13').name}/from`));
      expect([result.code, result.stdout, result.stderr]).toEqual([0, `${from}\n`, '']);
      expect(sessions).toMatchObject([{ action: 'tunnel', rule: 'ssl/closed', error: null }]);
    });

    it.each(families)('nginx sees the address of a client of plain http, on one connection and the next (%s)', async (family, from) => {
      const url = `http://${address('plain').name}/from`;
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, [family, '--interface', from, url, '--next', family, '--interface', from, '--no-keepalive', url]));
      expect(result.stdout).toBe(`${from}\n`.repeat(2));
      expect(sessions.every((session) => session.action === 'handoff' && session.error === null)).toBe(true);
    });

    it('a server that refuses is still DIAL_REFUSED, and no answer leads to nobody', async () => {
      const { result, sessions } = await at.gateway.during(() => ask('-4', client, at.gateway.caFile, `https://${address('refused').name}/`));
      expect(result.code).not.toBe(0);
      expect(sessions).toMatchObject([{ error: 'DIAL_REFUSED' }]);
    });

    it('many at once from one address: each has its own connection', async () => {
      const urls = Array.from({ length: 40 }, () => `http://${address('plain').name}/from`);
      const { result } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--interface', client, '-Z', '--parallel-immediate', '--parallel-max', '40', ...urls]));
      expect(result.stdout).toBe(`${client}\n`.repeat(40));
    });
  });

  describe.each(modes)('by %s without it', (mode) => {
    const at = gatewayFor(file, { mode });

    it.each([['-4', client, network.gatewayToServer.v4], ['-6', network.client6, network.gatewayToServer.v6]])('nginx sees the gateway (%s)', async (family, from, seen) => {
      const { result } = await at.gateway.during(() => ask(family, from, at.gateway.caFile, `https://${address('https').name}/from`));
      expect(result.stdout).toBe(`${seen}\n`);
    });
  });
});
