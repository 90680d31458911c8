// Revoking emulated leaves: finds what an operator means by a serial number or a host name and enters it into the ledger.
// What follows (CRL, OCSP, eviction) happens in every process that watches the ledger.

import type { Issuer } from './authority.ts';
import type { IssuedEntry, IssuedRecord } from './issued.ts';
import type { Ledger, RevokedEntry } from './ledger.ts';

export interface RevokeRequest {
  /** A serial number in hex (colons allowed), or a host name. */
  readonly target: string;
  /** Go on serving the leaves, so that clients' reaction can be seen. */
  readonly keep: boolean;
  /** CRLReason; 0 is unspecified. */
  readonly reason: number;
}

export interface RevokeParts {
  readonly issuers: readonly Issuer[];
  readonly ledger: Ledger;
  readonly issued: IssuedRecord;
  /** Longest life of a leaf: how long a serial not in the record stays listed. */
  readonly leafDaysMax: number;
  readonly now: number;
}

const dayMs = 86_400_000;

/** Enters the leaves meant into the ledger and answers their serials; empty when no leaf is meant by it. */
export function revoke(request: RevokeRequest, parts: RevokeParts): readonly string[] {
  const { target, keep, reason } = request;
  const found = parts.issued.find(target, parts.now);
  const entries = found.length > 0 ? found.map((entry) => fromRecord(entry, parts.now, reason, keep)) : ownSerial(request, parts);
  if (entries.length > 0) parts.ledger.revoke(entries);
  return [...new Set(entries.map(({ serial }) => serial))];
}

function fromRecord({ serial, issuer, identity, notAfter }: IssuedEntry, at: number, reason: number, keep: boolean): RevokedEntry {
  return { serial, issuer, identity, at, until: listedUntil(notAfter), reason, keep };
}

/** A serial that the record has lost: its mark still tells that one of our issuers made it, be it on another gateway. */
function ownSerial({ target, keep, reason }: RevokeRequest, { issuers, now, leafDaysMax }: RevokeParts): RevokedEntry[] {
  const hex = target.replace(/^0x|:/gi, '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) return [];
  const serial = Buffer.from(hex, 'hex');
  return issuers.filter((issuer) => issuer.isOwnSerial(serial))
    .map((issuer) => ({ serial: hex, issuer: issuer.keyIdHex, identity: null, at: now, until: listedUntil(now + leafDaysMax * dayMs), reason, keep }));
}

/** RFC 5280 section 3.3: listed once more after the certificate has ended. */
const listedUntil = (notAfter: number): number => notAfter + 2 * dayMs;
