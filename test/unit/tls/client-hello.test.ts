import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { detectTls, isClientHello, readClientHello } from '../../../src/tls/client-hello.ts';
import type { ClientHello } from '../../../src/tls/client-hello.ts';
import { buildHello, buildSslv2, helloBytes, inRecords } from '../../support/client-hellos.ts';

const limits = limitsWith({ helloBytesMax: 8192 });
const pseudoTls = Buffer.from(`160301002d010000290301${'42'.repeat(32)}00000200180100`, 'hex');

function read(bytes: Buffer): ClientHello {
  const found = readClientHello(bytes, limits);
  if (typeof found === 'string') throw new Error(`no hello but ${found}`);
  return found;
}

/** The first definite answer over all prefixes; every longer prefix must give the same. */
function settledAt(bytes: Buffer): { at: number; answer: ClientHello | 'no' } {
  let settled: { at: number; answer: ClientHello | 'no' } | null = null;
  for (let length = 0; length <= bytes.length; length += 1) {
    const answer = readClientHello(bytes.subarray(0, length), limits);
    if (settled !== null) expect(answer).toEqual(settled.answer);
    else if (answer !== 'more') settled = { at: length, answer };
  }
  if (settled === null) throw new Error('never settled');
  return settled;
}

describe('what cannot be TLS', () => {
  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 1],
    ['SIP', Buffer.from('REGISTER sip:x SIP/2.0\r\n'), 1],
    ['a TLS alert', Buffer.from('15030100020246', 'hex'), 1],
    ['bare MS-TURN', Buffer.from('02000024000300100000', 'hex'), 1],
    ['a record version of 2.x', Buffer.from('160201002d01', 'hex'), 2],
    ['an empty first record', Buffer.from('160301000016030100', 'hex'), 5],
    ['a first record over 16 KiB', Buffer.from('160301400101', 'hex'), 5],
    ['a ServerHello', Buffer.from('160303004a02', 'hex'), 6],
  ])('%s is refused as soon as a byte tells', (_name, bytes, at) => {
    expect(settledAt(bytes)).toEqual({ at, answer: 'no' });
  });

  test('nothing yet, or a server speaking', () => {
    expect(detectTls(Buffer.alloc(0), 'client', limits)).toBe('more');
    expect(detectTls(buildHello(), 'upstream', limits)).toBe('no');
    expect(detectTls(Buffer.alloc(0), 'upstream', limits)).toBe('no');
  });
});

describe('records', () => {
  test('the MS-TURN pseudo hello reads as TLS: its own row is asked before', () => {
    expect(read(pseudoTls)).toMatchObject({ problem: null, length: 50, versions: ['TLSv1'], ciphers: [0x18], hasExtensionsBlock: false });
  });

  test('bytes after the last record do not count', () => {
    const hello = buildHello({ extensions: [] });
    expect(read(Buffer.concat([hello, Buffer.from('140303000101', 'hex')]))).toEqual(read(hello));
  });

  test.each([
    ['an alert between the records', (parts: Buffer) => Buffer.concat([parts.subarray(0, 25), Buffer.from('15030100020228', 'hex')]), 26, 25],
    ['an empty record in the middle', (parts: Buffer) => Buffer.concat([parts.subarray(0, 25), Buffer.from('1603010000', 'hex')]), 30, 25],
    ['a later record over 16 KiB', (parts: Buffer) => Buffer.concat([parts.subarray(0, 25), Buffer.from('1603014001', 'hex')]), 30, 25],
  ])('%s is malformed, and told at once', (_name, change, at, length) => {
    const settled = settledAt(change(inRecords(helloBytes('curl-default.hex'), 20)));
    expect(settled.at).toBe(at);
    expect(settled.answer).toMatchObject({ problem: 'HELLO_MALFORMED', length });
  });

  test('a record longer than the hello is malformed', () => {
    const hello = buildHello();
    hello.writeUInt16BE(hello.length - 5 + 3, 3);
    expect(settledAt(Buffer.concat([hello, Buffer.alloc(3)]))).toMatchObject({ at: 9, answer: { problem: 'HELLO_MALFORMED', length: 0 } });
  });

  test('a hello shorter than any hello is malformed', () => {
    expect(settledAt(Buffer.from('16030100050100000101', 'hex'))).toMatchObject({ at: 9, answer: { problem: 'HELLO_MALFORMED' } });
  });
});

describe('the bound', () => {
  const padding = (length: number): Buffer => buildHello({ extensions: [[21, Buffer.alloc(length)]] });
  const rest = padding(0).length;

  test('holds to the byte, in one record', () => {
    expect(read(padding(limits.helloBytesMax - rest))).toMatchObject({ problem: null, length: limits.helloBytesMax });
    expect(settledAt(padding(limits.helloBytesMax - rest + 1))).toMatchObject({ at: 9, answer: { problem: 'HELLO_TOO_LARGE' } });
  });

  test('counts record headers', () => {
    const hello = padding(limits.helloBytesMax - rest - 5);
    expect(read(inRecords(hello, hello.length - 6))).toMatchObject({ problem: null, length: limits.helloBytesMax });
    expect(settledAt(inRecords(hello, 4000)).answer).toMatchObject({ problem: 'HELLO_TOO_LARGE' });
    expect(settledAt(inRecords(hello, 1)).answer).toMatchObject({ problem: 'HELLO_TOO_LARGE' });
  });

  test('a hello over several full records is read', () => {
    const wide = limitsWith({ helloBytesMax: 65_536 });
    const message = padding(40_000);
    const bytes = inRecords(message, 16_384);
    expect(readClientHello(bytes, wide)).toMatchObject({ problem: null, length: bytes.length, extensions: [21] });
  });
});

describe('SSL version 2 format', () => {
  test('is recognised and named', () => {
    expect(settledAt(buildSslv2(0x0301, [0x00002f, 0x000035, 0x0700c0]))).toEqual({
      at: 36,
      answer: expect.objectContaining({
        format: 'sslv2', legacyVersion: 0x0301, versions: ['TLSv1'], maxVersion: 'TLSv1', ciphers: [0x2f, 0x35, 0x0700c0], hasExtensionsBlock: false, sni: null, length: 36, problem: null,
      }),
    });
    expect(read(buildSslv2(0x0002, [0x0700c0], 32))).toMatchObject({ format: 'sslv2', versions: [], maxVersion: null, problem: null });
  });

  test.each([
    ['another type', (bytes: Buffer) => bytes.writeUInt8(2, 2)],
    ['another major version', (bytes: Buffer) => bytes.writeUInt8(4, 3)],
    ['a cipher length that is no multiple of 3', (bytes: Buffer) => bytes.writeUInt16BE(4, 5)],
    ['lengths that do not add up', (bytes: Buffer) => bytes.writeUInt16BE(17, 9)],
    ['a session id of 3 octets', (bytes: Buffer) => bytes.writeUInt16BE(3, 7)],
    ['a record over 4095 octets', (bytes: Buffer) => bytes.writeUInt16BE(0xffff, 0)],
  ])('%s is another protocol', (_name, change) => {
    const bytes = buildSslv2(0x0301, [0x2f]);
    change(bytes);
    expect(settledAt(bytes).answer).toBe('no');
  });
});

test('facts are told from other facts', () => {
  expect(isClientHello(read(pseudoTls))).toBe(true);
  for (const other of [null, 'tls', { format: 'tls' }, { format: 'h2', ciphers: [], problem: null }]) expect(isClientHello(other)).toBe(false);
});
