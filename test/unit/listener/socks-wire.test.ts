import { describe, expect, test } from 'vitest';
import { answerSocks4, answerSocks5, chooseMethod, passwordAnswer, readSocks } from '../../../src/listener/socks-wire.ts';

type Due = 'greeting' | 'password' | 'request';
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const name = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

const valid: [string, Due, string, object][] = [
  ['5: methods', 'greeting', '05 02 00 02', { kind: 'methods', methods: [0, 2] }],
  ['5: no method at all', 'greeting', '05 00', { kind: 'methods', methods: [] }],
  ['5: login', 'password', `01 04 ${name('anna')} 02 ${name('pw')}`, { kind: 'login', user: 'anna', password: 'pw' }],
  ['5: empty login', 'password', '01 00 00', { kind: 'login', user: '', password: '' }],
  ['5: IPv4', 'request', '05 01 00 01 c0000201 01bb', { kind: 'request', version: 5, command: 'connect', host: null, ip: '192.0.2.1', port: 443 }],
  ['5: IPv6', 'request', '05 01 00 04 20010db8000000000000000000000001 01bb', { ip: '2001:db8::1', host: null, port: 443 }],
  ['5: IPv4 mapped into IPv6', 'request', '05 01 00 04 00000000000000000000ffff7f000001 01bb', { ip: '::ffff:7f00:1' }],
  ['5: name', 'request', `05 01 00 03 09 ${name('Site.Test')} 01bb`, { host: 'site.test', ip: null, port: 443 }],
  ['5: name with a dot at its end', 'request', `05 01 00 03 0a ${name('site.test.')} 01bb`, { host: 'site.test' }],
  ['5: an address as a name', 'request', `05 01 00 03 09 ${name('192.0.2.1')} 01bb`, { host: null, ip: '192.0.2.1' }],
  ['5: an IPv6 address as a name', 'request', `05 01 00 03 03 ${name('::1')} 01bb`, { host: null, ip: '::1' }],
  ['5: BIND', 'request', '05 02 00 01 c0000201 01bb', { command: 'other' }],
  ['4: address and user', 'greeting', `04 01 01bb c0000201 ${name('me')} 00`, { kind: 'request', version: 4, command: 'connect', ip: '192.0.2.1', port: 443, user: null }],
  ['4: BIND', 'greeting', '04 02 01bb c0000201 00', { version: 4, command: 'other' }],
  ['4a: name', 'greeting', `04 01 01bb 00000001 00 ${name('site.test')} 00`, { version: 4, host: 'site.test', ip: null }],
  ['4a: with a user', 'greeting', `04 01 01bb 000000ff ${name('me')} 00 ${name('a-b_c.test')} 00`, { host: 'a-b_c.test' }],
  ['4: 0.0.0.0 is no name', 'greeting', '04 01 01bb 00000000 00', { ip: '0.0.0.0', host: null }],
];

describe.each(valid)('%s', (_name, due, text, expected) => {
  const bytes = hex(text);

  test('is read, with its length, whatever follows', () => {
    expect(readSocks(bytes, due)).toMatchObject({ ...expected, length: bytes.length });
    expect(readSocks(Buffer.concat([bytes, Buffer.from('\x16\x03\x01more')]), due)).toMatchObject({ ...expected, length: bytes.length });
  });

  test('asks for more at every split', () => {
    for (let end = 0; end < bytes.length; end += 1) expect([end, readSocks(bytes.subarray(0, end), due)]).toEqual([end, 'more']);
  });
});

test.each<[string, Due, string]>([
  ['HTTP on the port', 'greeting', name('GET / HTTP/1.1')],
  ['TLS on the port', 'greeting', '16030100'],
  ['version 6', 'greeting', '0601'],
  ['a login of another version', 'password', '0501'],
  ['a request of another version', 'request', '0401'],
  ['an unknown address type', 'request', '05010002'],
  ['port 0', 'request', '050100017f0000010000'],
  ['an empty name', 'request', '050100030001bb'],
  ['a name with a NUL', 'request', `05 01 00 03 03 ${name('a\0b')} 01bb`],
  ['a name with a blank', 'request', `05 01 00 03 03 ${name('a b')} 01bb`],
  ['a name with a colon that is no address', 'request', `05 01 00 03 04 ${name('a:80')} 01bb`],
  ['a name with a slash', 'request', `05 01 00 03 03 ${name('a/b')} 01bb`],
  ['a name with bytes above ASCII', 'request', '05 01 00 03 02 c3bc 01bb'],
  ['version 4 with port 0', 'greeting', '04010000c000020100'],
  ['4a with an empty name', 'greeting', '040101bb000000010000'],
  ['a user without end', 'greeting', `040101bbc0000201${'61'.repeat(300)}`],
  ['a name without end', 'greeting', `040101bb0000000100${'61'.repeat(300)}`],
  ['a user of 256 bytes', 'greeting', `040101bbc0000201${'61'.repeat(256)}00`],
])('no: %s', (_name, due, text) => {
  expect(readSocks(hex(text), due)).toBe('no');
});

test('nothing is thrown for, and nothing waited for beyond, hostile bytes', () => {
  let state = 7;
  const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 24;
  for (let run = 0; run < 20_000; run += 1) {
    const bytes = Buffer.from(Array.from({ length: next() % 40 }, next));
    bytes[0] = [1, 4, 5, next()][run % 4] ?? 0;
    for (const due of ['greeting', 'password', 'request'] as const) expect(() => readSocks(bytes, due)).not.toThrow();
  }
  for (const first of [1, 4, 5]) {
    for (const due of ['greeting', 'password', 'request'] as const) expect(readSocks(Buffer.concat([Buffer.from([first]), Buffer.alloc(1_024, 0xff)]), due)).not.toBe('more');
  }
});

test('methods and answers', () => {
  expect([chooseMethod([0, 2], false), chooseMethod([2], false), chooseMethod([0, 2], true), chooseMethod([0], true), chooseMethod([], false)]).toEqual([0, null, 2, null, null]);
  expect(answerSocks5('succeeded').toString('hex')).toBe('05000001000000000000');
  expect(answerSocks5('command-not-supported').toString('hex')).toBe('05070001000000000000');
  expect([answerSocks4(true).toString('hex'), answerSocks4(false).toString('hex')]).toEqual(['005a000000000000', '005b000000000000']);
  expect([passwordAnswer(true).toString('hex'), passwordAnswer(false).toString('hex')]).toEqual(['0100', '0101']);
});
