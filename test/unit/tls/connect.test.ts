import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as tcpConnect, createServer as createTcpServer } from 'node:net';
import type { Server as TcpServer, Socket } from 'node:net';
import { connect as tlsConnect, createServer } from 'node:tls';
import type { Server, TlsOptions } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { connectTls, UpstreamContexts } from '../../../src/tls/connect.ts';
import type { UpstreamTls } from '../../../src/tls/connect.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const root = makeRoot('Upstream root');
const site = issueServer(root, { names: ['site.test'], key: 'rsa' });
const limits = limitsWith({ upstreamHandshakeMs: 1_000, clientCertAlertWaitMs: 300 });
const contexts = new UpstreamContexts(limits, []);
const offer = { key: 'test', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', groups: 'X25519:P-256', weakest: 1 } as const;
const servers: (Server | TcpServer)[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function tlsServer(options: TlsOptions = {}): Promise<Server> {
  const server = createServer({ key: site.keyPem, cert: site.chainPem, ...options }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => socket.write(data));
  });
  server.on('tlsClientError', () => {});
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

async function tcpServer(serve: (socket: Socket) => void): Promise<TcpServer> {
  const server = createTcpServer((socket) => { socket.on('error', () => {}); serve(socket); });
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

async function dialled(server: Server | TcpServer, extra: Partial<Parameters<typeof connectTls>[1]> = {}): Promise<UpstreamTls> {
  const raw = tcpConnect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
  raw.on('error', () => {});
  await once(raw, 'connect');
  return await connectTls(raw, { servername: 'site.test', alpn: ['http/1.1'], context: contexts.for(offer), limits, ...extra });
}

test('a server without client certificates: facts of the handshake', async () => {
  const { socket, certificate, offersClientCert } = await dialled(await tlsServer({ ALPNProtocols: ['http/1.1'] }));
  expect(socket.alpnProtocol).toBe('http/1.1');
  expect(socket.getProtocol()).toBe('TLSv1.3');
  expect(certificate.raw.equals(site.der)).toBe(true);
  expect(offersClientCert).toBe(false);
  socket.destroy();
});

test('an untrusted chain is reported, not refused', async () => {
  const { socket, chainError } = await dialled(await tlsServer());
  expect(chainError).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/);
  socket.destroy();
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('client certificates in %s', (version) => {
  test('required: rejected before anybody was answered', async () => {
    const server = await tlsServer({ minVersion: version, maxVersion: version, requestCert: true, rejectUnauthorized: true, ca: root.certPem });
    await expect(dialled(server)).rejects.toMatchObject({ code: 'UPSTREAM_WANTS_CLIENT_CERT' });
  });

  test('merely offered: goes on, and says so', async () => {
    const server = await tlsServer({ minVersion: version, maxVersion: version, requestCert: true, rejectUnauthorized: false, ca: root.certPem });
    const { socket, offersClientCert } = await dialled(server);
    expect(offersClientCert).toBe(true);
    socket.write('still here');
    expect(String((await once(socket, 'data'))[0])).toBe('still here');
    socket.destroy();
  });
});

test('application data that comes while the alert is waited for is not lost', async () => {
  const server = await tlsServer({ minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false, ca: root.certPem });
  server.on('secureConnection', (socket) => socket.write('greeting'));
  const { socket } = await dialled(server);
  expect(String((await once(socket, 'data'))[0])).toBe('greeting');
  socket.destroy();
});

test.each([
  ['plain HTTP', (socket: Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['a banner', (socket: Socket) => void socket.write('220 mail.test ESMTP\r\n')],
  ['noise', (socket: Socket) => void socket.write(randomBytes(200))],
])('%s instead of TLS is UPSTREAM_NOT_TLS', async (_name, serve) => {
  const server = await tcpServer((socket) => void socket.once('data', () => serve(socket)));
  await expect(dialled(server)).rejects.toMatchObject({ code: 'UPSTREAM_NOT_TLS' });
});

test('no common version is UPSTREAM_TLS_ALERT', async () => {
  const server = await tlsServer({ minVersion: 'TLSv1.3' });
  const old = { key: 'old', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', groups: 'P-256', weakest: 1 } as const;
  await expect(dialled(server, { context: contexts.for(old) })).rejects.toMatchObject({ code: 'UPSTREAM_TLS_ALERT' });
});

test('a server that closes without an answer is UPSTREAM_TLS_ALERT', async () => {
  const server = await tcpServer((socket) => void socket.once('data', () => socket.destroy()));
  await expect(dialled(server)).rejects.toMatchObject({ code: 'UPSTREAM_TLS_ALERT' });
});

test('a server that says nothing is UPSTREAM_TLS_TIMEOUT', async () => {
  const server = await tcpServer(() => {});
  await expect(dialled(server, { limits: limitsWith({ upstreamHandshakeMs: 200 }) })).rejects.toMatchObject({ code: 'UPSTREAM_TLS_TIMEOUT' });
});

test('contexts are shared by class and bounded', () => {
  const few = new UpstreamContexts({ ...limits, upstreamContextsMax: 2 }, []);
  const [one, two, three] = ['a', 'b', 'c'].map((key) => ({ ...offer, key }));
  if (one === undefined || two === undefined || three === undefined) throw new Error('three offers');
  const first = few.for(one);
  expect(few.for(one)).toBe(first);
  few.for(two);
  few.for(three);
  expect(few.for(one)).not.toBe(first);
});

test('Node: tls.connect asks for the legacy certificate object before its name check, and connect leaves it out', async () => {
  const server = await tlsServer();
  // Node's own way, where the object is asked for: when this fails, Node has stopped asking and leaveOutLegacyCertificate can go.
  const plain = tlsConnect({ port: portOf(server), host: '127.0.0.1', servername: 'site.test', ca: root.certPem });
  let asked = 0;
  const original = plain.getPeerCertificate.bind(plain);
  Object.defineProperty(plain, 'getPeerCertificate', { value: (detailed: true) => { asked += 1; return original(detailed); } });
  await once(plain, 'secureConnect');
  expect(asked).toBe(1);
  plain.destroy();
  const { socket, certificate } = await dialled(server);
  expect(socket.getPeerCertificate()).toEqual({});
  expect(certificate.checkHost('site.test')).toBe('site.test');
  socket.destroy();
});

test('a client that has configured AES-128 away gets a context of its own, with AES-256 first', async () => {
  const server = await tlsServer({ honorCipherOrder: false });
  const quick = await dialled(server, { context: contexts.for(offer, true) });
  const slow = await dialled(server, { context: contexts.for(offer, false) });
  expect([quick.socket.getCipher().name, slow.socket.getCipher().name]).toEqual(['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384']);
  for (const { socket } of [quick, slow]) socket.destroy();
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('a client certificate is shown to a server that requires one (%s), and no session is ever offered again', async (version) => {
  const userRoot = makeRoot('Users');
  const user = issueServer(userRoot, { cn: 'gateway', noSan: true, extKeyUsage: ['1.3.6.1.5.5.7.3.2'] });
  const server = await tlsServer({ minVersion: version, maxVersion: version, requestCert: true, rejectUnauthorized: true, ca: userRoot.certPem });
  const seen: unknown[] = [];
  server.on('secureConnection', (socket) => seen.push([socket.getPeerX509Certificate()?.subject, socket.isSessionReused()]));
  const shown = { index: 0, certificate: { hosts: ['site.test'], certPem: user.certPem, keyPem: user.keyPem } };
  const own = new UpstreamContexts(limits, []);
  const context = own.for(offer, true, shown);
  expect([own.for(offer, true) === context, own.for(offer, true, shown) === context]).toEqual([false, true]);
  for (let round = 0; round < 2; round += 1) {
    const { socket } = await dialled(server, { context });
    socket.write('hello');
    await once(socket, 'data');
    socket.destroy();
  }
  expect(seen).toEqual([['CN=gateway', false], ['CN=gateway', false]]);
  await expect(dialled(server)).rejects.toMatchObject({ code: 'UPSTREAM_WANTS_CLIENT_CERT' });
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('the stapled OCSP answer comes along as it is (%s)', async (version) => {
  const server = await tlsServer({ minVersion: version, maxVersion: version });
  server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, answer: (error: null, staple: Buffer) => void) => answer(null, Buffer.from('staple')));
  const stapled = await dialled(server);
  expect(String(stapled.staple)).toBe('staple');
  stapled.socket.destroy();
  const bare = await dialled(await tlsServer({ minVersion: version, maxVersion: version }));
  expect(bare.staple).toBeNull();
  bare.socket.destroy();
});

test('an error while nobody reads the opened socket is not uncaught', async () => {
  const raws: Socket[] = [];
  const server = await tlsServer();
  server.on('connection', (raw: Socket) => raws.push(raw));
  const { socket } = await dialled(server);
  raws[0]?.resetAndDestroy();
  socket.write('into nothing');
  await expect.poll(() => socket.destroyed, { timeout: 5_000 }).toBe(true);
});
