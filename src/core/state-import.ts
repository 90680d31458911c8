// Takes over what earlier versions kept in files of their own: CRL numbers, revoked serials, issued leaves, learned bypasses. It reads
// files and fills empty tables; it changes and removes no file.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

/** Fills the tables from the files of a state folder; answers the files (and folders) that are now out of use. Throws when revocations cannot be read. */
export function importOldFiles(database: DatabaseSync, folder: string): string[] {
  const done: string[] = [];
  const take = (name: string, read: (path: string) => void): void => {
    const path = join(folder, name);
    if (!existsSync(path)) return;
    read(path);
    done.push(path);
  };
  take('revoked.json', (path) => importRevoked(database, path));
  take('crl', (path) => importNumbers(database, path));
  for (const name of ['issued.1.jsonl', 'issued.jsonl']) take(name, (path) => importIssued(database, path));
  take('learned.json', (path) => importLearned(database, path));
  return done;
}

function importRevoked(database: DatabaseSync, path: string): void {
  const list = field(parsed(readFileSync(path, 'utf8')), 'revoked');
  const insert = database.prepare('INSERT OR REPLACE INTO revoked VALUES (?, ?, ?, ?, ?, ?, ?)');
  // Forgetting revocations in silence would be worse than not starting.
  if (!Array.isArray(list)) throw new Error(`${path} is not a ledger of revoked serials`);
  for (const entry of list) {
    const [issuer, serial, at, until, reason, keep, identity] = ['issuer', 'serial', 'at', 'until', 'reason', 'keep', 'identity'].map((key) => field(entry, key));
    if (!isHex(issuer) || !isHex(serial) || !isTime(at) || !isTime(until) || !isTime(reason) || typeof keep !== 'boolean' || !isTextOrNull(identity)) {
      throw new Error(`${path} is not a ledger of revoked serials`);
    }
    insert.run(issuer, serial, at, until, reason, Number(keep), identity);
  }
  database.exec("INSERT INTO revisions VALUES ('revoked', 1)");
}

/** The last numbers; the lists themselves are signed anew at the start. */
function importNumbers(database: DatabaseSync, folder: string): void {
  const insert = database.prepare('INSERT INTO crl VALUES (?, ?, 0, NULL)');
  for (const name of readdirSync(folder)) {
    const issuer = /^([0-9a-f]+)\.number$/.exec(name)?.[1];
    const number = issuer === undefined ? Number.NaN : Number(readFileSync(join(folder, name), 'utf8'));
    if (issuer !== undefined && isTime(number)) insert.run(issuer, number);
  }
}

function importIssued(database: DatabaseSync, path: string): void {
  const insert = database.prepare('INSERT INTO issued (serial, issuer, identity, host, names, upstream, at, not_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const entry = parsed(line);
    const [serial, issuer, identity, host, upstream, at, notAfter] = ['serial', 'issuer', 'identity', 'host', 'upstream', 'at', 'notAfter'].map((key) => field(entry, key));
    const names = field(entry, 'names');
    if (!isHex(serial) || !isHex(issuer) || typeof identity !== 'string' || !isTextOrNull(host) || !isTextOrNull(upstream) || !isTime(at) || !isTime(notAfter) || !isTexts(names)) continue;
    insert.run(serial, issuer, identity, host, JSON.stringify(names), upstream, at, notAfter);
  }
}

function importLearned(database: DatabaseSync, path: string): void {
  const insert = database.prepare('INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?, ?)');
  const list = parsed(readFileSync(path, 'utf8'));
  for (const entry of Array.isArray(list) ? list : []) {
    const [client, name, ja4, refusals, since, until] = ['client', 'name', 'ja4', 'refusals', 'since', 'until'].map((key) => field(entry, key));
    if (typeof client !== 'string' || typeof name !== 'string' || !isTextOrNull(ja4) || !isTime(refusals) || !isTime(since) || !isTime(until)) continue;
    insert.run(`${client} ${name} ${ja4 ?? '-'}`, client, name, ja4, refusals, since, until);
  }
}

/** The JSON of a text; undefined when it is none. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

const field = (value: unknown, key: string): unknown => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined);
const isHex = (value: unknown): value is string => typeof value === 'string' && /^(?:[0-9a-f]{2}){1,20}$/.test(value);
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === 'string';
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');
