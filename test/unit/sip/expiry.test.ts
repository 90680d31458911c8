// The timer for what expires: fires at the earliest moment, re-arms with the next, and stops.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ExpiryTimer } from '../../../src/sip/expiry.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1000 }));
afterEach(() => void vi.useRealTimers());

test('the earliest counts, then what the sweep names', () => {
  const swept: number[] = [];
  const next: (number | null)[] = [9000, null];
  const timer = new ExpiryTimer(Date.now, (now) => {
    swept.push(now);
    return next.shift() ?? null;
  });
  timer.arm(8000);
  timer.arm(5000);
  timer.arm(7000);
  vi.advanceTimersByTime(20_000);
  expect(swept).toEqual([5000, 9000]);
  timer.arm(30_000);
  timer.stop();
  vi.advanceTimersByTime(60_000);
  expect(swept).toHaveLength(2);
});

test('2^32 seconds, the longest Expires, is waited for in parts and not at once', () => {
  let sweeps = 0;
  const timer = new ExpiryTimer(Date.now, () => {
    sweeps += 1;
    return null;
  });
  timer.arm(1000 + 0xffffffff * 1000);
  vi.advanceTimersByTime(24 * 3600 * 1000);
  expect(sweeps).toBe(0);
  timer.stop();
});
