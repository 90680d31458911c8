import { describe, expect, test } from 'vitest';
import { Cursor } from '../../../src/core/bytes.ts';

const bytes = Buffer.from('0102030405060708090a0b', 'hex');

test('reads big-endian fields in order', () => {
  const cursor = new Cursor(bytes);
  expect([cursor.u8(), cursor.u16(), cursor.u24(), cursor.u32(), cursor.left, cursor.offset]).toEqual([0x01, 0x0203, 0x040506, 0x0708090a, 1, 10]);
});

test('a slice is a view; a sub-cursor ends where it should, and its bytes are read', () => {
  const cursor = new Cursor(bytes, 1);
  const slice = cursor.slice(3);
  expect(slice).toEqual(bytes.subarray(1, 4));
  expect(slice?.buffer).toBe(bytes.buffer);
  const sub = cursor.sub(2);
  expect([sub?.u16(), sub?.u8(), sub?.left]).toEqual([0x0506, undefined, 0]);
  expect(cursor.u8()).toBe(0x07);
});

describe('a read that does not reach', () => {
  test.each([['u8', 1], ['u16', 2], ['u24', 3], ['u32', 4]] as const)('%s answers undefined, and nothing is taken', (name, size) => {
    for (let left = 0; left < size; left += 1) {
      const cursor = new Cursor(bytes, bytes.length - left);
      expect(cursor[name]()).toBeUndefined();
      expect(cursor.left).toBe(left);
    }
    expect(new Cursor(bytes, bytes.length - size)[name]()).toBeDefined();
  });

  test('also of slices: too long, or of a negative length', () => {
    const cursor = new Cursor(bytes, 4, 8);
    expect([cursor.slice(5), cursor.sub(5), cursor.slice(-1), cursor.sub(-1)]).toEqual([undefined, undefined, undefined, undefined]);
    expect(cursor.slice(4)).toHaveLength(4);
    expect(cursor.slice(0)).toHaveLength(0);
  });

  test('an end past the bytes is the bytes\' end', () => {
    expect(new Cursor(bytes, 0, 100).left).toBe(bytes.length);
    expect(new Cursor(Buffer.alloc(0)).u8()).toBeUndefined();
  });
});
