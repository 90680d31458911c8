// What needs no rules and no privileges; REDIRECT and TPROXY themselves are proven in test/lab/net.test.ts.

import { once } from 'node:events';
import { connect, createServer, isIPv6 } from 'node:net';
import type { Server, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ipv6Text, originalDestination, setTransparent } from '../../../src/listener/original-dst.ts';

let server: Server;
afterEach(() => void server?.close());

async function accepted(listen: string, dial: string): Promise<Socket> {
  server = createServer().listen(0, listen);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const client = connect(address.port, dial);
  const [socket] = await once(server, 'connection');
  socket.once('close', () => client.destroy());
  return socket;
}

test.each([['127.0.0.1', '127.0.0.1'], ['::', '127.0.0.1'], ['::1', '::1']])('a listener on %s dialled directly at %s was not redirected', async (listen, dial) => {
  const socket = await accepted(listen, dial);
  expect(originalDestination(socket)).toBeNull();
  // The quirk this file stands on: the descriptor is there while the socket is open, and not after.
  expect(Reflect.get(Reflect.get(socket, '_handle'), 'fd')).toBeGreaterThan(2);
  socket.destroy();
  expect(originalDestination(socket)).toBeNull();
});

test.each([
  '2001:db8::1', '::', '::1', '1::', 'fd77:2::a', '2001:db8:0:1:1:1:1:1', '2001:0:0:1::1', '1:2:3:4:5:6:7:8', 'fe80::1:0:0:1',
])('%s is written as Node writes it', (text) => {
  expect(isIPv6(text)).toBe(true);
  const halves = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const [before = [], after = []] = halves;
  const groups = halves.length === 1 ? before : [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  const bytes = Buffer.alloc(18);
  groups.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 + index * 2));
  expect(ipv6Text(bytes, 2)).toBe(text);
});

test('a server that does not listen cannot be transparent', () => {
  server = createServer();
  expect(() => setTransparent(server)).toThrow(/listening/);
});

test('a listening server becomes transparent with the capability, and says what is missing without', async () => {
  server = createServer().listen(0, '::');
  await once(server, 'listening');
  if (process.getuid?.() === 0) expect(() => setTransparent(server)).not.toThrow();
  else expect(() => setTransparent(server)).toThrow(/CAP_NET_ADMIN/);
});
