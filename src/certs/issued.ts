// The record of leaves issued: one JSON line each in the state folder, so that an operator can revoke by host name and tell later who
// was shown what. Bounded by two files; losing lines costs a revocation by name, never a flow.

import { appendFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere } from './files.ts';

/** One issued leaf. */
export interface IssuedEntry {
  readonly serial: string;
  readonly issuer: string;
  readonly identity: string;
  /** The host it was first asked for, null when none was named. */
  readonly host: string | null;
  /** dNSName entries of the leaf, lower case: it serves further hosts than the first. */
  readonly names: readonly string[];
  /** SHA-256 of the server's certificate, hex; null when there was none. */
  readonly upstream: string | null;
  readonly at: number;
  readonly notAfter: number;
}

export interface IssuedRecord {
  /** Notes a leaf; written soon, without waiting. */
  note(entry: IssuedEntry): void;
  /** Writes what is waiting. */
  flush(): Promise<void>;
  /** Leaves still valid at `now` that carry this serial (hex), were made for this host or name it, newest first. */
  find(serialOrHost: string, now: number): Promise<readonly IssuedEntry[]>;
}

const fileName = 'issued.jsonl';
const olderName = 'issued.1.jsonl';
const flushAfterMs = 250;

/** Opens the record. `bytesMax` bounds each of its two files; `rotates` is true in one process only. */
export function openIssuedRecord(stateDir: string, bytesMax: number, rotates: boolean, onError: (error: unknown) => void): IssuedRecord {
  const file = join(stateDir, fileName);
  const older = join(stateDir, olderName);
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | null = null;
  let writing = Promise.resolve();

  const write = async (): Promise<void> => {
    const lines = waiting.join('');
    waiting = [];
    if (lines === '') return;
    // One write of whole lines to a file opened for appending: lines of several processes do not mix.
    await appendFile(file, lines, { mode: 0o600 });
    if (rotates && (await stat(file)).size > bytesMax) await rename(file, older);
  };
  const flush = (): Promise<void> => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    writing = writing.then(write).catch(onError);
    return writing;
  };
  return {
    note(entry) {
      waiting.push(`${JSON.stringify(entry)}\n`);
      timer ??= setTimeout(() => void flush(), flushAfterMs).unref();
    },
    flush,
    async find(serialOrHost, now) {
      const serial = serialOrHost.replace(/^0x|:/gi, '').toLowerCase();
      const host = serialOrHost.toLowerCase().replace(/\.$/, '');
      const text = `${(await readIfThere(older))?.toString() ?? ''}${(await readIfThere(file))?.toString() ?? ''}`;
      return text.split('\n').map(parse).filter((entry) => entry !== null).filter((entry) => entry.notAfter > now && (entry.serial === serial || entry.host === host || namesHost(entry.names, host))).reverse();
    },
  };
}

/** RFC 9525 section 6.3: a wildcard stands for exactly one label, the leftmost. */
function namesHost(names: readonly string[], host: string): boolean {
  const dot = host.indexOf('.');
  const wildcard = dot > 0 ? `*${host.slice(dot)}` : null;
  return names.some((name) => name === host || name === wildcard);
}

function parse(line: string): IssuedEntry | null {
  try {
    const value: unknown = JSON.parse(line);
    return isEntry(value) ? value : null;
  } catch {
    return null;
  }
}

function isEntry(value: unknown): value is IssuedEntry {
  if (typeof value !== 'object' || value === null) return false;
  const has = (key: string, test: (field: unknown) => boolean): boolean => test((value as Record<string, unknown>)[key]);
  const text = (field: unknown): boolean => typeof field === 'string';
  const textOrNull = (field: unknown): boolean => field === null || typeof field === 'string';
  const number = (field: unknown): boolean => typeof field === 'number';
  const texts = (field: unknown): boolean => Array.isArray(field) && field.every(text);
  return has('serial', text) && has('issuer', text) && has('identity', text) && has('host', textOrNull) && has('names', texts) && has('upstream', textOrNull) && has('at', number) && has('notAfter', number);
}
