import { describe, expect, it } from 'vitest';
import * as asn1 from '../../../src/certs/asn1.ts';

const hex = (value: asn1.Der): string => asn1.encode(value).toString('hex');
const bytes = (text: string): Buffer => Buffer.from(text, 'hex');

describe('writing', () => {
  it.each<[string, asn1.Der, string]>([
    ['zero', asn1.integer(0), '020100'],
    ['127', asn1.integer(127), '02017f'],
    ['128 needs a leading zero', asn1.integer(128), '02020080'],
    ['a number beyond 32 bits', asn1.integer(2 ** 40), '0206010000000000'],
    ['octets lose leading zeros', asn1.integer(bytes('000000ff')), '020200ff'],
    ['octets that are zero', asn1.integer(bytes('0000')), '020100'],
    ['an OID', asn1.oid('1.2.840.113549.1.1.11'), '06092a864886f70d01010b'],
    ['true', asn1.boolean(true), '0101ff'],
    ['bits', asn1.bits(bytes('a0'), 5), '030205a0'],
    ['octets around a value', asn1.octets(asn1.sequence()), '04023000'],
    ['explicit tag', asn1.tagged(3, asn1.integer(1)), 'a303020101'],
    ['implicit tag', asn1.taggedBytes(6, 'ab'), '86026162'],
    ['time before 2050', asn1.time(Date.UTC(2049, 11, 31, 23, 59, 59)), '170d3439313233313233353935395a'],
    ['time from 2050 on', asn1.time(Date.UTC(2050, 0, 1)), '180f32303530303130313030303030305a'],
  ])('%s', (_label, value, expected) => {
    expect(hex(value)).toBe(expected);
  });

  it('splices DER in byte for byte, whatever its tag', () => {
    for (const text of ['3003020101', 'a003020101', '0c02c3a9', '86026162', '310430023100', `30820100${'00'.repeat(256)}`]) {
      expect(hex(asn1.raw(bytes(text)))).toBe(text);
      expect(hex(asn1.sequence(asn1.raw(bytes(text)))).endsWith(text)).toBe(true);
    }
  });

  it('refuses to splice what is not one element', () => {
    for (const text of ['', '30', '3003', '300000', '30010203', '1f810000']) expect(() => asn1.raw(bytes(text))).toThrow(TypeError);
  });
});

describe('reading', () => {
  it('hands out views of the bytes it was given', () => {
    const whole = bytes('30060201010201ff');
    const [one, two] = asn1.readInside(whole, asn1.tags.sequence, 8) ?? [];
    expect(one?.whole.buffer).toBe(whole.buffer);
    expect(one?.content).toEqual(bytes('01'));
    expect(two?.whole).toEqual(bytes('0201ff'));
  });

  it('answers null for wrong tags, trailing bytes, too many elements and lengths that do not reach', () => {
    expect(asn1.readInside(bytes('3103020101'), asn1.tags.sequence, 8)).toBeNull();
    expect(asn1.readInside(bytes('300302010100'), asn1.tags.sequence, 8)).toBeNull();
    expect(asn1.readInside(bytes('3006020101020101'), asn1.tags.sequence, 1)).toBeNull();
    for (const text of ['30800000', '3084ffffffff', '308500000000010', '3003', '1f0100']) expect(asn1.readElement(bytes(text))).toBeNull();
  });

  it('reads OIDs, and null for what is none', () => {
    expect(asn1.readOid(bytes('551d1e'))).toBe('2.5.29.30');
    expect(asn1.readOid(bytes('2a864886f70d01010b'))).toBe('1.2.840.113549.1.1.11');
    for (const text of ['', '80', '5580', '01'.repeat(33)]) expect(asn1.readOid(bytes(text))).toBeNull();
  });

  it('reads the times it writes, and those of the last century', () => {
    for (const at of [Date.UTC(1999, 11, 31), Date.UTC(2026, 1, 28, 1, 2, 3), Date.UTC(2051, 5, 6)]) {
      const element = asn1.readElement(asn1.encode(at === Date.UTC(1999, 11, 31) ? asn1.generalizedTime(at) : asn1.time(at)));
      expect(element === null ? null : asn1.readTime(element)).toBe(at);
    }
    const utc = (text: string): number | null => asn1.readTime({ tag: asn1.tags.utcTime, content: Buffer.from(text), whole: Buffer.alloc(0) });
    expect(utc('991231000000Z')).toBe(Date.UTC(1999, 11, 31));
    expect(utc('9912310000Z')).toBeNull();
    expect(utc('991231000000+0100')).toBeNull();
  });
});
