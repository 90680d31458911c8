import { expect, test } from 'vitest';
import { Rate } from '../../../src/http/rate.ts';

test('a rate counts each second anew', () => {
  const rate = new Rate(2);
  expect([rate.take(1000), rate.take(1500), rate.take(1999), rate.take(2000), rate.take(2001), rate.take(2002)]).toEqual([true, true, false, true, true, false]);
});
