// The codec by itself: what it writes it reads, addresses of both families and dialects, bounds, error responses.

import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  addressText, addressValue, attributeOf, checkIntegrity, decodeMessage, encodeErrorResponse, encodeMessage, errorOf, longTermKey, newTransaction, numberOf,
  readAddress, readXorAddress, uint32, xorAddressValue,
} from '../../../src/turn/codec.ts';
import { msAttributes, msTypes, rfcAttributes, rfcMethods } from '../../../src/turn/names.ts';
import type { Dialect } from '../../../src/turn/names.ts';

const dialects: readonly Dialect[] = ['ms', 'rfc'];

describe.each(dialects)('%s', (dialect) => {
  const key = longTermKey('user', 'realm', 'password');
  const message = (bytes: number): Buffer =>
    encodeMessage({ dialect, type: 0x0003, attributes: [{ type: msAttributes.username, value: Buffer.alloc(bytes, 0x75) }, { type: msAttributes.lifetime, value: uint32(300) }], key });

  it('reads what it writes, whatever the lengths', () => {
    for (let bytes = 0; bytes < 70; bytes += 1) {
      const decoded = decodeMessage(message(bytes), dialect);
      expect(decoded?.whole).toBe(true);
      expect(decoded === null ? null : attributeOf(decoded, msAttributes.username)?.length).toBe(bytes);
      expect(decoded === null ? null : numberOf(decoded, msAttributes.lifetime)).toBe(300);
      expect(checkIntegrity(message(bytes), dialect, key)).toBe('match');
    }
    const padded = (message(5).length - message(4).length);
    expect(padded).toBe(dialect === 'ms' ? 1 : 4);
  });

  it('of a cut message tells what can be told, and never more', () => {
    const bytes = message(14);
    for (let length = 0; length < bytes.length; length += 1) {
      const decoded = decodeMessage(bytes.subarray(0, length), dialect);
      expect(decoded?.whole ?? false).toBe(false);
      expect(checkIntegrity(bytes.subarray(0, length), dialect, key)).not.toBe('match');
    }
    const overrun = Buffer.from(bytes);
    overrun.writeUInt16BE(0xffff, dialect === 'ms' ? 30 : 22);
    expect(decodeMessage(overrun, dialect)?.whole).toBe(false);
  });

  it.each(['192.0.2.1', '255.255.255.255', '2001:db8::1', '::1', 'fe80::1:0:0:2'])('addresses, plain and XORed: %s', (ip) => {
    const transaction = newTransaction(dialect);
    const address = { ip, port: 54_321 };
    expect(readAddress(addressValue(address))).toEqual(address);
    expect(readXorAddress(xorAddressValue(address, transaction), transaction)).toEqual(address);
    expect(xorAddressValue(address, transaction).equals(addressValue(address))).toBe(false);
  });
});

describe('addresses', () => {
  it('IPv4 mapped into IPv6 is IPv4, so that rules about peers meet it', () => {
    const value = Buffer.concat([Buffer.from([0, 2, 0x12, 0x34]), Buffer.from('00000000000000000000ffff0a000001', 'hex')]);
    expect(readAddress(value)).toEqual({ ip: '10.0.0.1', port: 0x1234 });
  });

  it('other families and lengths are none', () => {
    for (const hex of ['', '0001', '0003d9037f000001', '0002d9037f000001', '0001d9037f00000100', '0001' + '00'.repeat(18)]) expect(readAddress(Buffer.from(hex, 'hex'))).toBeNull();
    expect(readXorAddress(Buffer.alloc(3), newTransaction('rfc'))).toBeNull();
  });

  it('texts', () => {
    expect([addressText({ ip: '192.0.2.1', port: 1 }), addressText({ ip: '::1', port: 2 })]).toEqual(['192.0.2.1:1', '[::1]:2']);
  });
});

describe('error responses', () => {
  it.each([
    ['ms', msTypes.allocate, msTypes['allocate-error']],
    ['ms', msTypes['set-active-destination'], msTypes['set-active-destination-error']],
    ['rfc', rfcMethods.allocate, 0x0113],
    ['rfc', rfcMethods['channel-bind'], 0x0119],
  ] as const)('%s %i is answered with %i, its transaction and no signature', (dialect, type, error) => {
    const request = encodeMessage({ dialect, type, attributes: [] });
    const response = decodeMessage(encodeErrorResponse(request, dialect, 403, 'Forbidden') ?? Buffer.alloc(0), dialect);
    expect(response?.type).toBe(error);
    expect(response?.transaction.equals(request.subarray(4, 20))).toBe(true);
    expect(response === null ? null : errorOf(response)).toEqual({ code: 403, reason: 'Forbidden' });
  });

  it.each([['ms', msTypes.send], ['ms', msTypes['data-indication']], ['ms', msTypes['allocate-response']], ['rfc', 0x0016], ['rfc', 0x0103]] as const)('%s %i is never answered', (dialect, type) => {
    expect(encodeErrorResponse(encodeMessage({ dialect, type, attributes: [] }), dialect, 403, 'no')).toBeNull();
    expect(encodeErrorResponse(Buffer.alloc(5), dialect, 403, 'no')).toBeNull();
  });
});

describe('MESSAGE-INTEGRITY', () => {
  it('SHA-256 by its length in MS-TURN, by its attribute in RFC 8489; truncation below 16 bytes is refused', () => {
    const key = Buffer.from('key');
    const sign = (dialect: Dialect, type: number, length: number): Buffer => {
      const text = encodeMessage({ dialect, type: 0x0003, attributes: [] });
      const adjusted = Buffer.from(text);
      adjusted.writeUInt16BE(text.length + 4 + length - 20, 2);
      const hmac = createHmac('sha256', key).update(adjusted);
      if (dialect === 'ms') hmac.update(Buffer.alloc((64 - (text.length % 64)) % 64));
      const head = Buffer.alloc(4);
      head.writeUInt16BE(type, 0);
      head.writeUInt16BE(length, 2);
      return Buffer.concat([adjusted, head, hmac.digest().subarray(0, length)]);
    };
    expect(checkIntegrity(sign('ms', msAttributes['message-integrity'], 32), 'ms', key)).toBe('match');
    expect(checkIntegrity(sign('rfc', rfcAttributes['message-integrity-sha256'], 32), 'rfc', key)).toBe('match');
    expect(checkIntegrity(sign('rfc', rfcAttributes['message-integrity-sha256'], 16), 'rfc', key)).toBe('match');
    expect(checkIntegrity(sign('rfc', rfcAttributes['message-integrity-sha256'], 12), 'rfc', key)).toBe('mismatch');
  });
});
