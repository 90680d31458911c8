// Keeps the current list of each issuer in the state database: the primary process signs it (at start, daily, when the ledger changes) under a
// number that only grows; every other process reads it. A list that cannot be renewed goes on being served.

import type { DatabaseSync } from 'node:sqlite';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import { transaction } from '../core/state.ts';
import type { Issuer } from './authority.ts';
import { buildCrl, readCrl } from './crl.ts';
import type { CrlFacts } from './crl.ts';
import type { Ledger } from './ledger.ts';

/** A list ready to be served. */
export interface CurrentCrl extends CrlFacts {
  readonly der: Buffer;
}

export interface CrlStoreOptions {
  /** Opened as durable. */
  readonly state: DatabaseSync;
  readonly issuers: readonly Issuer[];
  readonly days: number;
  /** Signs and numbers; true in one process of a gateway. */
  readonly primary: boolean;
  readonly ledger: Ledger;
  readonly meter: Meter;
  readonly log: Logger;
  readonly clock: () => number;
}

export interface CrlStore {
  current(issuer: Issuer): CurrentCrl | null;
  /**
   * Signs what is due (all, when `force`) or reads what the primary has signed. Never throws: a failure is logged once, the old list stays, and the
   * new one stays due.
   */
  refresh(force?: boolean): void;
  /** Whether the issuer's list lacks what it should say by now, since it could not be signed. */
  isDue(issuer: Issuer): boolean;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Clocks of clients are behind: a list from the future is refused. */
const backDatedMs = 2 * hourMs;
const resignMs = dayMs;

/** Opens the store and signs (primary) or reads what there is. */
export function openCrlStore(options: CrlStoreOptions): CrlStore {
  const { state, clock } = options;
  const numberOf = state.prepare('SELECT number FROM crl WHERE issuer = ?');
  const put = state.prepare('INSERT OR REPLACE INTO crl (issuer, number, signed_at, der) VALUES (?, ?, ?, ?)');
  const held = new Map<string, CurrentCrl & { readonly signedAt: number }>();
  /** Issuers whose list must be signed, whenever that succeeds: what changed in the ledger is told only once. */
  const due = new Set<string>();
  /** Issuers whose list could not be renewed last time: told once. */
  const failing = new Set<string>();

  const sign = (issuer: Issuer): void => {
    const now = clock();
    // Number and list are one change: no crash can spend a number twice, and none is served before it is on the disk.
    const der = transaction(state, () => {
      const last = Number(numberOf.get(issuer.keyIdHex)?.['number'] ?? 0);
      const number = nextNumber(last, now);
      const list = buildCrl(issuer, {
        number, thisUpdate: now - backDatedMs, nextUpdate: now + options.days * dayMs, nextPublish: now + resignMs,
        revoked: options.ledger.listed(issuer.keyIdHex, now),
      });
      put.run(issuer.keyIdHex, number, now, list);
      return list;
    });
    hold(issuer, der, now);
  };
  const read = (issuer: Issuer): void => {
    const number = Number(numberOf.get(issuer.keyIdHex)?.['number'] ?? 0);
    if (number === 0 || number === held.get(issuer.keyIdHex)?.number) return;
    const der = lastList(state, issuer);
    if (der !== null) hold(issuer, der, clock());
  };
  const hold = (issuer: Issuer, der: Buffer, signedAt: number): void => {
    const facts = readCrl(der);
    if (facts === null) throw new Error(`the list of issuer ${issuer.keyIdHex} in the state database is not a CRL`);
    held.set(issuer.keyIdHex, { ...facts, der, signedAt });
    options.meter.set('crl_next_update_timestamp_seconds', [issuer.name], Math.floor(facts.nextUpdate / 1000));
  };
  const renew = (issuer: Issuer): void => {
    const signedAt = held.get(issuer.keyIdHex)?.signedAt;
    if (signedAt === undefined || Math.abs(clock() - signedAt) >= resignMs) due.add(issuer.keyIdHex);
    if (!due.has(issuer.keyIdHex)) return;
    sign(issuer);
    due.delete(issuer.keyIdHex);
  };
  const refreshOne = (issuer: Issuer, force: boolean): void => {
    if (force && options.primary) due.add(issuer.keyIdHex);
    try {
      if (options.primary) renew(issuer);
      else read(issuer);
      failing.delete(issuer.keyIdHex);
    } catch (error) {
      if (failing.has(issuer.keyIdHex)) return;
      failing.add(issuer.keyIdHex);
      options.log.error({ err: error, issuer: issuer.name }, 'the CRL could not be renewed; the old one is still served, and it is tried again until it succeeds');
    }
  };
  const refresh = (force = false): void => {
    for (const issuer of options.issuers) if (issuer.signsCrls) refreshOne(issuer, force);
  };
  if (options.primary) keepOldLists(options.issuers, read);
  refresh(options.primary);
  return { current: (issuer) => held.get(issuer.keyIdHex) ?? null, refresh, isDue: ({ keyIdHex }) => due.has(keyIdHex) };
}

/** The list of an issuer that was signed last, null when there is none. */
export function lastList(state: DatabaseSync, { keyIdHex }: Issuer): Buffer | null {
  const der = state.prepare('SELECT der FROM crl WHERE issuer = ? AND der IS NOT NULL').get(keyIdHex)?.['der'];
  return der instanceof Uint8Array ? Buffer.from(der) : null;
}

/** At start the last list is read first, so that there is something to serve should signing fail. */
function keepOldLists(issuers: readonly Issuer[], read: (issuer: Issuer) => void): void {
  for (const issuer of issuers) {
    try {
      read(issuer);
    } catch { /* It is signed anew at once. */ }
  }
}

/** Greater than every number used before; gateways that share an issuer stay comparable because seconds are the floor. */
function nextNumber(last: number, now: number): number {
  return Math.max(last + 1, Math.floor(now / 1000));
}
