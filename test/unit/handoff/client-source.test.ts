// That servers behind a gateway see the client is proven in test/lab/client-source.test.ts; here it is what the socket does on loopback.

import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { checkClientSource, socketFrom } from '../../../src/handoff/client-source.ts';
import { portOf } from '../../support/pair.ts';

const isRoot = process.getuid?.() === 0;
/** Nobody's address but for IP_TRANSPARENT: 127/8 is local, so answers find their way; TEST-NET-3 is not, so it can only be bound. */
const foreign = ['203.0.113.7', '2001:db8::7'];
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function accepting(host: string): Promise<{ port: number; accepted: Promise<Socket> }> {
  const server = createServer({ allowHalfOpen: true });
  servers.push(server);
  server.listen(0, host);
  await once(server, 'listening');
  return { port: portOf(server), accepted: once(server, 'connection').then(([socket]): Socket => socket) };
}

test('without the capability it says what is needed, and leaves no descriptor behind', () => {
  if (isRoot) expect(checkClientSource()).toBeUndefined();
  else {
    expect(() => checkClientSource()).toThrow(/source: client needs CAP_NET_ADMIN \(IP_TRANSPARENT: EPERM\)/);
    expect(() => socketFrom('203.0.113.7')).toThrow(/EPERM/);
  }
});

test.each([['127.0.0.1', '127.8.7.6'], ['::1', '::1']])('to %s from %s: bytes and both FINs pass', async (host, from) => {
  if (!isRoot) return void expect(() => socketFrom(from)).toThrow(/EPERM/);
  const { port, accepted } = await accepting(host);
  const socket = socketFrom(from).connect({ host, port });
  const server = await accepted;
  expect(server.remoteAddress).toBe(from);
  socket.end('question');
  const heard: Buffer[] = [];
  for await (const chunk of server) heard.push(chunk);
  server.end('answer');
  const answered: Buffer[] = [];
  for await (const chunk of socket) answered.push(chunk);
  expect([Buffer.concat(heard).toString(), Buffer.concat(answered).toString(), socket.bytesRead, socket.bytesWritten]).toEqual(['question', 'answer', 6, 8]);
});

test('two sockets from one address have ports of their own', async () => {
  if (!isRoot) return void expect(() => socketFrom('127.0.0.1')).toThrow(/EPERM/);
  const { port } = await accepting('127.0.0.1');
  const sockets = [1, 2].map(() => socketFrom('127.8.7.6').connect({ host: '127.0.0.1', port }));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  expect(new Set(sockets.map((socket) => socket.localPort)).size).toBe(2);
  for (const socket of sockets) socket.destroy();
});

test('a refusal is an error event like any socket\'s', async () => {
  if (!isRoot) return void expect(() => socketFrom('127.0.0.1')).toThrow(/EPERM/);
  const { port } = await accepting('127.0.0.1');
  const socket = socketFrom('127.8.7.6').connect({ host: '127.9.9.9', port });
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
});

test.each(foreign)('%s, which is not this machine\'s, can be bound', (ip) => {
  if (!isRoot) return void expect(() => socketFrom(ip)).toThrow(/EPERM/);
  socketFrom(ip).destroy();
});

test('what is no address is refused before the kernel is asked', () => {
  expect(() => socketFrom('nowhere')).toThrow('nowhere is no address');
});
