import { describe, expect, it } from 'vitest';
import { crc32c, readProxyHeader } from '../../../src/listener/proxy-protocol-wire.ts';
import type { ProxyHeader } from '../../../src/listener/proxy-protocol-wire.ts';
import { header2, tlv, withChecksum } from './proxy-headers.ts';

const max = 4096;
const line = (text: string): Buffer => Buffer.from(text, 'latin1');
const addresses4 = Buffer.from('c0000201cb007107d43101bb', 'hex');
const addresses6 = Buffer.from('20010db8000000000000000000000001' + '20010db8000000000000000000000002' + 'd43101bb', 'hex');

const good: [string, Buffer, Partial<ProxyHeader>][] = [
  ['v1 TCP4', line('PROXY TCP4 192.0.2.1 203.0.113.7 54321 443\r\n'), { version: 1, source: { ip: '192.0.2.1', port: 54321 }, destination: { ip: '203.0.113.7', port: 443 } }],
  ['v1 TCP6', line('PROXY TCP6 2001:DB8:0:0::1 2001:db8::2 54321 443\r\n'), { version: 1, source: { ip: '2001:db8::1', port: 54321 }, destination: { ip: '2001:db8::2', port: 443 } }],
  ['v1 TCP6, mapped', line('PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n'), { source: { ip: '192.0.2.1', port: 1 }, destination: { ip: '192.0.2.2', port: 2 } }],
  ['v1, the longest line', line(`PROXY UNKNOWN ${'f'.repeat(91)}\r\n`), { version: 1, source: null, destination: null, lengthBytes: 107 }],
  ['v1 UNKNOWN', line('PROXY UNKNOWN\r\n'), { version: 1, source: null, destination: null }],
  ['v2 TCP4', header2(0x21, 0x11, addresses4), { version: 2, source: { ip: '192.0.2.1', port: 54321 }, destination: { ip: '203.0.113.7', port: 443 } }],
  ['v2 TCP6', header2(0x21, 0x21, addresses6), { version: 2, source: { ip: '2001:db8::1', port: 54321 }, destination: { ip: '2001:db8::2', port: 443 } }],
  ['v2 LOCAL', header2(0x20, 0x00, Buffer.alloc(0)), { version: 2, source: null, destination: null }],
  ['v2 LOCAL with anything in it', header2(0x20, 0x77, Buffer.from('ffff', 'hex')), { source: null }],
  ['v2 unspecified', header2(0x21, 0x00, tlv(0x02, line('a.example'))), { source: null }],
  ['v2 of a file system socket', header2(0x21, 0x31, Buffer.alloc(216)), { source: null }],
  ['v2 with TLVs', header2(0x21, 0x11, Buffer.concat([addresses4, tlv(0x02, line('a.example')), tlv(0x04, Buffer.alloc(40))])), { source: { ip: '192.0.2.1', port: 54321 } }],
  ['v2 with a checksum', withChecksum(addresses4), { source: { ip: '192.0.2.1', port: 54321 } }],
];

const broken: [string, Buffer][] = [
  ['nothing of the kind', line('GET / HTTP/1.1\r\n')],
  ['a hello', Buffer.from('1603010200', 'hex')],
  ['v1 without CR', line('PROXY TCP4 192.0.2.1 203.0.113.7 1 2\n' + ' '.repeat(100))],
  ['v1 with two spaces', line('PROXY TCP4  192.0.2.1 203.0.113.7 1 2\r\n')],
  ['v1 with an address of the other family', line('PROXY TCP4 2001:db8::1 203.0.113.7 1 2\r\n')],
  ['v1 with a port too large', line('PROXY TCP4 192.0.2.1 203.0.113.7 65536 2\r\n')],
  ['v1 with a port of another spelling', line('PROXY TCP4 192.0.2.1 203.0.113.7 01 2\r\n')],
  ['v1 with an octet of another spelling', line('PROXY TCP4 192.0.02.1 203.0.113.7 1 2\r\n')],
  ['v1 with something behind', line('PROXY TCP4 192.0.2.1 203.0.113.7 1 2 3\r\n')],
  ['v1 of another protocol', line('PROXY UDP4 192.0.2.1 203.0.113.7 1 2\r\n')],
  ['v1 too long', line(`PROXY UNKNOWN ${'f'.repeat(92)}\r\n`)],
  ['v2 of version 3', header2(0x31, 0x11, addresses4)],
  ['v2 of an unknown command', header2(0x22, 0x11, addresses4)],
  ['v2 for datagrams', header2(0x21, 0x12, addresses4)],
  ['v2 of an unknown family', header2(0x21, 0x41, addresses4)],
  ['v2 shorter than its addresses', header2(0x21, 0x11, addresses4.subarray(1))],
  ['v2 IPv6 shorter than its addresses', header2(0x21, 0x21, addresses4)],
  ['v2 with a TLV cut off', header2(0x21, 0x11, Buffer.concat([addresses4, Buffer.from('0200', 'hex')]))],
  ['v2 with a TLV longer than the header', header2(0x21, 0x11, Buffer.concat([addresses4, Buffer.from('020009aa', 'hex')]))],
  ['v2 with a wrong checksum', header2(0x21, 0x11, Buffer.concat([addresses4, tlv(0x03, Buffer.alloc(4))]))],
  ['v2 with a short checksum', header2(0x21, 0x11, Buffer.concat([addresses4, tlv(0x03, Buffer.alloc(2))]))],
  ['v2 longer than allowed', header2(0x21, 0x11, Buffer.concat([addresses4, tlv(0x04, Buffer.alloc(max))]))],
];

describe('headers', () => {
  it.each(good)('%s', (_name, bytes, wanted) => {
    expect(readProxyHeader(bytes, max)).toMatchObject({ lengthBytes: bytes.length, ...wanted });
  });

  it.each(good)('%s: the same at every split, and what follows is left alone', (_name, bytes) => {
    const whole = readProxyHeader(bytes, max);
    for (let at = 0; at < bytes.length; at += 1) expect(readProxyHeader(bytes.subarray(0, at), max)).toBe('more');
    expect(readProxyHeader(Buffer.concat([bytes, line('PROXY TCP4 and more\r\n')]), max)).toEqual(whole);
  });

  it.each(broken)('refused: %s', (_name, bytes) => {
    expect(readProxyHeader(bytes, max)).toBe('no');
  });

  it.each(broken)('refused at every split, and never taken back: %s', (_name, bytes) => {
    let refused = false;
    for (let at = 0; at <= bytes.length; at += 1) {
      const answer = readProxyHeader(bytes.subarray(0, at), max);
      expect(answer).toBe(refused || at === bytes.length ? 'no' : answer === 'no' ? 'no' : 'more');
      refused ||= answer === 'no';
    }
  });
});

it('CRC-32C of the known check text (RFC 3720)', () => {
  expect(crc32c(Buffer.from('123456789'), 100)).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32), 100)).toBe(0x8a9136aa);
});
