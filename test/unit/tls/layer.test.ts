// One TLS layer opened between a real client and a real server: what openTls returns, and what it says to whom before that.

import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { ConnectionOptions, Server, TLSSocket, TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../../src/core/log.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { noMeter } from '../../../src/core/meters.ts';
import type { Deps, Flow, Handled } from '../../../src/core/flow.ts';
import type { CertificateVerdict, SslVerdict } from '../../../src/core/verdicts.ts';
import { readClientHello } from '../../../src/tls/client-hello.ts';
import { isTlsFacts, openTls } from '../../../src/tls/layer.ts';
import { issueServer } from '../../support/certs.ts';
import { portOf, readBytes, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';
import { openWorld, serverRoot, untrustedRoot } from '../handoff/support.ts';
import type { World } from '../handoff/support.ts';
import { sessionWith } from '../policy/support.ts';

const site = issueServer(serverRoot, { names: ['site.test'] });
const limits = limitsWith();
let world: World;
const servers: Server[] = [];
const pairs: Pair[] = [];

beforeAll(async () => { world = await openWorld(); });
afterAll(async () => { await world.certificates.close(); });
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  for (const pair of pairs.splice(0)) pair.destroy();
});

const intercept: SslVerdict = {
  action: 'intercept', rule: 'ssl/test', handoff: true, tunnelOnError: new Set(), clientCert: 'tunnel',
  detect: { off: new Set(), on: new Set() }, clientMinVersion: 'TLSv1.2', issuer: null,
};

interface Opened {
  readonly flow: Flow;
  readonly client: TLSSocket;
  readonly handled: Promise<Handled>;
  readonly pair: Pair;
}

/** A client that trusts the gateway's CA, a server with `options`, and the layer between them. */
async function layer(options: TlsOptions = {}, verdict: Partial<SslVerdict> = {}, certificate: CertificateVerdict['action'] = 'deny', offer: ConnectionOptions = {}): Promise<Opened> {
  const server = createServer({ key: site.keyPem, cert: site.chainPem, ...options }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => socket.write(data));
  });
  server.on('tlsClientError', () => {});
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const pair = await socketPair();
  pairs.push(pair);
  const client = connect({ socket: pair.near, servername: 'site.test', ca: world.caPem, ...offer });
  client.on('error', () => {});
  const bytes = await readBytes(pair.far, 20);
  pair.far.unshift(bytes);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const whole = await readBytes(pair.far, pair.far.readableLength);
  pair.far.unshift(whole);
  const hello = readClientHello(whole, limits);
  if (typeof hello === 'string') throw new Error(`the hello is ${hello}`);
  const session = sessionWith({ sni: hello.sni });
  const flow: Flow = { session, raw: pair.far, client: pair.far, upstream: null, depth: 0, insideTls: false, repliedBytes: 0 };
  const deps: Deps = {
    limits, meter: noMeter, log: silentLogger, trust: world.trust, revocation: world.certificates.revocation, clock: Date.now,
    policy: { ...nothingAsked, certificate: () => ({ action: certificate, rule: 'certificate/test' }) },
    async dial() {
      const raw = tcpConnect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
      raw.on('error', () => {});
      await once(raw, 'connect');
      return raw;
    },
    certFor: (request) => world.certificates.certFor(request),
    protocolChanged() {}, noteRefusal() {}, noteAccepted() {},
  };
  return { flow, client, pair, handled: openTls(flow, deps, { hello, verdict: { ...intercept, ...verdict } }) };
}

const unasked = (): never => { throw new Error('the layer asks only the certificate stage'); };
const nothingAsked = { connection: unasked, ssl: unasked, certificate: unasked, protocol: unasked, http: unasked, sip: unasked, turn: unasked, has: () => false };

function asFlow(handled: Handled): Flow {
  if (typeof handled === 'string') throw new Error(`the layer is ${handled}`);
  return handled;
}

test('opened: the same session one layer further in, plaintext on both sides', async () => {
  const { flow, client, handled } = await layer();
  const inner = asFlow(await handled);
  expect([inner.session, inner.raw, inner.depth, inner.insideTls]).toEqual([flow.session, flow.raw, 1, true]);
  client.write('up');
  expect((await readBytes(inner.client, 2)).toString()).toBe('up');
  inner.upstream?.write('round');
  if (inner.upstream === null) throw new Error('no upstream');
  expect((await readBytes(inner.upstream, 5)).toString()).toBe('round');
  expect(flow.session.tls).toMatchObject({ client: { alpn: null }, upstream: { name: 'verified', problems: [] }, leaf: { mirrored: true } });
  inner.upstream.destroy();
});

