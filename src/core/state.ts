// The state database: one SQLite file in the state folder, opened by every process of a gateway and by its commands. It holds the tables
// and how they are opened, shared and survive a crash; what their rows mean is the matter of those who write them.

import { closeSync, mkdirSync, openSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Limits } from './limits.ts';
import { importOldFiles } from './state-import.ts';

export interface StateOptions {
  /**
   * A commit is on the disk when it returns, also for a power cut, and waits `stateWaitMs` for another process that is writing. Else it outlives
   * the end of the process alone, never waits for the disk, and for others no longer than `stateRecordWaitMs`.
   */
  readonly durable: boolean;
  readonly limits: StateLimits;
}

export type StateLimits = Pick<Limits, 'stateWaitMs' | 'stateRecordWaitMs' | 'stateOpenMs' | 'stateOpenRetryMs'>;

/** The database cannot be opened. The message is for operators. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

export const stateFile = 'state.db';

/** Each step brings a database from the version before to the next; steps that were released never change. */
const steps: readonly string[] = [`
  CREATE TABLE revisions (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE crl (issuer TEXT PRIMARY KEY, number INTEGER NOT NULL, signed_at INTEGER NOT NULL, der BLOB) STRICT;
  CREATE TABLE revoked (
    issuer TEXT NOT NULL, serial TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL, reason INTEGER NOT NULL, keep INTEGER NOT NULL, identity TEXT,
    PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE issued (
    seq INTEGER PRIMARY KEY, serial TEXT NOT NULL, issuer TEXT NOT NULL, identity TEXT NOT NULL, host TEXT, names TEXT NOT NULL, upstream TEXT,
    at INTEGER NOT NULL, not_after INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE learned (
    key TEXT PRIMARY KEY, client TEXT NOT NULL, name TEXT NOT NULL, ja4 TEXT, refusals INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE closed_sessions (seq INTEGER PRIMARY KEY, worker TEXT NOT NULL, session TEXT NOT NULL) STRICT;
`];

const privateFile = 0o600;
const privateFolder = 0o700;

/** Opens the database of a state folder, making it on first use from what older versions left there. Throws StateError. */
export function openState(folder: string, options: StateOptions): DatabaseSync {
  const path = join(folder, stateFile);
  try {
    mkdirSync(folder, { recursive: true, mode: privateFolder });
    makePrivate(path);
    const database = new DatabaseSync(path, { timeout: waitOf(options) });
    try {
      prepare(database, folder, options);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof StateError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StateError(`${path}: ${why}; restore it from a backup, or move it away to forget revocations, learned bypasses and closed sessions`, { cause: error });
  }
}

/**
 * SQLite would make the file readable for others; its further files take the mode of this one. One that is there is not opened: to close it
 * again would drop the locks that other connections of this process hold on it (POSIX), and whoever closes last elsewhere would take the log away.
 */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', privateFile));
  } catch (caught) {
    if (!(caught instanceof Error && 'code' in caught && caught.code === 'EEXIST')) throw caught;
  }
}

/** Runs `work` as one change: all of it or nothing, whatever happens to the process. `work` must not wait. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/**
 * Moves what was committed from the log into the file, as far as nobody reads it. Waits for the disk. A log beyond `logBytesMax` is then cut to
 * nothing, and writers wait meanwhile: else it begins anew only when nobody happens to read or write at the end of a move. Answers the octets
 * still in the log: more than `logBytesMax` when others did not let go of it in time.
 */
export function checkpoint(database: DatabaseSync, logBytesMax: number): number {
  const pageBytes = Number(database.prepare('PRAGMA page_size').get()?.['page_size'] ?? 0);
  // -1 while another process moves it. The headers of pages are too small to count.
  const pages = Number(database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()?.['log'] ?? 0);
  const left = Math.max(0, pages) * pageBytes;
  if (left <= logBytesMax) return left;
  const kept = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] !== 0;
  return kept ? left : 0;
}

/** Whether a caught value says that another process was writing for too long: what was not done can be done later. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && (error.errcode & 0xff) === sqliteBusy;
}

const sqliteBusy = 5;

function waitOf({ durable, limits }: StateOptions): number {
  return durable ? limits.stateWaitMs : limits.stateRecordWaitMs;
}

function prepare(database: DatabaseSync, folder: string, options: StateOptions): void {
  const { durable } = options;
  // Readers never wait for writers, and a process that is killed leaves nothing to mend by hand.
  patiently(options, () => database.exec('PRAGMA journal_mode = WAL'));
  database.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'NORMAL'}`);
  // Moving the log into the file waits for the disk: whoever carries traffic leaves that to others (see `checkpoint`).
  if (!durable) database.exec('PRAGMA wal_autocheckpoint = 0');
  if (versionOf(database) === steps.length) return;
  const imported = transaction(database, () => {
    const version = versionOf(database);
    if (version > steps.length) throw new StateError(`${join(folder, stateFile)}: was written by a newer version (${version}); this one knows ${steps.length}`);
    for (const step of steps.slice(version)) database.exec(step);
    database.exec(`PRAGMA user_version = ${steps.length}`);
    return version === 0 ? importOldFiles(database, folder) : [];
  });
  // They are in the database for good by now: were the process to end here, they would only lie about.
  for (const file of imported) renameSync(file, `${file}.imported`);
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

/** SQLite does not wait by itself when two processes switch a new database to WAL at once. */
function patiently(options: StateOptions, work: () => void): void {
  const { stateOpenMs, stateOpenRetryMs } = options.limits;
  for (const end = Date.now() + Math.max(waitOf(options), stateOpenMs); ;) {
    try {
      work();
      return;
    } catch (error) {
      if (!isBusy(error) || Date.now() > end) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stateOpenRetryMs);
    }
  }
}
