import { describe, expect, it } from 'vitest';
import { readElement, readElements, readInside, readOid, readTime, tags, wrap } from '../../../src/core/der.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'hex');

describe('reading', () => {
  it('hands out views of the bytes it was given', () => {
    const whole = bytes('30060201010201ff');
    const [one, two] = readInside(whole, tags.sequence, 8) ?? [];
    expect(one?.whole.buffer).toBe(whole.buffer);
    expect([one?.content, two?.whole]).toEqual([bytes('01'), bytes('0201ff')]);
  });

  it('answers null for wrong tags, trailing bytes, too many elements and lengths that do not reach', () => {
    expect(readInside(bytes('3103020101'), tags.sequence, 8)).toBeNull();
    expect(readInside(bytes('300302010100'), tags.sequence, 8)).toBeNull();
    expect(readElements(bytes('020101020101'), 1)).toBeNull();
    for (const text of ['', '30', '30800000', '3084ffffffff', '308500000000010', '3003', '1f0100']) expect(readElement(bytes(text))).toBeNull();
  });

  it.each([['551d1e', '2.5.29.30'], ['2a864886f70d01010b', '1.2.840.113549.1.1.11'], ['883703', '2.999.3'], ['06', '0.6']])('reads the OID %s', (hex, dotted) => {
    expect(readOid(bytes(hex))).toBe(dotted);
  });

  it('says null to what is no OID and no time', () => {
    for (const text of ['', '80', '5580', '01'.repeat(33)]) expect(readOid(bytes(text))).toBeNull();
    for (const text of ['9912310000Z', '991231000000+0100', '']) expect(readTime({ tag: tags.utcTime, content: Buffer.from(text), whole: Buffer.alloc(0) })).toBeNull();
  });

  it('reads both kinds of time', () => {
    const at = (tag: number, text: string): number | null => readTime({ tag, content: Buffer.from(text), whole: Buffer.alloc(0) });
    expect(at(tags.utcTime, '991231000000Z')).toBe(Date.UTC(1999, 11, 31));
    expect(at(tags.utcTime, '491231235959Z')).toBe(Date.UTC(2049, 11, 31, 23, 59, 59));
    expect(at(tags.generalizedTime, '20510506070809Z')).toBe(Date.UTC(2051, 4, 6, 7, 8, 9));
  });
});

it.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 24])('wraps %i octets so that they are read again', (length) => {
  const content = Buffer.alloc(length, 7);
  const element = readElement(wrap(tags.octets, content.subarray(0, length >> 1), content.subarray(length >> 1)));
  expect(element?.tag).toBe(tags.octets);
  expect(element?.content.equals(content)).toBe(true);
  expect(wrap(tags.octets, content).length).toBe(length + 2 + (length < 128 ? 0 : length < 256 ? 1 : length < 65_536 ? 2 : length < 1 << 24 ? 3 : 4));
});
