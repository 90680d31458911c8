import { expect, it } from 'vitest';
import { isSession, sessionNumber } from '../../../src/turn/multiplex.ts';

it('sessions are numbers apart from each other and from channels', () => {
  const ids = ['0000000000000000', '0000000000004001', '0000000100000000', '0102030405060708', '0102030405060f08', 'ffffffffffffffff'];
  const numbers = ids.map((id) => sessionNumber(Buffer.from(`ff100008${id}`, 'hex'), 4));
  expect(new Set(numbers).size).toBe(ids.length);
  expect(numbers.every(isSession)).toBe(true);
  expect([0, 0x4000, 0x7fff, 0xffff].some(isSession)).toBe(false);
});
