import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { checkpoint, isBusy, openState, stateFile, StateError, transaction } from '../../../src/core/state.ts';

let folder = '';
const opened: DatabaseSync[] = [];
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'sallyport-state-')); });
afterEach(() => {
  for (const state of opened.splice(0)) if (state.isOpen) state.close();
  rmSync(folder, { recursive: true });
});
const open = (waitMs = 1_000, durable = true, path = folder): DatabaseSync => {
  const state = openState(path, { durable, limits: limitsWith({ stateWaitMs: waitMs, stateRecordWaitMs: waitMs }) });
  opened.push(state);
  return state;
};
const count = (state: DatabaseSync, table: string): number => Number(state.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.['count']);
const put = (state: DatabaseSync, name: string): void => void state.prepare('INSERT INTO revisions VALUES (?, 1)').run(name);

describe('the state database', () => {
  it('is made with its folder, private, and is the same for all who open it', () => {
    const path = join(folder, 'deep', 'state');
    const one = open(1_000, true, path);
    put(one, 'a');
    for (const name of readdirSync(path)) expect([name, statSync(join(path, name)).mode & 0o077]).toEqual([name, 0]);
    expect(statSync(path).mode & 0o077).toBe(0);
    expect(count(open(1_000, false, path), 'revisions')).toBe(1);
  });

  it('stays locked by a process that opens it again: others must not take themselves for the last to close it', () => {
    open();
    open(1_000, false);
    // The octets by which SQLite says that the file is in use.
    const used = ' 1073741826 1073742335';
    expect(readFileSync('/proc/locks', 'utf8').split('\n').filter((line) => line.endsWith(used) && line.includes(` ${process.pid} `))).toHaveLength(1);
  });

  it('is made once by many processes that start at once', async () => {
    const script = `import { limitsWith } from ${JSON.stringify(join(import.meta.dirname, '../../../src/core/limits.ts'))};
      import { openState } from ${JSON.stringify(join(import.meta.dirname, '../../../src/core/state.ts'))};
      const state = openState(${JSON.stringify(folder)}, { durable: false, limits: limitsWith({ stateRecordWaitMs: 5000 }) });
      state.prepare('INSERT INTO revisions VALUES (?, 1)').run(String(process.pid));`;
    const children = Array.from({ length: 6 }, () => spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: ['ignore', 'ignore', 'inherit'] }));
    expect(await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as unknown))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(count(open(), 'revisions')).toBe(6);
  });

  it('what is begun and not finished never happened', () => {
    const state = open();
    expect(() => transaction(state, () => {
      put(state, 'a');
      throw new Error('no');
    })).toThrow('no');
    expect(count(state, 'revisions')).toBe(0);
    expect(transaction(state, () => { put(state, 'b'); return 7; })).toBe(7);
    expect(count(state, 'revisions')).toBe(1);
  });

  it('a writer that takes too long is told from other faults', () => {
    const [one, two] = [open(), open(0, false)];
    one.exec('BEGIN IMMEDIATE');
    const caught = ((): unknown => {
      try {
        return transaction(two, () => undefined);
      } catch (error) {
        return error;
      }
    })();
    expect(isBusy(caught)).toBe(true);
    expect(isBusy(new Error('other'))).toBe(false);
    // Reading goes on meanwhile.
    expect(count(two, 'revisions')).toBe(0);
    one.exec('ROLLBACK');
  });

  it('the log is brought into the file on demand, never by those who carry traffic', () => {
    const state = open(1_000, false);
    const logBytes = (): number => statSync(join(folder, `${stateFile}-wal`)).size;
    const insert = state.prepare('INSERT INTO closed_sessions (worker, session) VALUES (?, ?)');
    for (let row = 0; row < 1_500; row += 1) insert.run('w0', 'x'.repeat(4_000));
    expect(logBytes()).toBeGreaterThan(1_200 * 4_096);
    const before = statSync(join(folder, stateFile)).size;
    expect(checkpoint(state, logBytes())).toBeGreaterThan(1_200 * 4_096);
    expect(statSync(join(folder, stateFile)).size).toBeGreaterThan(before);
    expect(logBytes()).toBeGreaterThan(1_200 * 4_096);
    expect(checkpoint(state, 100_000)).toBe(0);
    expect(logBytes()).toBe(0);
  });

  it('a log that others keep busy is cut when they let go of it', () => {
    const [state, reader] = [open(0, false), open(0, false)];
    put(state, 'a');
    reader.exec('BEGIN');
    expect(count(reader, 'revisions')).toBe(1);
    put(state, 'b');
    const held = checkpoint(state, 0);
    expect(held).toBeGreaterThan(0);
    expect(count(reader, 'revisions')).toBe(1);
    reader.exec('COMMIT');
    expect(checkpoint(state, held)).toBe(held);
    expect(checkpoint(state, held - 1)).toBe(0);
    expect([count(reader, 'revisions'), count(state, 'revisions')]).toEqual([2, 2]);
  });

  it('the log stays bounded under steady writers', { timeout: 120_000 }, async () => {
    const script = `import { limitsWith } from ${JSON.stringify(join(import.meta.dirname, '../../../src/core/limits.ts'))};
      import { openState } from ${JSON.stringify(join(import.meta.dirname, '../../../src/core/state.ts'))};
      const state = openState(${JSON.stringify(folder)}, { durable: false, limits: limitsWith({ stateRecordWaitMs: 30_000 }) });
      const insert = state.prepare('INSERT INTO closed_sessions (worker, session) VALUES (?, ?)');
      const text = 'x'.repeat(4_000);
      for (let row = 0; row < 10_000; row += 1) insert.run('w0', text);`;
    const writers = Array.from({ length: 2 }, () => spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: ['ignore', 'ignore', 'inherit'] }));
    const ended = Promise.all(writers.map(async (child) => (await once(child, 'exit'))[0] as unknown));
    const state = open(1_000, false);
    const logBytesMax = 4 * 1024 * 1024;
    let writing = true;
    void ended.then(() => { writing = false; });
    let longest = 0;
    for (; writing; await sleep(20)) {
      longest = Math.max(longest, statSync(join(folder, `${stateFile}-wal`)).size);
      checkpoint(state, logBytesMax);
    }
    expect(await ended).toEqual([0, 0]);
    expect(count(state, 'closed_sessions')).toBe(20_000);
    // Never cut, it would hold every page that was written: 250 MB.
    expect(longest).toBeLessThan(100_000_000);
  });

  it.each([['broken', 'file is not a database'], ['x'.repeat(9_000), 'file is not a database']])('what is no database is refused with its name and the mend, and left as it is', (content, why) => {
    writeFileSync(join(folder, stateFile), content);
    expect(() => open()).toThrow(StateError);
    expect(() => open()).toThrow(new RegExp(`state\\.db: ${why}.*restore it`));
    expect(statSync(join(folder, stateFile)).size).toBe(content.length);
  });

  it('that of a newer version is refused', () => {
    const state = open();
    state.exec('PRAGMA user_version = 99');
    expect(() => open()).toThrow(/newer version \(99\)/);
  });

  it('a folder that cannot be is named', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => open(1_000, true, join(folder, 'file', 'state'))).toThrow(/file\/state\/state\.db: ENOTDIR/);
  });
});

