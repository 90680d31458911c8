// Real protocols that are not what a port is for: MySQL, whose server speaks first, to its own port and to 443, and plain HTTP on 443 of a
// service that expects TLS. Where policy lets them pass they pass whole.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modes } from './support/config.ts';
import { curlWith } from './support/explicit.ts';
import { address } from './support/names.ts';
import { queryMariadb, startMariadb } from './support/peers/mariadb.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const database = address('plain').v4;
const [direct, onTlsPort] = [3306, 443];
const webs = { unseen: address('echo'), notTls: address('tls12'), noLook: address('tls13'), none: address('https') };
const page = 'plain http on 443\n';
/** No timer of detection ends while a client of these tests waits. */
const endless = { detectRaceMs: 30_000, detectSilenceMs: 30_000, detectMs: 30_000 };
const statement = 'select 6*7, repeat("x", 300000)';
const answer = `42\t${'x'.repeat(300_000)}\n`;

labFile('other protocols', async ({ lab: { server } }) => {
  await startMariadb(server, database, direct);
  const pages = join(server.folder, 'pages');
  await server.mustRun(['mkdir', pages]);
  writeFileSync(join(pages, 'page'), page);
  await server.spawn('web', ['python3', '-u', '-m', 'http.server', '443', '--bind', '0.0.0.0', '--directory', pages], { says: /Serving HTTP/, readyMs: 20_000 });
  // The same database behind the port of TLS.
  await server.mustRun(['nft', '-f', '-'], { input: `table ip lab { chain in { type nat hook prerouting priority dstnat; ip daddr ${database} tcp dport ${onTlsPort} dnat to ${database}:${direct}; }; }` });
}, (file) => {
  const ask = (port: number) => queryMariadb(file.lab.client, database, port, statement);
  const services = (mode: (typeof modes)[number]) => [{ name: 'database', type: 'tcp-tunnel' as const, listen: '[::]:8306', acquire: mode, detectProtocol: true, intercept: { ports: [direct], interfaces: 'lan' } }];

  describe.each(modes)('MySQL by %s', (mode) => {
    describe('to ports that a rule calls server-first', () => {
      const at = gatewayFor(file, { mode, services: services(mode), limits: endless, policy: { connection: [{ name: 'database', when: { destination: [database] }, then: 'allow', serverFirst: true, tunnelOnError: true }] } });

      it.each([[direct, 'relay'], [onTlsPort, 'tunnel']] as const)('port %i: no timer of detection is waited for', async (port, action) => {
        const { result, sessions } = await at.gateway.during(() => ask(port));
        expect([result.code, result.stderr, result.stdout === answer]).toEqual([0, '', true]);
        expect(sessions).toMatchObject([{ protocol: 'unknown', action, note: 'the server spoke first', error: null, destination: { ip: database, port } }]);
      });
    });

    describe('without a word about it', () => {
      const at = gatewayFor(file, { mode, services: services(mode) });

      it.each([[direct, 'relay'], [onTlsPort, 'tunnel']] as const)('port %i: both sides race', async (port, action) => {
        const { result, sessions } = await at.gateway.during(() => ask(port));
        expect([result.code, result.stderr, result.stdout === answer]).toEqual([0, '', true]);
        expect(sessions).toMatchObject([{ protocol: 'unknown', action, note: 'the server spoke first', error: null }]);
      });
    });
  });

  describe.each(modes)('443 of an ssl service by %s, where errors do not tunnel', (mode) => {
    const at = gatewayFor(file, {
      mode, tunnelOnError: false, limits: endless,
      policy: {
        connection: [
          { name: 'unseen', when: { destination: [database, webs.unseen.v4] }, then: 'tunnel' },
          { name: 'not-tls', when: { destination: webs.notTls.v4 }, then: 'allow', tunnelOnError: ['NOT_TLS'] },
          { name: 'no-look', when: { destination: webs.noLook.v4 }, then: 'allow', detect: { off: ['tls'] } },
        ],
        ssl: [{ name: 'all', then: 'intercept' }],
        protocol: [{ name: 'web', when: { protocol: 'http', destination: webs.noLook.v4 }, then: 'relay' }],
      },
    });
    const fetch = (name: string) => at.gateway.during(() => curlWith(file.lab.client, ['-4', '-w', '%{http_code}', `http://${name}:443/page`]));

    it('MySQL, tunnelled by a rule: nothing is looked at', async () => {
      const { result, sessions } = await at.gateway.during(() => ask(onTlsPort));
      expect([result.code, result.stderr, result.stdout === answer]).toEqual([0, '', true]);
      expect(sessions).toMatchObject([{ protocol: 'undetected', action: 'tunnel', rule: 'connection/unseen', error: null }]);
    });

    it.each([
      ['tunnelled by a rule', webs.unseen, { protocol: 'undetected', action: 'tunnel', rule: 'connection/unseen', tunnelledOnError: null }],
      ['tunnelled because it is no TLS', webs.notTls, { protocol: 'http', action: 'tunnel', tunnelledOnError: 'NOT_TLS' }],
      ['relayed by a rule, with the look for TLS switched off', webs.noLook, { protocol: 'http', action: 'relay', rule: 'protocol/web', tunnelledOnError: null }],
    ] as const)('plain HTTP, %s, passes whole', async (_, { name }, seen) => {
      const { result, sessions } = await fetch(name);
      expect([result.code, result.stdout]).toEqual([0, `${page}200`]);
      expect(sessions).toMatchObject([{ service: 'https', error: null, ...seen }]);
    });

    it('plain HTTP that no rule lets pass is reset, and no server is dialled', async () => {
      const { result, sessions } = await fetch(webs.none.name);
      expect(result.code).toBe(56);
      expect(sessions).toMatchObject([{ error: 'NOT_TLS', action: null, bytes: { toUpstream: 0 } }]);
    });
  });
});
