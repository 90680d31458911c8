// Windows of the week: days, hours, over midnight and over the week's end.

import { describe, expect, it } from 'vitest';
import { compileTimes, minuteOfWeek } from '../../../src/policy/time.ts';

const at = (day: number, hour: number, minute = 0): number => (day * 24 + hour) * 60 + minute;

describe('compileTimes', () => {
  it.each([
    ['mon-fri 08:00-18:00', [at(1, 8), at(5, 17, 59)], [at(1, 7, 59), at(5, 18), at(6, 12), at(0, 12)]],
    ['sat,sun', [at(6, 0), at(0, 23, 59)], [at(1, 0), at(5, 23, 59)]],
    ['22:00-06:00', [at(3, 22), at(4, 5, 59), at(0, 0)], [at(3, 6), at(3, 21, 59)]],
    ['sat 22:00-06:00', [at(6, 23), at(0, 5)], [at(6, 5), at(0, 6), at(0, 22)]],
    ['fri-mon', [at(5, 0), at(6, 0), at(0, 0), at(1, 23)], [at(2, 0), at(4, 23, 59)]],
    ['00:00-24:00', [at(0, 0), at(6, 23, 59)], []],
    ['tue,thu-fri 12:00-12:01', [at(2, 12), at(4, 12), at(5, 12)], [at(3, 12), at(2, 12, 1)]],
  ])('%s', (window, inside, outside) => {
    const open = compileTimes([window]);
    expect(inside.map(open)).toEqual(inside.map(() => true));
    expect(outside.map(open)).toEqual(outside.map(() => false));
  });
  it('several windows: one must hold', () => {
    const open = compileTimes(['mon', 'tue 08:00-09:00']);
    expect([open(at(1, 3)), open(at(2, 8)), open(at(2, 9))]).toEqual([true, true, false]);
  });
});

describe('minuteOfWeek', () => {
  it('counts from Sunday midnight in local time', () => {
    expect(minuteOfWeek(new Date(2026, 2, 1, 0, 0).getTime())).toBe(0);
    expect(minuteOfWeek(new Date(2026, 2, 7, 23, 59, 59).getTime())).toBe(7 * 24 * 60 - 1);
  });
});
