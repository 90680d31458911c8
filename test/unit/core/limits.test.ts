import { expect, test } from 'vitest';
import { limitNames, limitsWith, limitTable } from '../../../src/core/limits.ts';

test.each(limitNames)('%s: whole numbers, the default within its bounds, a reason, the unit in the name', (name) => {
  const { default: value, min, max, unit, why } = limitTable[name];
  for (const number of [value, min, max]) expect(Number.isSafeInteger(number)).toBe(true);
  expect(min).toBeLessThanOrEqual(value);
  expect(value).toBeLessThanOrEqual(max);
  expect(min).toBeGreaterThanOrEqual(0);
  expect(why).toMatch(/^[A-Z].*\.$/);
  expect(name).toMatch({ ms: /Ms$/, bytes: /Bytes(Max)?$/, count: /(Max|Backlog)$/, 'per second': /PerSecondMax$/ }[unit]);
});

test('waits fit Node\'s timers: 2^31 - 1 ms (ages of what is cached are compared with the clock instead)', () => {
  expect(limitNames.filter((name) => limitTable[name].unit === 'ms' && limitTable[name].max > 2 ** 31 - 1 && !/(Cache|Lifetime)Ms$/.test(name))).toEqual([]);
});

test('overrides go over the defaults, one by one', () => {
  const limits = limitsWith({ detectMs: 1 });
  expect(limits.detectMs).toBe(1);
  expect({ ...limits, detectMs: limitTable.detectMs.default }).toEqual(limitsWith());
  expect(Object.keys(limitsWith())).toEqual([...limitNames]);
});