describe('a process killed at any moment', () => {
  it('the database is whole, what was told as done is there, no CRL number comes twice', { timeout: 120_000 }, async () => {
    const script = join(import.meta.dirname, 'state-writer.ts');
    let lastNumber = -1;
    const revoked = new Set<string>();
    for (let round = 0; round < 10; round += 1) {
      const child = spawn(process.execPath, [script, folder, join(folder, 'ca')], { stdio: ['ignore', 'pipe', 'inherit'] });
      const lines: string[] = [];
      const reader = createInterface(child.stdout);
      const ready = new Promise<void>((resolve) => reader.on('line', (line) => {
        lines.push(line);
        if (line.startsWith('ready')) resolve();
      }));
      await Promise.race([ready, once(child, 'exit')]);
      await sleep(Math.random() * 120);
      child.kill('SIGKILL');
      await once(reader, 'close');
      const numbers = lines.flatMap((line) => (line.startsWith('number ') ? [Number(line.slice(7))] : []));
      expect(numbers.length).toBeGreaterThan(0);
      // Each run begins above all that was ever served, and rises by one.
      for (const number of numbers) {
        expect(number).toBeGreaterThan(lastNumber);
        lastNumber = number;
      }
      for (const line of lines) if (line.startsWith('revoked ')) revoked.add(line.slice(8));
      const state = open();
      expect(state.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
      const listed = new Set(state.prepare('SELECT serial FROM revoked').all().map(({ serial }) => serial));
      expect([...revoked].filter((serial) => !listed.has(serial))).toEqual([]);
      // At most what was under way beyond what was told.
      expect(listed.size - revoked.size).toBeLessThanOrEqual(round + 1);
      expect(Number(state.prepare('SELECT number FROM crl').get()?.['number']) - lastNumber).toBeLessThanOrEqual(1);
      expect(count(state, 'closed_sessions')).toBeLessThanOrEqual(500);
      for (const { session } of state.prepare('SELECT session FROM closed_sessions').all()) expect(JSON.parse(String(session))).toMatchObject({ state: 'closed', service: 'https' });
      state.close();
    }
    expect(revoked.size).toBeGreaterThan(10);
    const end = open();
    expect(count(end, 'closed_sessions')).toBeGreaterThan(0);
    expect(count(end, 'learned')).toBeGreaterThan(0);
    expect(count(end, 'issued')).toBeGreaterThan(0);
  });
});
