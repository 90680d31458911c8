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
const web = address('echo');
const page = 'plain http on 443\n';
/** No timer of detection ends while a client of these tests waits. */
const endless = { detectRaceMs: 30_000, detectSilenceMs: 30_000, detectMs: 30_000 };
/** No tunnelOnError of its own, so that the default counts. */
const opened = [{ name: 'all', then: 'intercept' as const }];
const statement = 'select 6*7, repeat("x", 300000)';
const answer = `42\t${'x'.repeat(300_000)}\n`;

labFile('other protocols', async ({ lab: { server } }) => {
  await startMariadb(server, database, direct);
  const pages = join(server.folder, 'pages');
  await server.mustRun(['mkdir', pages]);
  writeFileSync(join(pages, 'page'), page);
  await server.spawn('web', ['python3', '-u', '-m', 'http.server', '443', '--bind', web.v4, '--directory', pages], { says: /Serving HTTP/, readyMs: 20_000 });
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

    describe('tunnelled by a connection rule', () => {
      const at = gatewayFor(file, { mode, limits: endless, policy: { connection: [{ name: 'unseen', when: { destination: [database] }, then: 'tunnel' }] } });

      it('nothing is looked at', async () => {
        const { result, sessions } = await at.gateway.during(() => ask(onTlsPort));
        expect([result.code, result.stderr, result.stdout === answer]).toEqual([0, '', true]);
        expect(sessions).toMatchObject([{ protocol: 'undetected', action: 'tunnel', rule: 'connection/unseen', error: null }]);
      });
    });
  });

  describe.each(modes)('plain HTTP on 443 of an ssl service by %s', (mode) => {
    const fetch = () => curlWith(file.lab.client, ['-4', '-w', '%{http_code}', `http://${web.name}:443/page`]);

    describe.each([
      ['tunnelled on NOT_TLS', { tunnelOnError: ['NOT_TLS' as const], policy: { ssl: opened } }, { protocol: 'http', action: 'tunnel', tunnelledOnError: 'NOT_TLS' }],
      ['tunnelled by a rule', { policy: { ssl: opened, connection: [{ name: 'unseen', then: 'tunnel' as const }] } }, { protocol: 'undetected', action: 'tunnel', rule: 'connection/unseen', tunnelledOnError: null }],
      ['with the look for TLS switched off, relayed by a rule', { policy: { ssl: opened, connection: [{ name: 'no-tls', then: 'allow' as const, detect: { off: ['tls'] } }], protocol: [{ name: 'web', when: { protocol: ['http'] }, then: 'relay' as const }] } }, { protocol: 'http', action: 'relay', rule: 'protocol/web', tunnelledOnError: null }],
    ] as const)('%s', (_, changes, seen) => {
      const at = gatewayFor(file, { mode, tunnelOnError: false, ...structuredClone(changes) as object });

      it('passes whole', async () => {
        const { result, sessions } = await at.gateway.during(fetch);
        expect([result.code, result.stdout]).toEqual([0, `${page}200`]);
        expect(sessions).toMatchObject([{ service: 'https', error: null, ...seen }]);
      });
    });

    describe('where nothing is tunnelled', () => {
      const at = gatewayFor(file, { mode, tunnelOnError: false, policy: { ssl: opened } });

      it('is reset, and no server is dialled', async () => {
        const { result, sessions } = await at.gateway.during(fetch);
        expect(result.code).toBe(56);
        expect(sessions).toMatchObject([{ error: 'NOT_TLS', action: null, bytes: { toUpstream: 0 } }]);
      });
    });
  });
});
