// CRLs as a client (RFC 5280 sections 5 and 6.3): judges whether a fetched list is the issuer's, current, and about the certificates in question,
// and looks a serial up in it. Lists stay in the bytes that came; nothing is kept or fetched here.

import type { X509Certificate } from 'node:crypto';
import { readElement, readElements, readInside, readOid, readTime, tags, wrap } from '../core/der.ts';
import type { Element } from '../core/der.ts';
import { fieldsOf, isSignedBy, namesOf } from './revocation-parts.ts';

/** A list that was proven to be its issuer's. */
export interface ProvenCrl {
  readonly bytes: Buffer;
  /** The entries' content, empty when none are revoked: a view of `bytes`. */
  readonly entries: Buffer;
  /** Milliseconds since the epoch. */
  readonly untilMs: number;
  /** Which certificates it is about: issuingDistributionPoint, null without one. */
  readonly scope: CrlScope | null;
}

interface CrlScope {
  readonly urls: readonly string[];
  readonly only: 'leaves' | 'authorities' | null;
}

const fieldsMax = 8;
const extensionsMax = 32;
const skewMs = 5 * 60_000;
const distributionPoint = '2.5.29.28';
const deltaIndicator = '2.5.29.27';

/** A list in DER as its issuer's at a time; null when it is not that: another's, badly signed, out of date, a delta, or of a kind not followed. */
export function proveCrl(bytes: Buffer, issuer: X509Certificate, now: number): ProvenCrl | null {
  const [list, algorithm, signature] = readInside(bytes, tags.sequence, 3) ?? [];
  const fields = list?.tag === tags.sequence ? (readElements(list.content, fieldsMax) ?? []) : [];
  const above = fieldsOf(issuer);
  if (list === undefined || algorithm === undefined || signature === undefined || above === null || !above.maySignCrls) return null;
  const rest = fields[0]?.tag === tags.integer ? fields.slice(1) : fields;
  const [named, name, thisUpdate, nextUpdate, ...more] = rest;
  // RFC 5280 section 5.1.1.2: what is signed names the algorithm too.
  if (named?.whole.equals(algorithm.whole) !== true) return null;
  const from = thisUpdate === undefined ? null : readTime(thisUpdate);
  const until = nextUpdate === undefined ? null : readTime(nextUpdate);
  // Without nextUpdate (RFC 5280 forbids it) nobody knows how long it holds.
  if (name?.whole.equals(above.subject) !== true || from === null || until === null || from > now + skewMs || until < now - skewMs) return null;
  const wrapped = more.find(({ tag }) => tag === tags.constructed(0));
  const scope = wrapped === undefined ? null : scopeOf(wrapped);
  if (scope === 'unusable' || !isSignedBy(list.whole, algorithm, signature, issuer)) return null;
  const entries = more.find(({ tag }) => tag === tags.sequence)?.content ?? Buffer.alloc(0);
  return { bytes, entries, untilMs: until, scope };
}

/** Whether a list speaks of a certificate that names it at `url`. */
export function coversCertificate(crl: ProvenCrl, url: string, isAuthority: boolean): boolean {
  const { scope } = crl;
  if (scope === null) return true;
  return (scope.urls.length === 0 || scope.urls.includes(url)) && scope.only !== (isAuthority ? 'leaves' : 'authorities');
}

/** Whether a serial (content octets of the INTEGER) is listed. Lists are long and hits are rare: bytes are searched first, then followed. */
export function listsSerial(crl: ProvenCrl, serial: Buffer): boolean {
  const wanted = wrap(tags.integer, serial);
  if (!crl.entries.includes(wanted)) return false;
  let at = 0;
  while (at < crl.entries.length) {
    const entry = readElement(crl.entries.subarray(at));
    // An entry that cannot be followed may be the one: the list is signed, so this is no attack, but it is not proof of anything good either.
    if (entry === null || entry.whole.length === 0) return true;
    if (readElement(entry.content)?.whole.equals(wanted) === true) return true;
    at += entry.whole.length;
  }
  return false;
}

/** The issuingDistributionPoint; `unusable` for deltas, partial and indirect lists, and critical extensions that are not known. */
function scopeOf(wrapped: Element): CrlScope | null | 'unusable' {
  let scope: CrlScope | null = null;
  for (const extension of readInside(wrapped.content, tags.sequence, extensionsMax) ?? []) {
    const [oid, ...rest] = readElements(extension.content, 3) ?? [];
    const name = oid?.tag === tags.oid ? readOid(oid.content) : null;
    const critical = rest[0]?.tag === tags.boolean && rest[0].content[0] !== 0;
    const value = rest.at(-1);
    if (name === distributionPoint && value?.tag === tags.octets) {
      const read = readScope(value.content);
      if (read === null) return 'unusable';
      scope = read;
    } else if (name === null || name === deltaIndicator || critical) return 'unusable';
  }
  return scope;
}

/** IssuingDistributionPoint: point [0], onlyUserCerts [1], onlyCACerts [2], reasons [3], indirect [4], onlyAttributeCerts [5]. */
function readScope(value: Buffer): CrlScope | null {
  let urls: readonly string[] = [];
  let only: CrlScope['only'] = null;
  for (const part of readInside(value, tags.sequence, 6) ?? []) {
    const set = part.content[0] !== 0;
    if (part.tag === tags.constructed(0)) {
      urls = namesOf(part);
      // A point without an http address cannot be the one the list came from.
      if (urls.length === 0) return null;
    } else if (part.tag === tags.primitive(1)) only = set ? 'leaves' : only;
    else if (part.tag === tags.primitive(2)) only = set ? 'authorities' : only;
    else if (part.tag === tags.primitive(3) || set) return null;
  }
  return { urls, only };
}
