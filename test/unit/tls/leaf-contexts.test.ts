import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { connect, TLSSocket } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { expect, test } from 'vitest';
import type { Leaf } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { leafContext, spareContexts } from '../../../src/tls/leaf-contexts.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import type { TestCert } from '../../support/certs.ts';
import { socketPair } from '../../support/pair.ts';

const root = makeRoot('Gateway root');
const limits = limitsWith();
const modern = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', strongest: 3 } as const;

/** A key pair of its own: spares of other tests do not fit it. */
const keyPair = issueServer(root, { names: ['key.test'], key: 'ec' });

function leafOf(name: string, pair: TestCert = keyPair): Leaf {
  const { chainPem } = issueServer(root, { names: [name], keyPair: pair });
  return { serial: '01', key: 'ec', mirrored: true, certPem: chainPem, keyPem: pair.keyPem, ticketKeys: Buffer.alloc(48, name), staple: () => null };
}

/** What a client that verifies sees of a context, and its session. */
async function shown(context: SecureContext, servername: string, session: Buffer | null = null): Promise<{ names: string | undefined; resumed: boolean; session: Buffer | undefined }> {
  const pair = await socketPair();
  const server = new TLSSocket(pair.far, { isServer: true, secureContext: context });
  server.on('error', () => {});
  const client = connect({ socket: pair.near, servername, ca: root.certPem, maxVersion: 'TLSv1.2', ...(session === null ? {} : { session }) });
  await once(client, 'secureConnect');
  const seen = { names: client.getPeerX509Certificate()?.subjectAltName, resumed: client.isSessionReused(), session: client.getSession() };
  pair.destroy();
  return seen;
}

test('a leaf has one context for each class of answer, the same each time', () => {
  const leaf = leafOf('one.test');
  expect(leafContext(leaf, modern, limits)).toBe(leafContext(leaf, modern, limits));
  expect(leafContext(leaf, { ...modern, maxVersion: 'TLSv1.2' }, limits)).not.toBe(leafContext(leaf, modern, limits));
});

test('beyond leafContextsMax the one unused for longest is made anew, with the ticket keys it had', async () => {
  const two = limitsWith({ leafContextsMax: 2 });
  const [kept, dropped, third] = [leafOf('kept.test'), leafOf('dropped.test'), leafOf('third.test')];
  const contexts = [leafContext(kept, modern, two), leafContext(dropped, modern, two)] as const;
  const { session } = await shown(contexts[1], 'dropped.test');
  const pair = await socketPair();
  const open = new TLSSocket(pair.far, { isServer: true, secureContext: contexts[1] });
  expect(leafContext(kept, modern, two)).toBe(contexts[0]);
  leafContext(third, modern, two);
  // A connection that has it lives on.
  const client = connect({ socket: pair.near, servername: 'dropped.test', ca: root.certPem });
  await once(client, 'secureConnect');
  expect(client.getPeerX509Certificate()?.subjectAltName).toBe('DNS:dropped.test');
  pair.destroy();
  open.destroy();
  expect(leafContext(kept, modern, two)).toBe(contexts[0]);
  const again = leafContext(dropped, modern, two);
  expect(again).not.toBe(contexts[1]);
  expect(await shown(again, 'dropped.test', session ?? null)).toMatchObject({ resumed: true });
  expect(leafContext(kept, modern, two)).toBe(contexts[0]);
});

test('a spare waits after the first leaf and serves the next of the same key, with that leaf\'s certificate and its ticket keys alone', async () => {
  leafContext(leafOf('first.test'), modern, limits);
  await turn();
  const waiting = spareContexts();
  const second = leafOf('second.test');
  const context = leafContext(second, modern, limits);
  expect(spareContexts()).toBe(waiting - 1);
  await turn();
  expect(spareContexts()).toBe(waiting);
  const seen = await shown(context, 'second.test');
  expect(seen.names).toBe('DNS:second.test');
  const third = leafContext(leafOf('third.test'), modern, limits);
  expect(await shown(third, 'third.test')).toMatchObject({ names: 'DNS:third.test', resumed: false });
  expect(await shown(context, 'second.test', seen.session ?? null)).toMatchObject({ resumed: true });
  expect(await shown(third, 'third.test', seen.session ?? null)).toMatchObject({ names: 'DNS:third.test', resumed: false });
});

test('a leaf of another key is not served by a spare, whatever waits', async () => {
  leafContext(leafOf('before.test'), modern, limits);
  await turn();
  const other = issueServer(root, { names: ['other.test'], key: 'ec' });
  const context = leafContext(leafOf('renewed.test', other), modern, limits);
  expect(await shown(context, 'renewed.test')).toMatchObject({ names: 'DNS:renewed.test' });
});

test('a burst of new names makes one spare, and a class not met before takes the place of the oldest', async () => {
  const one = limitsWith({ spareContextsMax: 1 });
  await turn();
  for (let index = 0; index < 20; index += 1) leafContext(leafOf(`burst-${String(index)}.test`), modern, one);
  await turn();
  expect(spareContexts()).toBe(1);
  leafContext(leafOf('rare.test'), { ...modern, maxVersion: 'TLSv1.2' }, one);
  await turn();
  expect(spareContexts()).toBe(1);
  leafContext(leafOf('rare-too.test'), { ...modern, maxVersion: 'TLSv1.2' }, one);
  expect(spareContexts()).toBe(0);
  await turn();
});

test('tickets that live shorter, after a reload, are of another context', () => {
  const leaf = leafOf('tickets.test');
  expect(leafContext(leaf, modern, limitsWith({ ticketLifetimeMs: 60_000 }))).not.toBe(leafContext(leaf, modern, limits));
});

test('no more wait than spareContextsMax', async () => {
  const none = limitsWith({ spareContextsMax: 0 });
  leafContext(leafOf('a.test'), { ...modern, strongest: 2 }, none);
  await turn();
  const waiting = spareContexts();
  leafContext(leafOf('b.test'), { ...modern, strongest: 2 }, none);
  await turn();
  expect(spareContexts()).toBe(waiting);
});

test('Node: a native context takes a certificate and ticket keys later; when this fails, new names cost a whole context again', async () => {
  leafContext(leafOf('probe.test'), modern, limits);
  await turn();
  const native = leafContext(leafOf('probed.test'), modern, limits).context as object;
  expect(native).toMatchObject({ setCert: expect.any(Function) as unknown, setTicketKeys: expect.any(Function) as unknown });
});
