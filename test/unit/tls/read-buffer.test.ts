import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { SecureVersion, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { keepReadBufferSmall } from '../../../src/tls/read-buffer.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const root = makeRoot('Read buffers');
const site = issueServer(root, { names: ['site.test'] });
/** More than any buffer here, in one write. */
const answer = Buffer.alloc(60_000, 7);
const open: { close(): unknown }[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** A client whose server sends `answer` whole for each byte it gets. */
async function connected(version: SecureVersion, isSmall: boolean): Promise<{ raw: Socket; socket: TLSSocket }> {
  const server = createServer({ key: site.keyPem, cert: site.certPem, minVersion: version, maxVersion: version }, (peer) => {
    peer.on('error', () => {}).on('data', () => peer.write(answer));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const raw = connectTcp(portOf(server), '127.0.0.1');
  await once(raw, 'connect');
  const socket = connect({ socket: raw, ca: root.certPem, servername: 'site.test', minVersion: version, maxVersion: version });
  open.push(server, { close: () => socket.destroy() });
  if (isSmall) keepReadBufferSmall(socket);
  await once(socket, 'secureConnect');
  return { raw, socket };
}

/** How many bytes had been read off the wire when the first plaintext of an answer came: with one large buffer nearly all of it. */
async function readAhead({ raw, socket }: { raw: Socket; socket: TLSSocket }): Promise<number> {
  const before = raw.bytesRead;
  let whenFirst = 0;
  let received = 0;
  socket.write('x');
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      if (received === 0) whenFirst = raw.bytesRead - before;
      received += chunk.length;
      if (received === answer.length) resolve();
    });
  });
  return whenFirst;
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  test('is read in small steps from the first handshake on, and loses nothing', async () => {
    const pair = await connected(version, true);
    expect(pair.socket.authorized).toBe(true);
    expect(await readAhead(pair)).toBeLessThan(24_000);
  });

  test('quirk of Node 24: without that, one buffer takes all that libuv would read', async () => {
    expect(await readAhead(await connected(version, false))).toBeGreaterThan(48_000);
  });
});

test('after a HelloRetryRequest, and inside another layer of TLS', async () => {
  const inner = createServer({ key: site.keyPem, cert: site.certPem, minVersion: 'TLSv1.3', ecdhCurve: 'P-384' }, (peer) => void peer.on('error', () => {}).end('inner'));
  const outer = createServer({ key: site.keyPem, cert: site.certPem }, (peer) => {
    const onward = connectTcp(portOf(inner), '127.0.0.1');
    peer.on('error', () => onward.destroy()).pipe(onward).on('error', () => peer.destroy()).pipe(peer);
  });
  await once(inner.listen(0, '127.0.0.1'), 'listening');
  await once(outer.listen(0, '127.0.0.1'), 'listening');
  const raw = connectTcp(portOf(outer), '127.0.0.1');
  await once(raw, 'connect');
  const layer = connect({ socket: raw, ca: root.certPem, servername: 'site.test' });
  keepReadBufferSmall(layer);
  await once(layer, 'secureConnect');
  const socket = connect({ socket: layer, ca: root.certPem, servername: 'site.test', ecdhCurve: 'X25519:P-384' });
  open.push(inner, outer, { close: () => layer.destroy() });
  keepReadBufferSmall(socket);
  await once(socket, 'secureConnect');
  expect([socket.authorized, socket.getEphemeralKeyInfo()]).toMatchObject([true, { name: 'secp384r1' }]);
  const [words] = await once(socket, 'data');
  expect(String(words)).toBe('inner');
});

test('a server that speaks something else is sent one alert, and the error is told as without', async () => {
  let heard = Buffer.alloc(0);
  const server = createTcpServer((peer) => {
    peer.on('error', () => {}).on('data', (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])));
    peer.write('SSH-2.0-OpenSSH_9.9\r\n');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const raw = connectTcp(portOf(server), '127.0.0.1');
  await once(raw, 'connect');
  const socket = connect({ socket: raw, servername: 'site.test' });
  open.push(server, { close: () => socket.destroy() });
  keepReadBufferSmall(socket);
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ERR_SSL_WRONG_VERSION_NUMBER' });
  await expect.poll(() => heard.subarray(-7).toString('hex')).toMatch(/^15030[0-9]000202/);
});

test('a socket that is gone is left alone', async () => {
  const { socket } = await connected('TLSv1.3', false);
  socket.destroy();
  keepReadBufferSmall(socket);
  expect(socket.destroyed).toBe(true);
});
