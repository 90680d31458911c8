import { expect, test } from 'vitest';
import { pairedRatio, quantile, summarise } from '../../../bench/statistics.ts';

test('quantiles lie between neighbours by proportion, whatever the order', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([5, 1, 3], 0.5)).toBe(3);
  expect(quantile([0, 10], 0.25)).toBe(2.5);
  expect(quantile([7], 0.9)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test('a summary has median, ends and half the width between the quartiles', () => {
  expect(summarise([10, 12, 8, 11, 9])).toEqual({ median: 10, low: 8, high: 12, spread: 0.1 });
  expect(summarise([])).toBeNull();
});

test('a ratio compares only rounds that both finished', () => {
  expect(pairedRatio([2, null, 6, 8], [4, 4, null, 2])).toBe((0.5 + 4) / 2);
  expect(pairedRatio([1, 100, 1], [2, 200, 2])).toBe(0.5);
  expect(pairedRatio([null], [1])).toBeNull();
  expect(pairedRatio([1], [0])).toBeNull();
});
