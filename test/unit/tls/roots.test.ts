import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createSecureContext, createServer, getCACertificates } from 'node:tls';
import { expect, test } from 'vitest';
import { useRoots } from '../../../src/tls/roots.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';

const [one, two] = [makeRoot('One'), makeRoot('Two')];
const listOf = (root: typeof one): X509Certificate[] => [new X509Certificate(root.certPem)];

test('a context believes the roots in use when it was made, whatever comes after', async () => {
  const site = issueServer(one, { names: ['site.test'] });
  const server = createServer({ key: site.keyPem, cert: site.chainPem }, (socket) => socket.on('error', () => {}));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const authorized: boolean[] = [];
  useRoots(listOf(one));
  const before = createSecureContext();
  useRoots(listOf(two));
  for (const secureContext of [before, createSecureContext()]) {
    const socket = connect({ port: portOf(server), host: '127.0.0.1', servername: 'site.test', rejectUnauthorized: false, secureContext });
    await once(socket, 'secureConnect');
    authorized.push(socket.authorized);
    socket.destroy();
  }
  server.close();
  expect(authorized).toEqual([true, false]);
});

test('lists take turns', () => {
  const [first, second] = [listOf(one), [...listOf(one), ...listOf(two)]];
  const counts = [first, second, second, first].map((list) => {
    useRoots(list);
    return getCACertificates('default').length;
  });
  expect(counts).toEqual([1, 2, 2, 1]);
});
