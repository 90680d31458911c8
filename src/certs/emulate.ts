// Assembles the emulated leaf: what it takes over from the server's certificate (subject, names, a visible defect), and what it states
// itself. It signs through the issuer and keeps nothing; hostile certificates end in FlowError MINT_FAILED.

import { X509Certificate, createHash } from 'node:crypto';
import { FlowError } from '../core/errors.ts';
import type { LeafKeyType, LeafRequest } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { encode, integer, octets, oid, raw, sequence, tagged, time } from './asn1.ts';
import type { Der } from './asn1.ts';
import type { Issuer } from './authority.ts';
import { hostNamesIn, leafNames } from './names.ts';
import { authorityKeyId, extension, keyUsage, oids, publicKeyBits, readCertificate, signed, uri, usage } from './parts.ts';
import type { CertificateParts } from './parts.ts';

/** Where clients of one issuer find its revocation data; empty lists leave the extension out. */
export interface IssuerAddresses {
  readonly crl: readonly string[];
  readonly ocsp: readonly string[];
  readonly caIssuers: readonly string[];
}

/** The public half of a leaf key and what is made of it once. */
export interface LeafPublicKey {
  readonly type: LeafKeyType;
  /** SubjectPublicKeyInfo. */
  readonly info: Buffer;
  readonly keyId: Buffer;
}

export interface EmulateContext {
  readonly issuer: Issuer;
  readonly addresses: IssuerAddresses;
  readonly key: LeafPublicKey;
  readonly limits: Limits;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A leaf to be signed. */
export interface LeafDraft {
  readonly serial: Buffer;
  readonly toBeSigned: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  /** The leaf names what was asked for, not all that the server's certificate names: it serves this request only. */
  readonly forHostOnly: boolean;
  /** Its dNSName entries, lower case. */
  readonly hostNames: readonly string[];
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Clocks of clients are behind; "valid one hour from now" is refused by all of them. */
const backDatedMs = 48 * hourMs;
/** A rule accepted an expired certificate: the leaf works, but not for long. */
const acceptedExpiredMs = dayMs;

/** The leaf for a request, assembled but not signed. Throws FlowError MINT_FAILED, or CA_EXPIRED when the issuer is. */
export function draftLeaf(request: LeafRequest, context: EmulateContext): LeafDraft {
  const { issuer, now } = context;
  if (now > issuer.notAfter) throw new FlowError('CA_EXPIRED', issuer.name);
  const upstream = readUpstream(request, context.limits);
  const { subject, alternatives, forHostOnly } = leafNames(request, upstream, context.limits);
  const { notBefore, notAfter } = validity(request, upstream, context);
  const serial = issuer.newSerial();
  const toBeSigned = encode(sequence(
    tagged(0, integer(2)), integer(serial), raw(issuer.algorithm), raw(issuer.subject), sequence(time(notBefore), time(notAfter)),
    raw(subject ?? emptyName), raw(context.key.info), tagged(3, sequence(...extensions(context, alternatives, subject === null))),
  ));
  return { serial, toBeSigned, notBefore, notAfter, forHostOnly, hostNames: hostNamesIn(alternatives) };
}

/** The leaf itself, signed in the thread pool where that is worth it; `alone`: no other is being made, so that a quick signature holds nobody up. */
export async function signLeaf(draft: LeafDraft, issuer: Issuer, alone = false): Promise<Buffer> {
  const signature = issuer.keyType === 'ec' || (alone && issuer.signsQuickly) ? issuer.sign(draft.toBeSigned) : await issuer.signLater(draft.toBeSigned);
  return signed(draft.toBeSigned, issuer.algorithm, signature);
}

/** What a leaf key contributes to certificates. */
export function leafPublicKey(type: LeafKeyType, info: Buffer): LeafPublicKey {
  return { type, info, keyId: createHash('sha1').update(publicKeyBits(info)).digest() };
}

const emptyName = encode(sequence());

function readUpstream(request: LeafRequest, limits: Limits): CertificateParts | null {
  if (request.upstreamDer === null) return null;
  if (request.upstreamDer.length > limits.upstreamCertBytesMax) throw new FlowError('MINT_FAILED', 'the server\'s certificate is longer than upstreamCertBytesMax');
  const parts = readCertificate(request.upstreamDer);
  if (parts === null || !isReadable(request.upstreamDer)) throw new FlowError('MINT_FAILED', 'the server\'s certificate cannot be read');
  return parts;
}

/** Whether OpenSSL reads it: names that it cannot read would make a leaf that no TLS server can load. */
function isReadable(certificate: Buffer): boolean {
  try {
    return new X509Certificate(certificate).raw.length > 0;
  } catch {
    return false;
  }
}

/** The defect of dates is shown under the untrusted issuer alone; elsewhere the leaf is valid, never longer than what it stands for. */
function validity(request: LeafRequest, upstream: CertificateParts | null, { issuer, limits, now }: EmulateContext): { notBefore: number; notAfter: number } {
  if (upstream !== null && request.trust === 'untrusted' && (now > upstream.notAfter || now < upstream.notBefore)) {
    return { notBefore: upstream.notBefore, notAfter: upstream.notAfter };
  }
  const backDated = Math.floor((now - backDatedMs) / hourMs) * hourMs;
  const notBefore = issuer.notBefore > backDated && issuer.notBefore <= now ? issuer.notBefore : backDated;
  const longest = Math.min(now + limits.leafDaysMax * dayMs, issuer.notAfter);
  if (upstream === null) return { notBefore, notAfter: longest };
  return { notBefore, notAfter: Math.min(longest, upstream.notAfter > now ? upstream.notAfter : now + acceptedExpiredMs) };
}

function extensions(context: EmulateContext, alternatives: Buffer | null, subjectIsEmpty: boolean): Der[] {
  const { issuer, addresses, key } = context;
  const list = [
    extension(oids.basicConstraints, true, sequence()),
    // RSA: key transport for TLS 1.2 phones without ECDHE.
    extension(oids.keyUsage, true, key.type === 'rsa' ? keyUsage(usage.digitalSignature, usage.keyEncipherment) : keyUsage(usage.digitalSignature)),
    extension(oids.extKeyUsage, false, sequence(oid(oids.serverAuth))),
    extension(oids.subjectKeyId, false, octets(key.keyId)),
    authorityKeyId(issuer.keyId),
  ];
  if (alternatives !== null) list.push(extension(oids.subjectAltName, subjectIsEmpty, raw(alternatives)));
  // One point with all addresses: they are ways to the same list (RFC 5280 section 4.2.1.13). Of several points Java gives up at the first dead one.
  if (addresses.crl.length > 0) list.push(extension(oids.crlDistributionPoints, false, sequence(sequence(tagged(0, tagged(0, ...addresses.crl.map(uri)))))));
  const access = [
    ...addresses.ocsp.map((address) => sequence(oid(oids.ocsp), uri(address))),
    ...addresses.caIssuers.map((address) => sequence(oid(oids.caIssuers), uri(address))),
  ];
  if (access.length > 0) list.push(extension(oids.authorityInfoAccess, false, sequence(...access)));
  return list;
}
