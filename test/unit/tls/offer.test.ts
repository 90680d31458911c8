import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { readClientHello } from '../../../src/tls/client-hello.ts';
import type { ClientHello } from '../../../src/tls/client-hello.ts';
import { alpnWire, asksForStaple, clientMaxVersion, commonVersion, leafKeyFor, offerClass, shownOf } from '../../../src/tls/offer.ts';
import type { ShownTls } from '../../../src/tls/offer.ts';
import { buildHello, buildSslv2, helloBytes, numbers16, prefix16, prefix8 } from '../../support/client-hellos.ts';
import type { HelloParts } from '../../support/client-hellos.ts';

function read(bytes: Buffer): ClientHello {
  const found = readClientHello(bytes, limitsWith());
  if (typeof found === 'string') throw new Error(found);
  return found;
}

interface Offer { versions?: number[]; ciphers?: number[]; groups?: number[]; algorithms?: number[]; alpn?: string[]; legacyVersion?: number }

function offer({ versions, ciphers, groups, algorithms, alpn, legacyVersion }: Offer): ClientHello {
  const extensions: [number, Buffer][] = [];
  if (versions) extensions.push([43, prefix8(numbers16(versions))]);
  if (groups) extensions.push([10, prefix16(numbers16(groups))]);
  if (algorithms) extensions.push([13, prefix16(numbers16(algorithms))]);
  if (alpn) extensions.push([16, prefix16(Buffer.concat(alpn.map((name) => prefix8(Buffer.from(name)))))]);
  const parts: HelloParts = { legacyVersion: legacyVersion ?? 0x0303, extensions, ...(ciphers ? { ciphers } : {}) };
  return read(buildHello(parts));
}

describe('leaf key', () => {
  test.each([
    ['chromium.hex', 'ec'], ['firefox-esr.hex', 'ec'], ['curl-default.hex', 'ec'], ['sipsak-tls.hex', 'ec'], ['turnutils-tls.hex', 'ec'],
    ['gnutls-cli-tls10.hex', 'rsa'], ['openssl-tls10.hex', 'rsa'],
  ])('%s: %s', (file, key) => {
    expect(leafKeyFor(read(helloBytes(file)))).toBe(key);
  });

  test.each([
    ['TLS 1.3 with ecdsa_secp256r1_sha256', { versions: [0x0304], algorithms: [0x0804, 0x0403] }, 'ec'],
    ['TLS 1.3 with RSA and P-384 alone', { versions: [0x0304], algorithms: [0x0804, 0x0503] }, 'rsa'],
    ['TLS 1.2 with all three', { algorithms: [0x0403], groups: [23], ciphers: [0xc02b] }, 'ec'],
    ['TLS 1.2, AES-CBC alone', { algorithms: [0x0403], groups: [23], ciphers: [0xc00a] }, 'ec'],
    ['TLS 1.2 without P-256', { algorithms: [0x0403], groups: [29], ciphers: [0xc02b] }, 'rsa'],
    ['TLS 1.2 without an ECDSA suite', { algorithms: [0x0403], groups: [23], ciphers: [0xc02f] }, 'rsa'],
    ['TLS 1.2 with an ECDSA suite that Node does not enable', { algorithms: [0x0403], groups: [23], ciphers: [0xc008] }, 'rsa'],
    ['TLS 1.2 without the algorithm', { algorithms: [0x0401], groups: [23], ciphers: [0xc02b] }, 'rsa'],
    ['no signature algorithms', { groups: [23], ciphers: [0xc02b] }, 'rsa'],
  ] satisfies [string, Offer, string][])('%s: %s', (_name, made, key) => {
    expect(leafKeyFor(offer(made))).toBe(key);
  });

  const newest = { versions: [0x0304, 0x0303], algorithms: [0x0403], groups: [23] };
  test.each<[string, Offer, ShownTls, string]>([
    ['TLS 1.3, answered with it', { ...newest, ciphers: [0x1301, 0xc02f] }, { maxVersion: 'TLSv1.3', strongest: 3 }, 'ec'],
    ['TLS 1.3, answered with TLS 1.2, for which it has RSA alone', { ...newest, ciphers: [0x1301, 0xc02f] }, { maxVersion: 'TLSv1.2', strongest: 3 }, 'rsa'],
    ['TLS 1.3, answered with TLS 1.2', { ...newest, ciphers: [0x1301, 0xc02b] }, { maxVersion: 'TLSv1.2', strongest: 3 }, 'ec'],
    ['an ECDSA suite above what is shown', { ...newest, ciphers: [0xc02b, 0x2f] }, { maxVersion: 'TLSv1.2', strongest: 2 }, 'rsa'],
    ['an ECDSA suite no better than what is shown', { ...newest, ciphers: [0xc009, 0x2f] }, { maxVersion: 'TLSv1.2', strongest: 2 }, 'ec'],
    ['key transport', { ...newest, ciphers: [0xc009, 0x2f] }, { maxVersion: 'TLSv1.2', strongest: 1 }, 'rsa'],
  ])('%s', (_name, made, shown, key) => {
    expect(leafKeyFor(offer(made), shown)).toBe(key);
  });
});

