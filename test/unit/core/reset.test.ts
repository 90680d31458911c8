import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { expect, test } from 'vitest';
import { resetSocket } from '../../../src/core/reset.ts';
import { socketPair } from '../../support/pair.ts';

const tcpHandles = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('the peer hears a reset, the socket is gone at once; a second call is nothing', async () => {
  const { near, far } = await socketPair();
  resetSocket(far);
  expect(far.destroyed).toBe(true);
  resetSocket(far);
  const [error] = await once(near, 'error') as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

test('a socket whose end is on its way is closed, not lost', async () => {
  await pause(20);
  const before = tcpHandles();
  const { near, far } = await socketPair();
  far.end();
  resetSocket(far);
  await once(far, 'close');
  near.destroy();
  await pause(50);
  expect(tcpHandles()).toBe(before);
});

// Node 24, the quirk itself. When this fails, resetSocket may reset in every state.
test('quirk: resetAndDestroy of such a socket fails and never closes', async () => {
  const { near, far } = await socketPair();
  far.end();
  const failed = once(far, 'error') as Promise<[NodeJS.ErrnoException]>;
  let closed = false;
  far.once('close', () => {
    closed = true;
  });
  far.resetAndDestroy();
  const [error] = await failed;
  expect([error.code, error.syscall]).toEqual(['EINVAL', 'reset']);
  await pause(50);
  expect(closed).toBe(false);
  near.destroy();
});

test('a TLS socket is dropped', async () => {
  const { near, far } = await socketPair();
  const secure = connectTls({ socket: near });
  secure.on('error', () => {});
  resetSocket(secure);
  expect(secure.destroyed).toBe(true);
  far.resume();
  await once(far, 'end');
  far.destroy();
});
