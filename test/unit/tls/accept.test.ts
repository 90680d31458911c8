import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { Leaf } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { acceptTls, clientTlsError } from '../../../src/tls/accept.ts';
import type { AcceptOptions } from '../../../src/tls/accept.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import type { TestCert } from '../../support/certs.ts';
import { portOf, readBytes, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const root = makeRoot('Gateway root');
const limits = limitsWith({ clientHandshakeMs: 1_000 });
const pairs: Pair[] = [];

afterEach(() => {
  for (const pair of pairs.splice(0)) pair.destroy();
});

function leafOf(certificate: TestCert, key: 'rsa' | 'ec', staple: Leaf['staple'] = () => null): Leaf {
  return { serial: '01', key, mirrored: true, certPem: certificate.chainPem, keyPem: certificate.keyPem, ticketKeys: Buffer.alloc(48, 7), staple };
}

const ec = leafOf(issueServer(root, { names: ['site.test'], key: 'ec' }), 'ec');
const rsa = leafOf(issueServer(root, { names: ['site.test'], key: 'rsa' }), 'rsa');

/** A client's TLS socket and the gateway's accept on the other end of a real connection, the hello peeked at and put back first. */
async function accepted(leaf: Leaf, options: Partial<AcceptOptions> = {}, client: ConnectionOptions = {}): Promise<{ near: TLSSocket; far: Promise<TLSSocket>; secure: Promise<unknown> }> {
  const pair = await socketPair();
  pairs.push(pair);
  const near = connect({ socket: pair.near, servername: 'site.test', ca: root.certPem, ...client });
  near.on('error', () => {});
  const secure = once(near, 'secureConnect').catch(() => null);
  const head = await readBytes(pair.far, 20);
  pair.far.unshift(head);
  return { near, secure, far: acceptTls(pair.far, leaf, { alpn: null, minVersion: 'TLSv1.2', limits, ...options }) };
}

describe.each([['ec', ec], ['rsa', rsa]] as const)('%s leaf', (_key, leaf) => {
  test.each(['TLSv1.2', 'TLSv1.3'] as const)('is accepted over %s and carries data both ways', async (version) => {
    const { near, far } = await accepted(leaf, {}, { minVersion: version, maxVersion: version });
    const socket = await far;
    expect(socket.getProtocol()).toBe(version);
    near.write('up');
    expect(String((await once(socket, 'data'))[0])).toBe('up');
    socket.write('down');
    expect(String((await once(near, 'data'))[0])).toBe('down');
  });
});

test('ALPN is answered with exactly the one name, or not at all', async () => {
  const named = await accepted(ec, { alpn: 'http/1.1' }, { ALPNProtocols: ['h2', 'http/1.1'] });
  await named.far;
  expect(named.near.alpnProtocol).toBe('http/1.1');
  const none = await accepted(ec, {}, { ALPNProtocols: ['h2', 'http/1.1'] });
  await none.far;
  expect(none.near.alpnProtocol).toBe(false);
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('openssl, which does not trust the CA, says so with an alert: CLIENT_REJECTED_CERT over %s', async (version) => {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const flag = version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3';
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${String(portOf(server))}`, flag, '-verify_return_error'], { stdio: 'ignore' });
  const [raw] = await once(server, 'connection') as [Socket];
  const outcome = await acceptTls(raw, ec, { alpn: null, minVersion: 'TLSv1.2', limits })
    .then((socket) => once(socket.resume(), 'error').then(([error]) => clientTlsError(error as Error)), (error: unknown) => error);
  expect(outcome).toMatchObject({ code: 'CLIENT_REJECTED_CERT' });
  server.close();
  if (client.exitCode === null) await once(client, 'exit');
});

test.each(['TLSv1.2', 'TLSv1'] as const)('renegotiation is refused (%s as the lowest version)', async (minVersion) => {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${String(portOf(server))}`, '-tls1_2'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  client.stderr.on('data', (chunk: Buffer) => { said += String(chunk); });
  const [raw] = await once(server, 'connection') as [Socket];
  const socket = await acceptTls(raw, ec, { alpn: null, minVersion, limits });
  client.stdin.write('R\n');
  await expect.poll(() => said).toMatch(/RENEGOTIATING[^]*no renegotiation/);
  client.kill();
  if (client.exitCode === null && client.signalCode === null) await once(client, 'exit');
  server.close();
  socket.destroy();
});

test('a client below the minimum: NO_COMMON_TLS', async () => {
  const { far } = await accepted(ec, { minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' });
  await expect(far).rejects.toMatchObject({ code: 'NO_COMMON_TLS' });
});

test('a client is answered with no newer version than its server speaks, and without the mark of a downgrade', async () => {
  const { near, far } = await accepted(ec, { maxVersion: 'TLSv1.2' });
  expect((await far).getProtocol()).toBe('TLSv1.2');
  expect(near.getProtocol()).toBe('TLSv1.2');
});

test('an RSA-only client of TLS 1.0 is served where the minimum allows', async () => {
  const { near, far } = await accepted(rsa, { minVersion: 'TLSv1' }, { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' });
  expect((await far).getProtocol()).toBe('TLSv1');
  near.destroy();
});

test('a client that leaves during the handshake: CLIENT_LEFT_SILENTLY; one that stalls: CLIENT_TLS_TIMEOUT', async () => {
  const leaver = await accepted(ec);
  leaver.near.destroy();
  await expect(leaver.far).rejects.toMatchObject({ code: 'CLIENT_LEFT_SILENTLY' });
  const pair = await socketPair();
  pairs.push(pair);
  pair.near.write(Buffer.from('1603010200010001fc0303', 'hex'));
  await expect(acceptTls(pair.far, ec, { alpn: null, minVersion: 'TLSv1.2', limits: limitsWith({ clientHandshakeMs: 200 }) })).rejects.toMatchObject({ code: 'CLIENT_TLS_TIMEOUT' });
});

test('a staple is sent to clients that ask for one', async () => {
  const staple = Buffer.from('300302010a', 'hex');
  const stapled = leafOf(issueServer(root, { names: ['site.test'], key: 'ec' }), 'ec', () => staple);
  const { near, far } = await accepted(stapled, {}, { requestOCSP: true });
  const [response] = await once(near, 'OCSPResponse') as [Buffer];
  expect(response).toEqual(staple);
  await far;
});

test('where it is known that the client asks for no staple, none is looked for', async () => {
  let asked = 0;
  const leaf = leafOf(issueServer(root, { names: ['site.test'], key: 'ec' }), 'ec', () => {
    asked += 1;
    return null;
  });
  const unasked = await accepted(leaf, { staple: false });
  await unasked.far;
  expect(asked).toBe(0);
  const wanting = await accepted(leaf, {}, { requestOCSP: true });
  await wanting.far;
  expect(asked).toBe(1);
});

test('each leaf has its own staple, also when handshakes go on at once, and a staple that fails or is late stops none', async () => {
  const staples = [Buffer.from('300302010b', 'hex'), Buffer.from('300302010c', 'hex'), Buffer.from('300302010d', 'hex')];
  const answers: Leaf['staple'][] = [() => staples[0] ?? null, () => new Promise((resolve) => setTimeout(() => resolve(staples[1] ?? Buffer.alloc(0)), 30)), () => Promise.reject(new Error('none to be had')), () => staples[2] ?? null];
  const responses = await Promise.all(answers.map(async (staple) => {
    const { near, far } = await accepted(leafOf(issueServer(root, { names: ['site.test'], key: 'ec' }), 'ec', staple), {}, { requestOCSP: true });
    const [[response]] = await Promise.all([once(near, 'OCSPResponse') as Promise<[Buffer | null]>, far]);
    return response;
  }));
  expect(responses).toEqual([staples[0], staples[1], null, staples[2]]);
});

test('a session of one gateway process is resumed with the same ticket keys', async () => {
  const first = await accepted(ec, {}, { maxVersion: 'TLSv1.2' });
  await Promise.all([first.far, first.secure]);
  const session = first.near.getSession();
  const second = await accepted(leafOf(issueServer(root, { names: ['site.test'], key: 'ec' }), 'ec'), {}, { maxVersion: 'TLSv1.2', ...(session === undefined ? {} : { session }) });
  const socket = await second.far;
  expect(socket.isSessionReused()).toBe(true);
});

test('Node: TLS failures after the handshake reach only _tlsError on a hand-made server socket, and accept turns them into error', async () => {
  const { near, far } = await accepted(ec);
  const socket = await far;
  const failed = once(socket, 'error');
  // Bytes that are no TLS record, straight into the connection.
  pairs.at(-1)?.near.write('not a TLS record at all');
  expect((await failed)[0]).toBeInstanceOf(Error);
  near.destroy();
});

test('Node: a hand-made server socket never learns that its handshake is over; accept tells it, for node:http2', async () => {
  const { far } = await accepted(ec, { alpn: 'h2' }, { ALPNProtocols: ['h2'] });
  expect((await far) as TLSSocket & { secureConnecting: boolean }).toMatchObject({ secureConnecting: false });
});

test.each([
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'CLIENT_REJECTED_CERT'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'CLIENT_REJECTED_CERT'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN', 'CLIENT_REJECTED_CERT'],
  ['ERR_SSL_NO_SHARED_CIPHER', 'NO_COMMON_TLS'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'NO_COMMON_TLS'],
  ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'CLIENT_TLS_ALERT'],
  ['ECONNRESET', 'CLIENT_LEFT_SILENTLY'],
])('%s is %s', (word, code) => {
  expect(clientTlsError(Object.assign(new Error('x'), { code: word })).code).toBe(code);
});

test('a client that is gone before we begin: RESET_BY_CLIENT at once, with what it was closed with', async () => {
  const pair = await socketPair();
  pairs.push(pair);
  const closed = new Promise((resolve) => pair.far.once('close', resolve));
  pair.near.resetAndDestroy();
  pair.far.resume();
  await closed;
  const startedAt = performance.now();
  await expect(acceptTls(pair.far, ec, { alpn: null, minVersion: 'TLSv1.2', limits })).rejects.toMatchObject({ code: 'RESET_BY_CLIENT' });
  expect(performance.now() - startedAt).toBeLessThan(200);
});

test('an error while nobody reads the opened socket is not uncaught', async () => {
  const { near, far, secure } = await accepted(ec);
  const [socket] = await Promise.all([far, secure]);
  pairs.at(-1)?.near.write('this is no TLS record');
  await expect.poll(() => socket.destroyed, { timeout: 5_000 }).toBe(true);
  near.destroy();
});