test.each<[string, string, ShownTls]>([
  ['TLSv1.3', 'TLS_AES_128_GCM_SHA256', { maxVersion: 'TLSv1.3', strongest: 3 }], ['TLSv1.2', 'ECDHE-RSA-AES128-GCM-SHA256', { maxVersion: 'TLSv1.2', strongest: 3 }],
  ['TLSv1.2', 'DHE-RSA-AES256-SHA', { maxVersion: 'TLSv1.2', strongest: 2 }], ['TLSv1.2', 'AES128-GCM-SHA256', { maxVersion: 'TLSv1.2', strongest: 1 }],
])('of a server of %s and %s a client is shown no more', (version, suite, shown) => {
  expect(shownOf(version, suite, 'TLSv1.2')).toEqual(shown);
  expect(shownOf(version, suite, 'TLSv1.3')).toEqual({ maxVersion: 'TLSv1.3', strongest: 3 });
});

test.each<[string, readonly number[], number]>([
  ['a browser', [0x1301, 0xc02b, 0xc013, 0x2f], 1], ['no key transport', [0x1301, 0xc02b, 0xc013], 2], ['authenticated encryption alone', [0x1301, 0xc02b], 3],
])('%s: its server is offered nothing weaker than it offers itself', (_who, ciphers, weakest) => {
  expect(offerClass(offer({ ciphers: [...ciphers] }), 'TLSv1.2').weakest).toBe(weakest);
});

test('versions in common', () => {
  const phone = read(helloBytes('openssl-tls10.hex'));
  expect(commonVersion(phone, 'TLSv1')).toBe('TLSv1');
  expect(commonVersion(phone, 'TLSv1.2')).toBeNull();
  expect(commonVersion(read(helloBytes('chromium.hex')), 'TLSv1.3')).toBe('TLSv1.3');
  expect(commonVersion(read(helloBytes('turnutils-tls.hex')), 'TLSv1.3')).toBeNull();
  expect(commonVersion(read(buildSslv2(0x0002, [0x0700c0])), 'TLSv1')).toBeNull();
  expect(commonVersion(offer({ legacyVersion: 0x0300 }), 'TLSv1')).toBeNull();
});

