import { expect, test } from 'vitest';
import { hexValues, isNamed, isVersion1, targetBytes, tokenBytes, valueBytes } from '../../../src/http/grammar.ts';
import { latin1 } from './messages.ts';

const members = (marks: Uint8Array): string => [...marks.keys()].filter((value) => marks[value] === 1).map((value) => String.fromCharCode(value)).join('');

test('the tables are those of RFC 9110', () => {
  expect(members(tokenBytes)).toHaveLength(77);
  expect(members(tokenBytes)).not.toMatch(/[\s"(),/:;<=>?@[\\\]{}]/);
  expect(members(targetBytes)).toHaveLength(94);
  for (const bad of [0, 10, 13, 0x7f, 0x1f]) expect(valueBytes[bad]).toBe(0);
  for (const good of [9, 32, 0x21, 0xff]) expect(valueBytes[good]).toBe(1);
  expect([...'09afAFgG'].map((digit) => hexValues[digit.charCodeAt(0)])).toEqual([1, 10, 11, 16, 11, 16, 0, 0]);
});

test('names compare without case, versions with it', () => {
  expect(isNamed(latin1('xHoSt'), 1, 'host')).toBe(true);
  expect(isNamed(latin1('hos'), 0, 'host')).toBe(false);
  expect(['HTTP/1.1', 'HTTP/1.9', 'http/1.1', 'HTTP/2.0', 'HTTP/1.x'].map((text) => isVersion1(latin1(text), 0, 8))).toEqual([true, true, false, false, false]);
});
