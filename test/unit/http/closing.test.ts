import net from 'node:net';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { abortSocket, endGently, ignoreErrors } from '../../../src/http/closing.ts';
import { connect, listen, receive } from './harness.ts';

async function pair(): Promise<{ ours: Socket; theirs: Socket; close: () => void }> {
  const accepted: Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => accepted.push(socket));
  const theirs = await connect(await listen(server));
  while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const ours = accepted[0] as Socket;
  return { ours, theirs, close: () => server.close() };
}

test('a last answer arrives although input was never read', async () => {
  const { ours, theirs, close } = await pair();
  theirs.write(Buffer.alloc(500_000));
  ours.write('last words');
  const ended = endGently(ours, 2_000);
  expect(await receive(theirs)).toBe('last words');
  await ended;
  expect(ours.destroyed).toBe(true);
  close();
});

test('a peer that stays is left after the linger time', async () => {
  const { ours, theirs, close } = await pair();
  const started = Date.now();
  await endGently(ours, 100);
  expect(Date.now() - started).toBeGreaterThanOrEqual(90);
  theirs.destroy();
  close();
});

test('an abort is a reset, and errors of a socket let go are nobody\'s', async () => {
  const { ours, theirs, close } = await pair();
  ignoreErrors(ours);
  ignoreErrors(ours);
  const before = ours.listenerCount('error');
  const reset = new Promise((resolve) => theirs.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)));
  theirs.resume();
  abortSocket(ours);
  expect(await reset).toBe('ECONNRESET');
  expect(before).toBe(1);
  close();
});
