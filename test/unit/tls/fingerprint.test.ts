// The real hellos' fingerprints are in test/conformance/client-hello.test.ts; here are the corners they do not reach.

import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { readClientHello } from '../../../src/tls/client-hello.ts';
import { fingerprints, ja3, ja4 } from '../../../src/tls/fingerprint.ts';
import { buildHello, buildSslv2, numbers16, prefix16, prefix8, serverName } from '../../support/client-hellos.ts';
import type { ClientHello } from '../../../src/tls/client-hello.ts';

function hello(bytes: Buffer): ClientHello {
  const found = readClientHello(bytes, limitsWith());
  if (typeof found === 'string') throw new Error(found);
  return found;
}

test('a hello without extensions', () => {
  const bare = hello(buildHello({ legacyVersion: 0x0301, ciphers: [0x2f, 0x0a] }));
  expect(ja3(bare).text).toBe('769,47-10,,,');
  expect(ja4(bare)).toBe('t10i020000_b2ad0625f3cb_000000000000');
});

test('GREASE counts nowhere', () => {
  const plain = buildHello({ ciphers: [0x1301], extensions: [[10, prefix16(numbers16([29]))], [13, prefix16(numbers16([0x0403]))]] });
  const greased = buildHello({
    ciphers: [0x5a5a, 0x1301],
    extensions: [[0x1a1a, Buffer.alloc(0)], [10, prefix16(numbers16([0x2a2a, 29]))], [13, prefix16(numbers16([0x0403, 0x3a3a]))]],
  });
  expect(ja3(hello(greased))).toEqual(ja3(hello(plain)));
  expect(ja4(hello(greased))).toBe(ja4(hello(plain)));
});

test('JA4 does not mind the order of extensions and ciphers, JA3 does', () => {
  const one = hello(buildHello({ ciphers: [1, 2], extensions: [[35, Buffer.alloc(0)], [23, Buffer.alloc(0)]] }));
  const other = hello(buildHello({ ciphers: [2, 1], extensions: [[23, Buffer.alloc(0)], [35, Buffer.alloc(0)]] }));
  expect(ja4(one)).toBe(ja4(other));
  expect(ja3(one).hash).not.toBe(ja3(other).hash);
});

test.each([
  ['h2', 'h2'], ['http/1.1', 'h1'], ['x', 'xx'], ['\xab\xcd', 'ad'], ['a\xff', '6f'], ['-', '2d'],
])('the ALPN name %j is written %s', (name, code) => {
  const made = hello(buildHello({ extensions: [[16, prefix16(prefix8(Buffer.from(name, 'latin1')))]] }));
  expect(ja4(made).slice(8, 10)).toBe(code);
});

test('an invalid server name still counts as one; more than 99 of anything is 99', () => {
  const many = hello(buildHello({ ciphers: Array.from({ length: 120 }, (_, index) => index), extensions: [serverName('192.0.2.1')] }));
  expect(ja4(many).slice(0, 10)).toBe('t12d990100');
});

test('versions that JA4 names, and those it does not', () => {
  const versions = (...numbers: number[]): string => ja4(hello(buildHello({ extensions: [[43, prefix8(numbers16(numbers))]] }))).slice(1, 3);
  expect(versions(0x0303, 0x0304)).toBe('13');
  expect(versions(0x8a8a, 0x0303)).toBe('12');
  expect(versions(0x7f1c, 0x0303)).toBe('00');
  expect(ja4(hello(buildHello({ legacyVersion: 0x0300 }))).slice(1, 3)).toBe('s3');
  expect(ja4(hello(buildSslv2(0x0002, [0x0700c0]))).slice(0, 10)).toBe('ts2i010000');
});

test('remembered fingerprints are those of the hello at hand, however few places there are', () => {
  const hellos = [[0x1301], [0x1302], [0x1301, 0x1302], [0x1302, 0x1301]].flatMap((ciphers) => [[29], [23], [29, 23]].map((groups) =>
    hello(buildHello({ ciphers, extensions: [[10, prefix16(numbers16(groups))], [13, prefix16(numbers16([0x0403]))]] }))));
  for (const max of [1, 2, 256]) {
    for (let round = 0; round < 2; round += 1) {
      for (const one of hellos) expect(fingerprints(one, { fingerprintsMax: max, fingerprintBytesMax: 4_096 })).toMatchObject({ ja3: ja3(one).hash, ja4: ja4(one) });
    }
  }
});

test('of a hello larger than fingerprintBytesMax nothing is remembered', () => {
  const sized = (count: number): ReturnType<typeof hello> => hello(buildHello({ ciphers: Array.from({ length: count }, (_, index) => index) }));
  const remembered = (one: ReturnType<typeof hello>): boolean => fingerprints(one, limitsWith({ fingerprintBytesMax: 4_096 })) === fingerprints(one, limitsWith({ fingerprintBytesMax: 4_096 }));
  expect([remembered(sized(500)), remembered(sized(512)), remembered(sized(5_000))]).toEqual([true, false, false]);
  expect(fingerprints(sized(5_000), limitsWith())).toEqual({ ja3: ja3(sized(5_000)).hash, ja4: ja4(sized(5_000)) });
});
