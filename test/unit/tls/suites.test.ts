import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, DEFAULT_CIPHERS } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { TlsVersion } from '../../../src/core/certificates.ts';
import { expect, test } from 'vitest';
import { offeredStrength, strengthOf, suitesToAccept, suitesToOffer } from '../../../src/tls/suites.ts';
import type { SuiteStrength } from '../../../src/tls/suites.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const site = issueServer(makeRoot('Suites root'), { names: ['site.test'], key: 'rsa' });

/** The suite that a server with our order and a client agree on. */
async function agreed(minVersion: TlsVersion, client: ConnectionOptions): Promise<string> {
  const server = createServer({ key: site.keyPem, cert: site.chainPem, minVersion, ...suitesToAccept(minVersion) }, (socket) => socket.on('error', () => {}));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect({ port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false, ...client });
  try {
    await once(socket, 'secureConnect');
    return socket.getCipher().name;
  } finally {
    socket.destroy();
    server.close();
  }
}

test.each<[string, ConnectionOptions, string, TlsVersion?]>([
  ['Node and OpenSSL, which put AES-256 first', { ciphers: DEFAULT_CIPHERS }, 'TLS_AES_128_GCM_SHA256'],
  ['a client of AES-256 alone', { ciphers: 'TLS_AES_256_GCM_SHA384', minVersion: 'TLSv1.3' }, 'TLS_AES_256_GCM_SHA384'],
  ['a client that puts ChaCha20 first', { ciphers: 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' }, 'TLS_CHACHA20_POLY1305_SHA256'],
  ['TLS 1.2', { maxVersion: 'TLSv1.2' }, 'ECDHE-RSA-AES128-GCM-SHA256'],
  ['TLS 1.0', { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'ECDHE-RSA-AES256-SHA', 'TLSv1'],
  ['TLS 1.3 where TLS 1.0 is allowed', {}, 'TLS_AES_256_GCM_SHA384', 'TLSv1'],
])('%s', async (_who, client, suite, minVersion = 'TLSv1.2') => {
  expect(await agreed(minVersion, client)).toBe(suite);
});

test('nothing is offered or accepted that Node would not', () => {
  const sorted = (list: string): string[] => list.split(':').toSorted();
  expect(sorted(suitesToOffer('TLSv1.2', true))).toEqual(sorted(DEFAULT_CIPHERS));
  expect(suitesToAccept('TLSv1.3').ciphers).toBe(suitesToOffer('TLSv1.3', true));
  expect(suitesToOffer('TLSv1.3', false)).toBe(DEFAULT_CIPHERS);
});

test.each(['TLSv1', 'TLSv1.1'] as const)('%s as the lowest version gets everything OpenSSL has', (version) => {
  expect(suitesToOffer(version, true)).toBe('DEFAULT@SECLEVEL=0');
});

test.each<[string, SuiteStrength, string]>([
  ['authenticated encryption', 3, 'ECDHE-RSA-AES128-GCM-SHA256'], ['forward secrecy', 2, 'ECDHE-RSA-AES128-SHA256'], ['key transport', 1, 'AES128-GCM-SHA256'],
])('a client of everything is answered with no more than %s where its server has no more', async (_class, strongest, suite) => {
  const server = createServer({ key: site.keyPem, cert: site.chainPem, ...suitesToAccept('TLSv1.2', strongest) }, (socket) => socket.on('error', () => {}));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect({ port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  await once(socket, 'secureConnect');
  expect(socket.getCipher().name).toBe(suite);
  expect(strengthOf(suite)).toBe(strongest);
  socket.destroy();
  server.close();
});

test.each<[SuiteStrength, TlsVersion]>([[1, 'TLSv1.2'], [2, 'TLSv1.2'], [3, 'TLSv1.2'], [1, 'TLSv1'], [2, 'TLSv1'], [3, 'TLSv1.1']])('to a server nothing weaker than class %i is offered (from %s on)', (weakest, minVersion) => {
  const offered = suitesOf(suitesToOffer(minVersion, true, weakest)).filter((suite) => !/PSK|SRP/.test(suite));
  expect(offered.length).toBeGreaterThan(5);
  expect(Math.min(...offered.map((suite) => strengthOf(suite)))).toBe(weakest);
});

test('the classes by number are those by name', () => {
  const numbers = { 'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b, 'ECDHE-RSA-AES128-SHA': 0xc013, 'ECDHE-ECDSA-AES256-SHA384': 0xc024, 'AES128-SHA': 0x2f, 'AES256-GCM-SHA384': 0x9d, TLS_AES_128_GCM_SHA256: 0x1301 };
  for (const [name, number] of Object.entries(numbers)) expect([name, offeredStrength(number)]).toEqual([name, strengthOf(name)]);
});

/** The names that OpenSSL makes of a list, without those of TLS 1.3. */
function suitesOf(list: string): string[] {
  const { status, stdout } = spawnSync('openssl', ['ciphers', list.split(':').filter((name) => !name.startsWith('TLS_')).join(':')], { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout.trim().split(':').filter((name) => !name.startsWith('TLS_'));
}
