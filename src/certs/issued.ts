// The record of leaves issued, in the state database, so that an operator can revoke by host name and tell later who was shown what.
// Bounded; losing rows costs a revocation by name, never a flow.

import type { DatabaseSync } from 'node:sqlite';
import type { Limits } from '../core/limits.ts';
import { isBusy, transaction } from '../core/state.ts';

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
  flush(): void;
  /** Leaves still valid at `now` that carry this serial (hex), were made for this host or name it, newest first. */
  find(serialOrHost: string, now: number): readonly IssuedEntry[];
}

export type IssuedLimits = Pick<Limits, 'issuedMax' | 'stateSaveMs'>;

/** Opens the record in a state database. `onError` hears of leaves that could not be noted. */
export function openIssuedRecord(state: DatabaseSync, { issuedMax, stateSaveMs }: IssuedLimits, onError: (error: unknown) => void): IssuedRecord {
  const insert = state.prepare('INSERT INTO issued (serial, issuer, identity, host, names, upstream, at, not_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const trim = state.prepare('DELETE FROM issued WHERE seq <= (SELECT max(seq) FROM issued) - ?');
  const search = state.prepare(`SELECT * FROM issued WHERE not_after > ?1 AND (serial = ?2 OR host = ?3
    OR EXISTS (SELECT 1 FROM json_each(names) WHERE value IN (?3, ?4))) ORDER BY seq DESC`);
  let waiting: IssuedEntry[] = [];
  let timer: NodeJS.Timeout | null = null;

  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (waiting.length === 0) return;
    try {
      transaction(state, () => {
        for (const { serial, issuer, identity, host, names, upstream, at, notAfter } of waiting) {
          insert.run(serial, issuer, identity, host, JSON.stringify(names), upstream, at, notAfter);
        }
        trim.run(issuedMax);
      });
      waiting = [];
    } catch (error) {
      // Another process is writing: next time, unless that goes on for too long.
      if (!isBusy(error) || waiting.length > issuedMax) {
        waiting = [];
        onError(error);
      } else timer = setTimeout(flush, stateSaveMs).unref();
    }
  };
  return {
    note(entry) {
      waiting.push(entry);
      timer ??= setTimeout(flush, stateSaveMs).unref();
    },
    flush,
    find(serialOrHost, now) {
      const serial = serialOrHost.replace(/^0x|:/gi, '').toLowerCase();
      const host = serialOrHost.toLowerCase().replace(/\.$/, '');
      // RFC 9525 section 6.3: a wildcard stands for exactly one label, the leftmost.
      const dot = host.indexOf('.');
      return search.all(now, serial, host, dot > 0 ? `*${host.slice(dot)}` : host).map(entryOf);
    },
  };
}

/** Columns are typed by the table. */
function entryOf({ serial, issuer, identity, host, names, upstream, at, not_after: notAfter }: Record<string, unknown>): IssuedEntry {
  const list: unknown = JSON.parse(String(names));
  return {
    serial: String(serial), issuer: String(issuer), identity: String(identity), host: typeof host === 'string' ? host : null,
    names: Array.isArray(list) ? list.map(String) : [], upstream: typeof upstream === 'string' ? upstream : null, at: Number(at), notAfter: Number(notAfter),
  };
}
