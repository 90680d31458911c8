import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noMoreKeyListeners } from '../../../src/tls/key-listeners.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const root = makeRoot('Root');
const identity = issueServer(root, { names: ['site.test'], key: 'ec' });
const server = createServer({ cert: identity.chainPem, key: identity.keyPem }, (socket) => socket.on('error', () => {}).resume());

beforeAll(async () => void await once(server.listen(0, '127.0.0.1'), 'listening'));
afterAll(() => server.close());

function open(): TLSSocket {
  return connect({ host: '127.0.0.1', port: portOf(server), servername: 'site.test', ca: root.certPem, maxVersion: 'TLSv1.2' });
}

test('listeners for keys and sessions that are there still hear; later ones of other kinds too', async () => {
  const socket = open();
  const heard = { keylog: 0, session: 0 };
  socket.on('keylog', () => { heard.keylog += 1; });
  socket.on('session', () => { heard.session += 1; });
  noMoreKeyListeners(socket);
  await once(socket, 'secureConnect');
  await expect.poll(() => heard.session).toBeGreaterThan(0);
  expect(heard.keylog).toBeGreaterThan(0);
  socket.destroy();
  await once(socket, 'close');
});

test('Node looks at each new listener by one of its own, which is gone then; when this fails, the quirk is', () => {
  const socket = open();
  expect(socket.listenerCount('newListener')).toBeGreaterThan(0);
  noMoreKeyListeners(socket);
  expect(socket.listenerCount('newListener')).toBe(0);
  socket.destroy();
});
