// Bounded containers: what is forgotten first, what is shown.

import { describe, expect, test } from 'vitest';
import { BoundedMap, show, shown } from '../../../src/sip/bounded.ts';

test('a full map forgets its oldest entry and says so; a known key takes no new place', () => {
  const forgotten: number[] = [];
  const map = new BoundedMap<number>(2, (value) => forgotten.push(value));
  map.set('a', 1);
  map.set('b', 2);
  map.set('a', 3);
  expect([forgotten, map.get('a'), map.size]).toEqual([[], 3, 2]);
  map.set('c', 4);
  expect([forgotten, [...map.values()]]).toEqual([[3], [2, 4]]);
  expect([map.take('b'), map.take('b'), map.size]).toEqual([2, undefined, 1]);
});

test('a full list loses its oldest entry that is over, else its oldest', () => {
  const list = [1, -2, 3];
  show(list, 4, 3, (item) => item < 0);
  expect(list).toEqual([1, 3, 4]);
  show(list, 5, 3, (item) => item < 0);
  expect(list).toEqual([3, 4, 5]);
});

describe('shown', () => {
  test.each([
    ['plain', 'plain', 256], ['a\r\nb\0\u{202e}c', 'a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}c', 256], ['x'.repeat(300), 'x'.repeat(32), 32], ['é'.repeat(300), 'é'.repeat(16), 33], ['', '', 32],
  ])('%j', (text, expected, max) => {
    expect(shown(text, max)).toBe(expected);
    expect(Buffer.byteLength(shown(text, max))).toBeLessThanOrEqual(max);
  });
});