describe('a client is shown no more than its server has', () => {
  const rsaSite = issueServer(serverRoot, { names: ['site.test'], key: 'rsa' });
  const old = (ciphers: string): TlsOptions => ({ key: rsaSite.keyPem, cert: rsaSite.chainPem, maxVersion: 'TLSv1.2', ciphers });

  test.each<[string, string, string, string]>([
    ['AES128-SHA', 'AES128-GCM-SHA256', 'rsa', 'DEFAULT'], ['ECDHE-RSA-AES128-SHA', 'ECDHE-ECDSA-AES128-SHA256', 'ec', 'DEFAULT'], ['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'ec', 'DEFAULT'],
    // It names ECDSA for TLS 1.3, in which it is not answered; in TLS 1.2 it has no suite for it.
    ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'rsa', 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256'],
  ])('a server of %s: %s, %s leaf', async (ciphers, shown, key, offered) => {
    const { flow, client, handled } = await layer(old(ciphers), {}, 'deny', { ciphers: offered });
    const inner = asFlow(await handled);
    client.write('up');
    expect((await readBytes(inner.client, 2)).toString()).toBe('up');
    expect(flow.session.tls).toMatchObject({ client: { version: 'TLSv1.2', cipher: shown }, upstream: { version: 'TLSv1.2', cipher: ciphers }, leaf: { key } });
    inner.upstream?.destroy();
  });

  test('a client that would refuse its server\'s suites is not helped to it: the server refuses ours too', async () => {
    const { flow, handled } = await layer(old('ECDHE-RSA-AES128-SHA'), {}, 'deny', { ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256' });
    await expect(handled).rejects.toMatchObject({ code: 'UPSTREAM_TLS_ALERT' });
    expect(flow.raw.bytesWritten).toBe(0);
  });
});

test('no common version: NO_COMMON_TLS, nothing said', async () => {
  const { flow, handled } = await layer({}, { clientMinVersion: 'TLSv1.3' }, 'deny', { maxVersion: 'TLSv1.2' });
  await expect(handled).rejects.toMatchObject({ code: 'NO_COMMON_TLS' });
  expect(flow.raw.bytesWritten).toBe(0);
});

test.each([
  ['deny', 'refusal'], ['mirror-untrusted', 'untrusted'], ['accept', 'trusted'], ['tunnel', 'tunnel'],
] as const)('an untrusted server under %s', async (action, outcome) => {
  const bad = issueServer(untrustedRoot, { names: ['site.test'] });
  const { flow, client, handled } = await layer({ key: bad.keyPem, cert: bad.chainPem }, {}, action);
  const trusts = once(client, 'secureConnect').then(() => true, () => false);
  if (outcome === 'tunnel') {
    expect(await handled).toBe('tunnel');
    expect(flow.raw.bytesWritten).toBe(0);
    return;
  }
  if (outcome === 'untrusted') {
    await handled.then((inner) => asFlow(inner).upstream?.destroy(), () => null);
    expect(await trusts).toBe(false);
    return;
  }
  const inner = asFlow(await handled);
  expect(await trusts).toBe(true);
  expect(inner.refusal?.code ?? null).toBe(outcome === 'refusal' ? 'UPSTREAM_CERT_UNTRUSTED' : null);
  expect(inner.upstream === null).toBe(outcome === 'refusal');
  inner.upstream?.destroy();
});

test('intercept-on-exception with a good certificate is a tunnel, and the client has heard nothing', async () => {
  const { flow, handled } = await layer({}, { action: 'intercept-on-exception' });
  expect(await handled).toBe('tunnel');
  expect(flow.raw.bytesWritten).toBe(0);
});

test('a server that requires a client certificate: UPSTREAM_WANTS_CLIENT_CERT before the client is answered', async () => {
  const { flow, handled } = await layer({ requestCert: true, rejectUnauthorized: true, ca: serverRoot.certPem });
  await expect(handled).rejects.toMatchObject({ code: 'UPSTREAM_WANTS_CLIENT_CERT' });
  expect(flow.raw.bytesWritten).toBe(0);
});

test('facts are those of a TLS layer, or not', () => {
  expect([isTlsFacts({ hello: 1, verdict: 2 }), isTlsFacts({ hello: 1 }), isTlsFacts(null)]).toEqual([true, false, false]);
});
