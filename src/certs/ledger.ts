// The ledger of revoked serial numbers, in the state database: every process reads it again when it has changed.
// It says what is revoked; CRL, OCSP and the cache of leaves follow it.

import type { DatabaseSync } from 'node:sqlite';
import { transaction } from '../core/state.ts';

/** One revoked leaf. */
export interface RevokedEntry {
  /** Lower-case hex. */
  readonly serial: string;
  /** Key identifier of the issuer, lower-case hex. */
  readonly issuer: string;
  /** When it was revoked, and until when it must be listed; milliseconds since the epoch. */
  readonly at: number;
  readonly until: number;
  /** CRLReason of RFC 5280 section 5.3.1; 0 (unspecified) is not written. */
  readonly reason: number;
  /** Go on serving it, so that clients' reaction can be seen. */
  readonly keep: boolean;
  /** The identity it stood for (see cache.ts), null when unknown: sessions of it must not be resumed. */
  readonly identity: string | null;
}

export interface Ledger {
  /** Entries of one issuer that must still be listed at `now`. */
  listed(issuer: string, now: number): readonly RevokedEntry[];
  find(issuer: string, serial: string): RevokedEntry | null;
  /** How often an identity was revoked. */
  generation(identity: string): number;
  /** Adds entries (known serials are replaced); on the disk when it returns. Throws LedgerFullError, with nothing added. */
  revoke(entries: readonly RevokedEntry[]): void;
  /** Reads the table again if it has changed; true when it had. */
  reload(): boolean;
}

/** The ledger holds as many serials as revokedMax allows. */
export class LedgerFullError extends Error {
  override readonly name = 'LedgerFullError';
}

/** Name of its row in `revisions`. */
const revisionName = 'revoked';

/** Opens the ledger of a state database that was opened as durable. */
export function openLedger(state: DatabaseSync, revokedMax: number): Ledger {
  const revision = state.prepare('SELECT number FROM revisions WHERE name = ?');
  const rows = state.prepare('SELECT * FROM revoked');
  const insert = state.prepare('INSERT OR REPLACE INTO revoked (issuer, serial, at, until, reason, keep, identity) VALUES (?, ?, ?, ?, ?, ?, ?)');
  const count = state.prepare('SELECT count(*) AS count FROM revoked');
  const step = state.prepare('INSERT INTO revisions VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1');
  const dropOld = state.prepare('DELETE FROM revoked WHERE until <= ?');
  let seen = -1;
  let bySerial = new Map<string, RevokedEntry>();
  let byIdentity = new Map<string, number>();

  const reload = (): boolean => {
    const number = Number(revision.get(revisionName)?.['number'] ?? 0);
    if (number === seen) return false;
    bySerial = new Map(rows.all().map(entryOf).map((entry) => [`${entry.issuer} ${entry.serial}`, entry]));
    byIdentity = new Map();
    for (const { identity } of bySerial.values()) if (identity !== null) byIdentity.set(identity, (byIdentity.get(identity) ?? 0) + 1);
    seen = number;
    return true;
  };
  reload();
  return {
    listed: (issuer, now) => [...bySerial.values()].filter((entry) => entry.issuer === issuer && entry.until > now),
    find: (issuer, serial) => bySerial.get(`${issuer} ${serial}`) ?? null,
    generation: (identity) => byIdentity.get(identity) ?? 0,
    reload,
    revoke(added) {
      transaction(state, () => {
        // What need not be listed any more makes room.
        dropOld.run(Math.min(...added.map(({ at }) => at)));
        for (const { issuer, serial, at, until, reason, keep, identity } of added) insert.run(issuer, serial, at, until, reason, Number(keep), identity);
        const held = Number(count.get()?.['count'] ?? 0);
        if (held > revokedMax) throw new LedgerFullError(`the ledger would hold ${held} serials; limits.revokedMax is ${revokedMax}`);
        step.run(revisionName);
      });
      reload();
    },
  };
}

/** Columns are typed by the table. */
function entryOf({ issuer, serial, at, until, reason, keep, identity }: Record<string, unknown>): RevokedEntry {
  return {
    issuer: String(issuer), serial: String(serial), at: Number(at), until: Number(until), reason: Number(reason), keep: keep === 1,
    identity: typeof identity === 'string' ? identity : null,
  };
}
