import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { connectAny } from '../../../src/handoff/connect-any.ts';
import { portOf } from '../../support/pair.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listening(host: string, port = 0, backlog = 16): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  servers.push(server);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port, backlog }, resolve));
  return portOf(server);
}

const options = { dialMs: 1_500, dialAttemptMs: 100 };
/** Loopback has the whole of 127/8; nothing listens on these. */
const refusing = '127.9.9.9';
/** TCP has no way to a multicast address: the kernel says so without sending anything. */
const unreachable = '224.0.0.1';

test('one address: connected, half-close allowed', async () => {
  const port = await listening('127.0.0.1');
  const socket = await connectAny(['127.0.0.1'], port, options);
  expect([socket.remoteAddress, socket.remotePort, socket.allowHalfOpen]).toEqual(['127.0.0.1', port, true]);
  socket.destroy();
});

test('a refusal goes on to the next address at once', async () => {
  const port = await listening('127.0.0.1');
  const startedAt = performance.now();
  const socket = await connectAny([refusing, '127.0.0.1'], port, options);
  expect(socket.remoteAddress).toBe('127.0.0.1');
  expect(performance.now() - startedAt).toBeLessThan(options.dialAttemptMs);
  socket.destroy();
});

test('all refuse: DIAL_REFUSED; a refusal says more than no route', async () => {
  const port = await listening('127.0.0.1');
  await expect(connectAny([refusing, '127.9.9.8'], port, options)).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
  await expect(connectAny([unreachable, refusing], port, options)).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
});

test('no route at all: DIAL_UNREACHABLE; no address: the same', async () => {
  await expect(connectAny([unreachable], 9, options)).rejects.toMatchObject({ code: 'DIAL_UNREACHABLE' });
  await expect(connectAny([], 9, options)).rejects.toMatchObject({ code: 'DIAL_UNREACHABLE' });
});

/** A listener that answers no SYN until `answerAfterMs`: its queue is full and its process asleep. Ends by itself. */
async function slowListener(host: string, answerAfterMs: number): Promise<{ port: number; end: () => void }> {
  const script = `const s = require('node:net').createServer(() => {}).listen({ host: '${host}', port: 0, backlog: 1 }, () => {
    process.stdout.write(String(s.address().port), () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${String(answerAfterMs)});
      setTimeout(() => process.exit(), 3000);
    });
  });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const port = Number(String((await once(child.stdout, 'data'))[0]));
  const fillers = Array.from({ length: 4 }, () => connect({ host, port }).on('error', () => {}));
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { port, end: () => {
    for (const filler of fillers) filler.destroy();
    child.kill();
  } };
}

test('an address that answers slowly keeps its chance while others are tried', async () => {
  const slow = await slowListener('127.0.0.2', 500);
  const socket = await connectAny(['127.0.0.2', refusing], slow.port, { dialMs: 8_000, dialAttemptMs: 100 });
  expect(socket.remoteAddress).toBe('127.0.0.2');
  socket.destroy();
  slow.end();
});

test('nobody answers: DIAL_TIMEOUT after dialMs', async () => {
  const slow = await slowListener('127.0.0.2', 3_000);
  const startedAt = performance.now();
  await expect(connectAny(['127.0.0.2'], slow.port, { dialMs: 300, dialAttemptMs: 100 })).rejects.toMatchObject({ code: 'DIAL_TIMEOUT' });
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  slow.end();
});

test('families take turns', async () => {
  const port = await listening('::1');
  const startedAt = performance.now();
  const socket = await connectAny([refusing, '127.9.9.8', '127.9.9.7', '::1'], port, options);
  expect(socket.remoteAddress).toBe('::1');
  expect(performance.now() - startedAt).toBeLessThan(options.dialAttemptMs);
  socket.destroy();
});

test('a late reset of a connection nobody reads yet is not uncaught', async () => {
  const server = createServer((socket) => setTimeout(() => socket.resetAndDestroy(), 10));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = await connectAny(['127.0.0.1'], portOf(server), options);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(socket.destroyed).toBe(true);
});

test('from an address that cannot be dialled from: DIAL_UNREACHABLE, and it says from where', async () => {
  const port = await listening('127.0.0.1');
  await expect(connectAny(['127.0.0.1'], port, { ...options, from: 'nowhere' })).rejects.toMatchObject({ code: 'DIAL_UNREACHABLE', detail: 'not from nowhere: nowhere is no address' });
});
