// Reads OCSP requests and builds OCSP responses (RFC 6960, RFC 5019, RFC 9654). It knows neither the ledger nor HTTP, signs only what it
// is given the issuer for, and answers null for requests it will not follow.

import { createHash } from 'node:crypto';
import { encode, enumerated, generalizedTime, integer, nothing, octets, oid, raw, readElement, readElements, readInside, readOid, sequence, tagged, taggedBytes, tags } from './asn1.ts';
import type { Der, Element } from './asn1.ts';
import type { Issuer } from './authority.ts';
import { extension, oids, publicKeyBits, readExtensions, signed } from './parts.ts';

/** One question: the state of one certificate. */
export interface OcspQuery {
  /** CertID as sent, the whole element: it goes back unchanged. */
  readonly certId: Buffer;
  readonly hash: 'sha1' | 'sha256' | 'other';
  readonly issuerNameHash: Buffer;
  readonly issuerKeyHash: Buffer;
  /** Lower-case hex, as the ledger writes it. */
  readonly serial: string;
  /** Value of the nonce extension, null when there is none. */
  readonly nonce: Buffer | null;
}

/** What is known of a certificate. */
export type OcspState = { readonly state: 'good' } | { readonly state: 'unknown' } | { readonly state: 'revoked'; readonly at: number; readonly reason: number };

export interface OcspTimes {
  readonly producedAt: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** OCSPResponseStatus of unsigned answers. */
export const ocspErrors = { malformedRequest: 1, internalError: 2, tryLater: 3 } as const;

const hashNames: Readonly<Record<string, 'sha1' | 'sha256'>> = { [oids.sha1]: 'sha1', [oids.sha256]: 'sha256' };
/** RFC 9654 section 2.1. */
const nonceBytesMax = 128;
const fieldsMax = 8;

/** The question in a request; null when malformed, or about more than one certificate (RFC 5019 section 2.1.1). */
export function readOcspRequest(bytes: Buffer): OcspQuery | null {
  const toBeSigned = readInside(bytes, tags.sequence, 2)?.[0];
  const fields = toBeSigned?.tag === tags.sequence ? readElements(toBeSigned.content, fieldsMax) : null;
  const list = fields?.find(({ tag }) => tag === tags.sequence);
  const [request, another] = list === undefined ? [] : (readElements(list.content, 2) ?? []);
  if (request?.tag !== tags.sequence || another !== undefined) return null;
  const certId = readElements(request.content, 2)?.[0];
  const wrapped = fields?.find(({ tag }) => tag === tags.constructed(2));
  const nonce = wrapped === undefined ? null : readNonce(wrapped);
  return certId === undefined || nonce === 'bad' ? null : readCertId(certId, nonce);
}

/** Whether a question is about a certificate of this issuer. */
export function asksAbout(query: OcspQuery, issuer: Issuer): boolean {
  if (query.hash === 'other') return false;
  const hashes = issuerHashes(issuer, query.hash);
  return hashes.name.equals(query.issuerNameHash) && hashes.key.equals(query.issuerKeyHash);
}

/** The CertID of a certificate of this issuer, as clients write it (SHA-1, which all of them know). */
export function certIdOf(issuer: Issuer, serial: Buffer): Buffer {
  const { name, key } = issuerHashes(issuer, 'sha1');
  return encode(sequence(sequence(oid(oids.sha1), nothing()), octets(name), octets(key), integer(serial)));
}

/**
 * The part of an answer that is signed. The responder is named by name, not by key: GnuTLS finds no signer by key in a stapled answer
 * when the root is not sent.
 */
export function ocspToBeSigned(issuer: Issuer, certId: Buffer, state: OcspState, times: OcspTimes, nonce: Buffer | null): Buffer {
  const single = sequence(
    raw(certId), stateOf(state), generalizedTime(times.thisUpdate), tagged(0, generalizedTime(times.nextUpdate)),
  );
  return encode(sequence(
    tagged(1, raw(issuer.subject)), generalizedTime(times.producedAt), sequence(single),
    ...(nonce === null ? [] : [tagged(1, sequence(extension(oids.ocspNonce, false, raw(nonce))))]),
  ));
}

/** A whole answer from its signed part. */
export function ocspResponse(issuer: Issuer, toBeSigned: Buffer, signature: Buffer): Buffer {
  return encode(sequence(enumerated(0), tagged(0, sequence(oid(oids.ocspBasic), octets(signed(toBeSigned, issuer.algorithm, signature))))));
}

/** An unsigned answer that only says what is wrong. */
export function ocspError(status: (typeof ocspErrors)[keyof typeof ocspErrors]): Buffer {
  return encode(sequence(enumerated(status)));
}

function stateOf(state: OcspState): Der {
  if (state.state === 'good') return taggedBytes(0, '');
  if (state.state === 'unknown') return taggedBytes(2, '');
  return tagged(1, generalizedTime(state.at), ...(state.reason === 0 ? [] : [tagged(0, enumerated(state.reason))]));
}

function readCertId(certId: Element, nonce: Buffer | null): OcspQuery | null {
  const [algorithm, nameHash, keyHash, serial, more] = certId.tag === tags.sequence ? (readElements(certId.content, 4) ?? []) : [];
  if (algorithm?.tag !== tags.sequence || nameHash?.tag !== tags.octets || keyHash?.tag !== tags.octets || serial?.tag !== tags.integer || more !== undefined) return null;
  const named = readElement(algorithm.content);
  const hash = named?.tag === tags.oid ? readOid(named.content) : null;
  if (hash === null || serial.content.length === 0 || serial.content.length > 21) return null;
  return {
    certId: certId.whole, hash: hashNames[hash] ?? 'other', issuerNameHash: nameHash.content, issuerKeyHash: keyHash.content,
    serial: serial.content.toString('hex'), nonce,
  };
}

/** The nonce extension's value; other extensions are passed over unless critical. */
function readNonce(wrapped: Element): Buffer | null | 'bad' {
  const extensions = readExtensions(wrapped.content);
  if (extensions === null) return 'bad';
  for (const [name, { critical }] of extensions) if (critical && name !== oids.ocspNonce) return 'bad';
  const value = extensions.get(oids.ocspNonce)?.value;
  if (value === undefined) return null;
  const element = readElement(value);
  if (element?.tag !== tags.octets || element.whole.length !== value.length) return 'bad';
  return element.content.length === 0 || element.content.length > nonceBytesMax ? 'bad' : value;
}

interface IssuerHashes {
  readonly name: Buffer;
  readonly key: Buffer;
}

const hashesOf = new WeakMap<Issuer, { readonly sha1: IssuerHashes; readonly sha256: IssuerHashes }>();

function issuerHashes(issuer: Issuer, hash: 'sha1' | 'sha256'): IssuerHashes {
  let known = hashesOf.get(issuer);
  if (known === undefined) {
    const make = (name: string): IssuerHashes => ({
      name: createHash(name).update(issuer.subject).digest(),
      key: createHash(name).update(publicKeyBits(issuer.publicKeyInfo)).digest(),
    });
    known = { sha1: make('sha1'), sha256: make('sha256') };
    hashesOf.set(issuer, known);
  }
  return known[hash];
}