describe('offer class', () => {
  test.each([
    ['chromium.hex', 'TLSv1.2-TLSv1.3/*X25519MLKEM768:*X25519:P-256:P-384/1'],
    ['firefox-esr.hex', 'TLSv1.2-TLSv1.3/*X25519MLKEM768:*X25519:P-256:P-384:P-521/1'],
    ['curl-default.hex', 'TLSv1.2-TLSv1.3/X25519:P-256:P-384:P-521/1'],
    ['turnutils-tls.hex', 'TLSv1.2-TLSv1.2/X25519:P-256:P-384:P-521/1'],
    ['openssl-tls10.hex', 'TLSv1.2-TLSv1.2/X25519:P-256:P-384:P-521/1'],
  ])('%s: %s', (file, key) => {
    expect(offerClass(read(helloBytes(file)), 'TLSv1.2').key).toBe(key);
  });

  test('keeps P-256 and the client\'s own bounds', () => {
    expect(offerClass(offer({ versions: [0x0304], groups: [29], ciphers: [0x1301] }), 'TLSv1.2')).toEqual({ key: 'TLSv1.3-TLSv1.3/X25519:P-256/3', minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', groups: 'X25519:P-256', weakest: 3 });
    expect(offerClass(offer({ legacyVersion: 0x0301 }), 'TLSv1').key).toMatch(/^TLSv1-TLSv1\/P-256\//);
    expect(offerClass(read(buildSslv2(0x0002, [0x0700c0])), 'TLSv1.2').key).toBe('TLSv1.2-TLSv1.2/P-256/3');
  });

  test.each(['chromium.hex', 'curl-default.hex', 'turnutils-tls.hex'])('%s: Node offers upstream just that', async (file) => {
    const made = offerClass(read(helloBytes(file)), 'TLSv1.2');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const secureContext = tls.createSecureContext({ minVersion: made.minVersion, maxVersion: made.maxVersion, ecdhCurve: made.groups });
    const client = tls.connect({ socket: connectTcp(port, '127.0.0.1'), secureContext });
    client.on('error', () => {});
    const [socket] = await once(server, 'connection');
    const [bytes] = await once(socket, 'data');
    client.destroy();
    socket.destroy();
    server.close();
    const sent = read(bytes);
    const numbers: Record<string, number> = { X25519MLKEM768: 0x11ec, X25519: 29, 'P-256': 23, 'P-384': 24, 'P-521': 25 };
    expect(sent.groups).toEqual(made.groups.split(':').map((name) => numbers[name.replace('*', '')]));
    const shares = made.groups.split(':').filter((name) => name.startsWith('*')).map((name) => numbers[name.slice(1)]);
    if (made.maxVersion === 'TLSv1.3') expect(sent.keyShares).toEqual(shares.length > 0 ? shares : [29]);
    expect(sent.maxVersion).toBe(made.maxVersion);
  });
});

test('ALPN names keep their octets on the wire', () => {
  expect(Buffer.from(alpnWire(['h2', '\xff\0']).buffer).toString('hex')).toBe('02683202ff00');
  expect(alpnWire([]).byteLength).toBe(0);
  expect(alpnWire(['\xab'.repeat(255)]).getUint8(0)).toBe(255);
});

test("what Node keeps of ALPN names for a connection is not in the pool of Buffers", () => {
  const convert: unknown = Reflect.get(tls, 'convertALPNProtocols');
  if (typeof convert !== 'function') throw new Error('Node keeps ALPN names in another way');
  const kept: { ALPNProtocols?: Buffer } = {};
  convert(alpnWire(['h2', 'http/1.1']), kept);
  expect(kept.ALPNProtocols?.toString('latin1')).toBe('\x02h2\x08http/1.1');
  expect(kept.ALPNProtocols?.buffer.byteLength).toBe(12);
  // Of a Buffer it would be: when that has changed, a Buffer will do.
  convert(Buffer.from('\x02h2'), kept);
  expect(kept.ALPNProtocols?.buffer.byteLength).toBeGreaterThan(1_000);
});

describe('the newest version for the client', () => {
  test.each([
    ['TLSv1.3', 'TLSv1.2', 'TLSv1.3'], ['TLSv1.2', 'TLSv1.2', 'TLSv1.2'], ['TLSv1.2', 'TLSv1', 'TLSv1.2'], ['TLSv1.2', 'TLSv1.3', 'TLSv1.3'],
    ['TLSv1', 'TLSv1', 'TLSv1'], [null, 'TLSv1.2', 'TLSv1.3'], ['unknown', 'TLSv1.2', 'TLSv1.3'],
  ] as const)('server %s, clients from %s on: %s', (upstream, minimum, newest) => {
    expect(clientMaxVersion(upstream, minimum)).toBe(newest);
  });
});

test('a client asks for a staple with status_request', () => {
  const hello = (extensions: [number, Buffer][]): ClientHello => read(buildHello({ legacyVersion: 0x0303, extensions }));
  expect(asksForStaple(hello([[5, Buffer.from('0100000000', 'hex')]]))).toBe(true);
  expect(asksForStaple(hello([[10, prefix16(numbers16([29]))]]))).toBe(false);
});
