import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { listen } from '../../../src/listener/listener.ts';
import type { ListenOptions } from '../../../src/listener/listener.ts';
import { readAll } from '../../support/pair.ts';

const options: ListenOptions = { host: '127.0.0.1', port: 0, backlog: 16, reusePort: false, transparent: false };

test('accepted sockets allow half-close, wait unread, and outlive the listener', async () => {
  const accepted = Promise.withResolvers<Socket>();
  const listening = await listen(options, accepted.resolve);
  const client = connect({ port: listening.port, host: '127.0.0.1', allowHalfOpen: true });
  client.end('hello');
  const socket = await accepted.promise;
  const closed = listening.close();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect([socket.allowHalfOpen, socket.readableFlowing]).toEqual([true, null]);
  expect((await readAll(socket)).toString()).toBe('hello');
  socket.end('answer');
  expect((await readAll(client)).toString()).toBe('answer');
  await closed;
  await expect(once(connect({ port: listening.port, host: '127.0.0.1' }), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('an address in use is the system\'s error; with reusePort it may be shared', async () => {
  const first = await listen(options, () => {});
  await expect(listen({ ...options, port: first.port }, () => {})).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await first.close();
  const one = await listen({ ...options, reusePort: true }, () => {});
  const two = await listen({ ...options, port: one.port, reusePort: true }, () => {});
  expect(two.port).toBe(one.port);
  await Promise.all([one.close(), two.close()]);
});

test(':: is dual stack', async () => {
  const addresses: string[] = [];
  const listening = await listen({ ...options, host: '::' }, (socket) => {
    addresses.push(socket.remoteAddress ?? '');
    socket.end();
  });
  for (const host of ['127.0.0.1', '::1']) await readAll(connect({ port: listening.port, host }));
  expect(addresses).toEqual(['::ffff:127.0.0.1', '::1']);
  await listening.close();
});
