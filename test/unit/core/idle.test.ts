import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchedCount, watchIdle } from '../../../src/core/idle.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

test('fires once, after the limit and within a tick of it', () => {
  const fired = vi.fn();
  watchIdle(() => 0, 5_000, fired);
  vi.advanceTimersByTime(4_999);
  expect(fired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(2_001);
  expect(fired).toHaveBeenCalledOnce();
  vi.advanceTimersByTime(60_000);
  expect(fired).toHaveBeenCalledOnce();
  expect(watchedCount()).toBe(0);
});

test('progress starts the wait anew', () => {
  const fired = vi.fn();
  let moved = 0;
  const watch = watchIdle(() => moved, 3_000, fired);
  for (let second = 0; second < 20; second += 1) {
    moved += 1;
    vi.advanceTimersByTime(1_000);
  }
  expect(fired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(5_000);
  expect(fired).toHaveBeenCalledOnce();
  watch.stop();
});

test('a stopped watch never fires, a shortened limit holds', () => {
  const stopped = vi.fn();
  const shortened = vi.fn();
  watchIdle(() => 0, 2_000, stopped).stop();
  const watch = watchIdle(() => 0, 60_000, shortened);
  watch.limitMs = 2_000;
  vi.advanceTimersByTime(4_000);
  expect(stopped).not.toHaveBeenCalled();
  expect(shortened).toHaveBeenCalledOnce();
});
