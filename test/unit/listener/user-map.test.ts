import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { parseUserMap, UserMap } from '../../../src/listener/user-map.ts';

let folder = '';
let file = '';
let nowMs = 1_000_000;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'user-map-'));
  file = join(folder, 'map');
});
afterEach(() => rmSync(folder, { recursive: true }));

function mapOf(text: string): UserMap {
  writeFileSync(file, text);
  return new UserMap({ file, limits: limitsWith({ stateCheckMs: 100 }), log: silentLogger, clock: () => nowMs });
}

describe('users by address', () => {
  const map = `# who sits where
192.0.2.7        ann        # her desk
192.0.2.0/24     branch
10.0.0.0/9       south
2001:db8::/32    six
2001:db8::7      bob
0.0.0.0/0        anyone
`;
  it.each([
    ['192.0.2.7', 'ann'], ['192.0.2.8', 'branch'], ['10.127.255.255', 'south'], ['10.128.0.0', 'anyone'], ['203.0.113.1', 'anyone'],
    ['2001:db8::7', 'bob'], ['2001:db8:0:0:0:0:0:7', 'bob'], ['2001:db8:ffff::1', 'six'], ['2001:db9::1', null], ['::ffff:192.0.2.7', 'ann'], ['nobody', null],
  ])('%s is %s', (ip, user) => {
    expect(mapOf(map).userOf(ip)).toBe(user);
  });

  it('a changed file counts, one that cannot be used does not', async () => {
    const users = mapOf('192.0.2.7 ann\n');
    const change = (text: string, second: number): void => {
      writeFileSync(file, text);
      utimesSync(file, second, second);
      nowMs += 200;
    };
    change('192.0.2.7 bert\n', 5);
    await vi.waitUntil(() => users.userOf('192.0.2.7') === 'bert');
    change('nonsense\n', 6);
    expect(users.userOf('192.0.2.7')).toBe('bert');
    change('192.0.2.7 carl\n', 7);
    await vi.waitUntil(() => users.userOf('192.0.2.7') === 'carl');
  });

  it('a fault is told once, and again after the next change', async () => {
    writeFileSync(file, '192.0.2.7 ann\n');
    const told: string[] = [];
    const log = pino({}, { write: (line: string) => void told.push(line) });
    const users = new UserMap({ file, limits: limitsWith({ stateCheckMs: 100 }), log, clock: () => nowMs });
    const looked = async (): Promise<void> => {
      nowMs += 200;
      users.userOf('192.0.2.7');
      await new Promise((resolve) => setTimeout(resolve, 30));
    };
    writeFileSync(file, 'nonsense\n');
    await looked();
    await vi.waitUntil(() => told.length > 0);
    for (let count = 0; count < 3; count += 1) await looked();
    expect(told).toHaveLength(1);
    rmSync(file);
    await looked();
    await vi.waitUntil(() => told.length > 1);
    for (let count = 0; count < 3; count += 1) await looked();
    expect(told).toHaveLength(2);
  });

  it.each([
    ['ann 192.0.2.7\n', 1, 'expected an address or network, found "ann"'],
    ['\n192.0.2.7\n', 2, 'expected ADDRESS NAME'],
    ['192.0.2.7 ann b\n', 1, 'expected ADDRESS NAME'],
    ['192.0.2.0/24 a\n192.0.2.9/24 b\n', 2, '192.0.2.9/24 is there twice'],
    ['192.0.2.1 a\n192.0.2.2 b\n192.0.2.3 c\n', 3, 'more than 2 users (limits.usersMax)'],
  ])('%j is at fault', (text, line, problem) => {
    expect(parseUserMap(text, 2)).toEqual({ line, problem });
  });

  it('a file at fault is told with its line when the service starts', () => {
    expect(() => mapOf('x y\n')).toThrow(`${file}:1: expected an address or network`);
    expect(() => new UserMap({ file: join(folder, 'none'), limits: limitsWith({}), log: silentLogger, clock: () => nowMs })).toThrow(/ENOENT/);
  });

  it('a hundred thousand addresses are read, and each is found', () => {
    const text = Array.from({ length: 100_000 }, (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255} u${index}`).join('\n');
    const users = mapOf(text);
    for (const index of [0, 1, 255, 256, 65_535, 65_536, 99_999]) expect(users.userOf(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`)).toBe(`u${index}`);
  });
});
