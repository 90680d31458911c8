import { describe, expect, test } from 'vitest';
import { hostName, isGrease, readHelloBody, helloDraft } from '../../../src/tls/hello-body.ts';
import type { HelloDraft } from '../../../src/tls/hello-body.ts';
import { buildHello, number16, numbers16, prefix16, prefix8, serverName } from '../../support/client-hellos.ts';
import type { HelloParts } from '../../support/client-hellos.ts';

function read(parts: HelloParts): { wellFormed: boolean; hello: HelloDraft } {
  const hello = helloDraft('tls', 0x0301);
  return { wellFormed: readHelloBody(hello, buildHello(parts).subarray(9)), hello };
}

const one = (type: number, data: Buffer): HelloParts => ({ extensions: [[type, data]] });

describe('server names', () => {
  test.each([
    ['www.Example.COM', 'www.example.com'],
    ['example.com.', 'example.com'],
    ['localhost', 'localhost'],
    ['_sip._tls.example.com', '_sip._tls.example.com'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['r3---sn-4g5e.example', 'r3---sn-4g5e.example'],
    ['1.2.3.example', '1.2.3.example'],
    [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  ])('%s is a host name', (sent, name) => {
    const { wellFormed, hello } = read({ extensions: [serverName(sent)] });
    expect(wellFormed).toBe(true);
    expect(hello).toMatchObject({ sni: name, sniRaw: null, sniIsIp: false });
  });

  test.each([
    ['192.0.2.1', true], ['2001:db8::1', true], ['[2001:db8::1]', true],
    ['192.0.2', false], ['a..b', false], ['.example', false], ['*.example.com', false], ['exa mple.com', false], ['evil.example\0.good.example', false],
    ['-a.example', false], ['a-.example', false], [`${'a'.repeat(64)}.example`, false], ['b\xfccher.example', false], ['a\r\nb', false], ['.', false],
    [`${'a.'.repeat(126)}ab`, false],
  ])('%j is none, and kept aside', (sent, isIp) => {
    const { wellFormed, hello } = read({ extensions: [serverName(sent)] });
    expect(wellFormed).toBe(true);
    expect(hello).toMatchObject({ sni: null, sniRaw: sent, sniIsIp: isIp });
  });

  test('an endless name is cut, and its start is no name', () => {
    const { hello } = read({ extensions: [serverName(`${'a'.repeat(60)}.`.repeat(100))] });
    expect(hello.sni).toBeNull();
    expect(hello.sniRaw).toHaveLength(255);
  });

  test('a name of another type is not taken', () => {
    const { wellFormed, hello } = read(one(0, prefix16(Buffer.concat([Buffer.from([7]), prefix16(Buffer.from('host.example'))]))));
    expect(wellFormed).toBe(true);
    expect(hello).toMatchObject({ sni: null, sniRaw: null });
  });

  const entry = Buffer.concat([Buffer.from([0]), prefix16(Buffer.from('a.example'))]);
  test.each([
    ['no list', Buffer.alloc(0)],
    ['an empty list', prefix16(Buffer.alloc(0))],
    ['an empty name', prefix16(Buffer.from([0, 0, 0]))],
    ['two host names', prefix16(Buffer.concat([entry, entry]))],
    ['a list longer than the extension', Buffer.concat([number16(entry.length + 1), entry])],
    ['a name longer than the list', prefix16(Buffer.from([0, 0, 9, 0x61]))],
    ['half an entry', prefix16(Buffer.concat([entry, Buffer.from([0, 0])]))],
  ])('%s is malformed', (_name, data) => {
    expect(read(one(0, data)).wellFormed).toBe(false);
  });

  test('hostName answers null for nothing', () => {
    expect(hostName('')).toBeNull();
  });
});

describe('lists', () => {
  test('are read in order', () => {
    const { wellFormed, hello } = read({
      sessionId: Buffer.alloc(32, 1),
      ciphers: [0x1a1a, 0x1301],
      extensions: [
        [10, prefix16(numbers16([0x11ec, 29]))], [11, prefix8(Buffer.from([0, 1]))], [13, prefix16(numbers16([0x0403]))],
        [16, prefix16(Buffer.concat([prefix8(Buffer.from('h2')), prefix8(Buffer.from([0xff, 0]))]))],
        [43, prefix8(numbers16([0x2a2a, 0x0303, 0x7f1c, 0x0304]))],
        [51, prefix16(Buffer.concat([number16(0x11ec), prefix16(Buffer.alloc(1216)), number16(29), prefix16(Buffer.alloc(32))]))],
        [35, Buffer.alloc(0)], [0xfe0d, Buffer.alloc(5)], [0xdead, Buffer.alloc(3)],
      ],
    });
    expect(wellFormed).toBe(true);
    expect(hello).toMatchObject({
      sessionIdBytes: 32, ciphers: [0x1a1a, 0x1301], groups: [0x11ec, 29], pointFormats: [0, 1], signatureAlgorithms: [0x0403], alpn: ['h2', '\xff\0'],
      supportedVersions: [0x2a2a, 0x0303, 0x7f1c, 0x0304], versions: ['TLSv1.2', 'TLSv1.3'], maxVersion: 'TLSv1.3', keyShares: [0x11ec, 29],
      extensions: [10, 11, 13, 16, 43, 51, 35, 0xfe0d, 0xdead], hasSessionTicket: true, hasEch: true, greaseSeen: true, hasExtensionsBlock: true,
    });
  });

  test.each([
    ['groups, empty', one(10, prefix16(Buffer.alloc(0)))],
    ['groups, odd', one(10, prefix16(Buffer.alloc(3)))],
    ['groups, longer than the extension', one(10, Buffer.from([0, 4, 0, 29]))],
    ['groups, shorter than the extension', one(10, Buffer.from([0, 2, 0, 29, 0]))],
    ['groups, without length', one(10, Buffer.from([0]))],
    ['signature algorithms, odd', one(13, prefix16(Buffer.alloc(1)))],
    ['supported versions, empty', one(43, Buffer.from([0]))],
    ['supported versions, absent', one(43, Buffer.alloc(0))],
    ['supported versions, odd', one(43, prefix8(Buffer.alloc(3)))],
    ['point formats, empty', one(11, Buffer.from([0]))],
    ['point formats, short', one(11, Buffer.from([2, 0]))],
    ['ALPN, empty', one(16, prefix16(Buffer.alloc(0)))],
    ['ALPN, an empty name', one(16, prefix16(Buffer.from([1, 0x61, 0])))],
    ['ALPN, a name beyond the list', one(16, prefix16(Buffer.from([3, 0x61, 0x62])))],
    ['key shares, half a share', one(51, prefix16(Buffer.from([0, 29, 0])))],
    ['key shares, an empty share', one(51, prefix16(Buffer.from([0, 29, 0, 0])))],
    ['key shares, beyond the list', one(51, prefix16(Buffer.from([0, 29, 0, 9, 1])))],
    ['the same extension twice', { extensions: [[35, Buffer.alloc(0)], [35, Buffer.alloc(0)]] as const }],
    ['the same unknown extension twice', { extensions: [[0xdead, Buffer.alloc(0)], [0xdead, Buffer.alloc(0)]] as const }],
    ['bytes after the extensions', { extensions: [], trailing: Buffer.alloc(1) }],
    ['one byte after the compression methods', { trailing: Buffer.alloc(1) }],
    ['no cipher', { ciphers: [], extensions: [] }],
    ['no compression method', { compression: Buffer.alloc(0), extensions: [] }],
    ['a session id of 33 octets', { sessionId: Buffer.alloc(33), extensions: [] }],
  ] satisfies [string, HelloParts][])('%s: malformed', (_name, parts) => {
    expect(read(parts).wellFormed).toBe(false);
  });

  test('an empty list of key shares is allowed (it asks for a HelloRetryRequest)', () => {
    expect(read(one(51, prefix16(Buffer.alloc(0))))).toMatchObject({ wellFormed: true, hello: { keyShares: [] } });
  });

  test('every cut of a body is malformed, none reads past the end', () => {
    const body = buildHello({ extensions: [serverName('a.example'), [10, prefix16(numbers16([29]))]] }).subarray(9);
    for (let length = 0; length < body.length; length += 1) {
      // The one exception: a body that ends after the compression methods has no extensions block.
      expect(readHelloBody(helloDraft('tls', 0x0301), body.subarray(0, length))).toBe(length === 35 + 2 + 6 + 2);
    }
  });
});

describe('versions', () => {
  test.each([
    [0x0300, [], null],
    [0x0301, ['TLSv1'], 'TLSv1'],
    [0x0302, ['TLSv1.1', 'TLSv1'], 'TLSv1.1'],
    [0x0303, ['TLSv1.2', 'TLSv1.1', 'TLSv1'], 'TLSv1.2'],
    [0x0304, ['TLSv1.2', 'TLSv1.1', 'TLSv1'], 'TLSv1.2'],
  ])('legacy version %i alone', (legacyVersion, versions, maxVersion) => {
    expect(read({ legacyVersion }).hello).toMatchObject({ versions, maxVersion, supportedVersions: null });
  });

  test('supported_versions overrides the legacy version, even when it names none we know', () => {
    expect(read(one(43, prefix8(numbers16([0x0304])))).hello).toMatchObject({ versions: ['TLSv1.3'], maxVersion: 'TLSv1.3' });
    expect(read(one(43, prefix8(numbers16([0x4a4a, 0x7f1c])))).hello).toMatchObject({ versions: [], maxVersion: null, greaseSeen: true });
    expect(read(one(43, prefix8(numbers16([0x0303, 0x0304, 0x0303])))).hello.versions).toEqual(['TLSv1.2', 'TLSv1.3']);
  });
});

test('GREASE is told from its neighbours', () => {
  for (let high = 0; high < 16; high += 1) expect(isGrease((high << 12) | 0x0a00 | (high << 4) | 0x0a)).toBe(true);
  for (const other of [0x0a1a, 0x1a0a, 0x0a0b, 0x1301, 0, 0xffff, 0x0700c0]) expect(isGrease(other)).toBe(false);
});
