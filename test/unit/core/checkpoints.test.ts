import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startCheckpoints } from '../../../src/core/checkpoints.ts';
import type { Checkpoints } from '../../../src/core/checkpoints.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { openState } from '../../../src/core/state.ts';

let folder = '';
let state: DatabaseSync;
let started: Checkpoints | null = null;
const told: unknown[] = [];
const generous = { timeout: 20_000 };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-checkpoints-'));
  state = openState(folder, { durable: false, limits: limitsWith() });
  told.length = 0;
});
afterEach(async () => {
  await started?.stop();
  started = null;
  if (state.isOpen) state.close();
  rmSync(folder, { recursive: true });
});
const start = (limits: Partial<Record<LimitName, number>> = {}): void => {
  started = startCheckpoints(folder, limitsWith({ stateCheckpointMs: 20, stateRecordWaitMs: 0, ...limits }), { ...silentLogger, warn: (fault: unknown) => void told.push(fault) });
};
const write = (rows: number): void => {
  const insert = state.prepare('INSERT INTO closed_sessions (worker, session) VALUES (?, ?)');
  for (let row = 0; row < rows; row += 1) insert.run('w0', 'x'.repeat(4_000));
};
const bytes = (end: '' | '-wal'): number => statSync(join(folder, `state.db${end}`)).size;

it('the log is moved into the file, and cut when it is too long', generous, async () => {
  write(100);
  const before = bytes('');
  start();
  await expect.poll(() => bytes(''), generous).toBeGreaterThan(before + 100 * 4_000);
  expect(bytes('-wal')).toBeGreaterThan(100 * 4_000);
  await started?.stop();
  start({ stateLogBytesMax: 1_000 });
  await expect.poll(() => bytes('-wal'), generous).toBe(0);
  expect(told).toEqual([]);
});

it('a log that cannot be cut is told once, and cut when it can be', generous, async () => {
  const reader = openState(folder, { durable: false, limits: limitsWith() });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM closed_sessions').get();
  write(1);
  start({ stateLogBytesMax: 1 });
  await expect.poll(() => told, generous).toEqual([{ bytes: expect.any(Number) as number }]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(told).toHaveLength(1);
  reader.exec('COMMIT');
  await expect.poll(() => bytes('-wal'), generous).toBe(0);
  reader.close();
});

it('a database that cannot be opened is told once, and taken up when it can be', generous, async () => {
  write(1);
  state.exec('PRAGMA user_version = 99');
  start({ stateLogBytesMax: 1 });
  await expect.poll(() => told.length, generous).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(told).toEqual([{ err: expect.stringMatching(/newer version/) as string }]);
  state.exec('PRAGMA user_version = 1');
  await expect.poll(() => bytes('-wal'), generous).toBe(0);
});

it('lets go of the database when it is stopped: the last to close it leaves no log', generous, async () => {
  write(10);
  start({ stateLogBytesMax: 1 });
  await expect.poll(() => bytes('-wal'), generous).toBe(0);
  await started?.stop();
  state.close();
  expect(() => bytes('-wal')).toThrow('ENOENT');
});
