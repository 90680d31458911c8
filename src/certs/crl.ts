// Builds certificate revocation lists (RFC 5280 section 5): version 2, with authority key identifier and CRL number, without an issuing
// distribution point (it would tie the list to one address). It signs nothing and keeps nothing.

import { encode, enumerated, integer, raw, readElement, readElements, readInside, readTime, sequence, tagged, tags, time } from './asn1.ts';
import type { Issuer } from './authority.ts';
import { authorityKeyId, extension, oids, readExtensions, signed } from './parts.ts';

/** What a list says. Times in milliseconds since the epoch. */
export interface CrlContent {
  readonly number: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** When the next one will be made: Windows fetches it from then on. */
  readonly nextPublish: number;
  readonly revoked: readonly { readonly serial: string; readonly at: number; readonly reason: number }[];
}

/** A list signed by its issuer, DER. */
export function buildCrl(issuer: Issuer, content: CrlContent): Buffer {
  const entries = content.revoked.map(({ serial, at, reason }) => sequence(
    integer(Buffer.from(serial, 'hex')), time(at),
    ...(reason === 0 ? [] : [sequence(extension(oids.crlReason, false, enumerated(reason)))]),
  ));
  const toBeSigned = encode(sequence(
    integer(1), raw(issuer.algorithm), raw(issuer.subject), time(content.thisUpdate), time(content.nextUpdate),
    // An empty list of entries must be absent.
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    tagged(0, sequence(
      authorityKeyId(issuer.keyId),
      extension(oids.crlNumber, false, integer(content.number)),
      extension(oids.nextCrlPublish, false, time(content.nextPublish)),
    )),
  ));
  return signed(toBeSigned, issuer.algorithm, issuer.sign(toBeSigned));
}

/** What a server of lists needs to know of one. */
export interface CrlFacts {
  readonly number: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** Reads number and times of a list; null when it is not one of ours in form. */
export function readCrl(bytes: Buffer): CrlFacts | null {
  const body = readInside(readInside(bytes, tags.sequence, 3)?.[0]?.whole ?? Buffer.alloc(0), tags.sequence, 8);
  if (body === null) return null;
  const [thisUpdate, nextUpdate] = body.filter(({ tag }) => tag === tags.utcTime || tag === tags.generalizedTime).map(readTime);
  const last = body.at(-1);
  const extensions = last?.tag === tags.constructed(0) ? readExtensions(last.content) : null;
  const number = readElement(extensions?.get(oids.crlNumber)?.value ?? Buffer.alloc(0));
  if (typeof thisUpdate !== 'number' || typeof nextUpdate !== 'number' || number?.tag !== tags.integer || number.content.length === 0 || number.content.length > 6) return null;
  return { number: number.content.readUIntBE(0, number.content.length), thisUpdate, nextUpdate };
}

/** How many serials a list carries. */
export function revokedCount(bytes: Buffer): number {
  const body = readInside(readInside(bytes, tags.sequence, 3)?.[0]?.whole ?? Buffer.alloc(0), tags.sequence, 8) ?? [];
  const entries = body.filter(({ tag }) => tag === tags.sequence)[2];
  return entries === undefined ? 0 : (readElements(entries.content, Number.MAX_SAFE_INTEGER)?.length ?? 0);
}

