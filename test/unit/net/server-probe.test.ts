// Certificates of real TLS servers as the doctor sees them.

import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import type { Server } from 'node:net';
import { createServer } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { lookAtServer } from '../../../src/net/server-probe.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import type { CertSpec } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const root = makeRoot('Probed CA');
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listening(server: Server): Promise<string> {
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `127.0.0.1:${String(portOf(server))}`;
}

test.each<[string, CertSpec, { namesCrl: boolean; namesOcsp: boolean }]>([
  ['nothing', {}, { namesCrl: false, namesOcsp: false }],
  ['a CRL', { crlUrls: ['http://crl.test/'] }, { namesCrl: true, namesOcsp: false }],
  ['OCSP', { ocspUrls: ['http://ocsp.test/'] }, { namesCrl: false, namesOcsp: true }],
  ['its issuer alone', { caIssuersUrls: ['http://ocsp.test/OCSP - URI:'] }, { namesCrl: false, namesOcsp: false }],
])('a certificate that names %s', async (_label, spec, named) => {
  const site = issueServer(root, { names: ['site.test'], ...spec });
  const server = await listening(createServer({ key: site.keyPem, cert: site.chainPem }, (socket) => socket.on('error', () => {})));
  expect(await lookAtServer(server, 2_000)).toEqual({ server, fault: null, issuer: 'CN=Probed CA', ...named });
});

test('servers that show none', async () => {
  const silent = await listening(createTcpServer((socket) => socket.on('error', () => {})));
  expect(await lookAtServer(silent, 100)).toMatchObject({ server: silent, fault: 'no answer in time' });
  const plain = await listening(createTcpServer((socket) => socket.on('error', () => {}).end('SSH-2.0-x\r\n')));
  expect((await lookAtServer(plain, 2_000)).fault).toMatch(/^ERR_SSL_/);
  expect(await lookAtServer('127.0.0.1:1', 2_000)).toMatchObject({ fault: 'ECONNREFUSED' });
  expect(await lookAtServer('[::1]:1', 2_000)).toMatchObject({ server: '[::1]:1', fault: 'ECONNREFUSED' });
});

test('443 is meant where no port is given', async () => {
  expect((await lookAtServer('name.invalid', 2_000)).server).toBe('name.invalid:443');
});
