import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcrypt';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Logger } from '../../../src/core/log.ts';
import { Users } from '../../../src/listener/users.ts';

let folder = '';
let file = '';
let nowMs = 1_000_000;
const counted: string[] = [];
const line = (user: string, password: string, rounds = 4): string => `${user}:${hashSync(password, rounds)}\n`;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'users-'));
  file = join(folder, 'users');
  counted.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

function usersWith(text: string, limits: Partial<Record<LimitName, number>> = {}, log: Logger = silentLogger): Users {
  writeFileSync(file, text);
  return new Users({
    file, limits: limitsWith(limits), log, clock: () => nowMs,
    meter: { add: (name, labels = []) => void counted.push([name, ...labels].join(' ')), set() {}, observe() {} },
  });
}

describe('logins', () => {
  it('right ones are right, all else is wrong', async () => {
    const users = usersWith(line('ann', 'a') + line('bob', 'b'));
    expect(await Promise.all([users.check('ann', 'a'), users.check('bob', 'b'), users.check('ann', 'b'), users.check('carl', 'a'), users.check('', '')]))
      .toEqual([true, true, false, false, false]);
    // What was right once does not make a wrong one right.
    expect(await users.check('ann', 'b')).toBe(false);
  });

  it('a file without users lets nobody in', async () => {
    expect(await usersWith('# none\n').check('ann', 'a')).toBe(false);
  });

  it('the file\'s faults are told with file and line', () => {
    expect(() => usersWith('ann:plain\n')).toThrow(`${file}:1: `);
    expect(() => new Users({ file: join(folder, 'none'), limits: limitsWith(), log: silentLogger, clock: () => nowMs, meter: { add() {}, set() {}, observe() {} } })).toThrow('ENOENT');
  });
});

describe('cost', () => {
  const slow = line('ann', 'a', 11);
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    await work();
    return performance.now() - startedAt;
  };

  it('a right login is remembered for loginCacheMs, a wrong one never', async () => {
    const users = usersWith(slow, { loginCacheMs: 1000 });
    const first = await timed(() => users.check('ann', 'a'));
    expect(await timed(() => users.check('ann', 'a'))).toBeLessThan(first / 4);
    await users.check('ann', 'wrong');
    expect(await timed(() => users.check('ann', 'wrong'))).toBeGreaterThan(first / 4);
    nowMs += 1001;
    expect(await timed(() => users.check('ann', 'a'))).toBeGreaterThan(first / 4);
  });

  it('a name that is not there costs about as much as one that is', async () => {
    const users = usersWith(slow);
    const wrong = await timed(() => users.check('ann', 'wrong'));
    expect(await timed(() => users.check('nobody', 'wrong'))).toBeGreaterThan(wrong / 4);
  });

  it('hashing does not hold the event loop up', async () => {
    const users = usersWith(line('ann', 'a', 12));
    let ticks = 0;
    const timer = setInterval(() => { ticks += 1; }, 5);
    await users.check('ann', 'a');
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  it('the same login is hashed once at a time, and more than loginsPendingMax at once are refused and counted', async () => {
    const users = usersWith(slow, { loginsPendingMax: 1 });
    const same = await Promise.all([users.check('ann', 'a'), users.check('ann', 'a'), users.check('ann', 'b')]);
    expect(same).toEqual([true, true, false]);
    expect(counted).toEqual(['limits_hit_total loginsPendingMax']);
  });

  it('the cache is bounded', async () => {
    const users = usersWith(line('ann', 'a', 10) + line('bob', 'b', 10), { loginCacheMax: 1 });
    const first = await timed(() => users.check('ann', 'a'));
    await users.check('bob', 'b');
    expect(await timed(() => users.check('ann', 'a'))).toBeGreaterThan(first / 4);
  });
});

describe('a changed file', () => {
  it('counts at once, and old passwords are forgotten with it', async () => {
    const users = usersWith(line('ann', 'old'), { stateCheckMs: 50 });
    expect(await users.check('ann', 'old')).toBe(true);
    writeFileSync(file, line('ann', 'new') + line('bob', 'b'));
    nowMs += 51;
    expect(await users.check('ann', 'old')).toBe(false);
    expect(await users.check('ann', 'new')).toBe(true);
    expect(await users.check('bob', 'b')).toBe(true);
  });

  it('that cannot be used leaves the users as they were, and is told of once', async () => {
    const told: string[] = [];
    const users = usersWith(line('ann', 'a'), { stateCheckMs: 50 }, pino({}, { write: (text: string) => void told.push(text) }));
    writeFileSync(file, 'ann:plain\n');
    utimesSync(file, 1, 1);
    for (let count = 0; count < 3; count += 1) {
      nowMs += 51;
      expect(await users.check('ann', 'a')).toBe(true);
    }
    expect(told).toHaveLength(1);
  });
});
