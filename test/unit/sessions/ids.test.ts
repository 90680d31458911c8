import { describe, expect, it } from 'vitest';
import { compareIds, isSessionId, SessionIds } from '../../../src/sessions/ids.ts';

describe('session ids', () => {
  it('sort by time and then by order within a millisecond', () => {
    let now = 1_700_000_000_000;
    const ids = new SessionIds('3', () => now);
    const made = [ids.next(), ids.next(), ids.next()];
    now += 1;
    made.push(ids.next());
    expect([...made].sort()).toEqual(made);
    expect([...made].reverse().sort(compareIds)).toEqual(made);
    expect(new Set(made).size).toBe(4);
  });

  it('stay unique when the clock is set back and when a millisecond overflows', () => {
    let now = 1_700_000_000_000;
    const ids = new SessionIds('0', () => now);
    const made = new Set<string>();
    for (let count = 0; count < 50_000; count += 1) made.add(ids.next());
    now -= 5_000;
    let last = ids.next();
    made.add(last);
    for (let count = 0; count < 100; count += 1) {
      const next = ids.next();
      expect(compareIds(last, next)).toBe(-1);
      made.add(next);
      last = next;
    }
    expect(made.size).toBe(50_101);
  });

  it('differ between workers and between a process and the one after it', () => {
    const now = 1_700_000_000_000;
    const one = new SessionIds('1', () => now).next();
    const two = new SessionIds('2', () => now).next();
    const later = new SessionIds('1', () => now + 1).next();
    expect(new Set([one, two, later]).size).toBe(3);
    expect([later, two, one].sort(compareIds)).toEqual([one, two, later]);
  });

  it('are told from other texts', () => {
    expect(isSessionId(new SessionIds('12', Date.now).next())).toBe(true);
    for (const text of ['', '1', '1-', '1-abc', '../x', `1-${'a'.repeat(40)}`, '1-MHK3Z8AA000']) expect(isSessionId(text)).toBe(false);
  });
});
