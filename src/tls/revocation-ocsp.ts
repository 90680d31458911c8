// OCSP as a client (RFC 6960, in the profile of RFC 5019): writes a request about one certificate and judges an answer, stapled or fetched.
// It sends nothing, keeps nothing, and answers null for whatever does not prove a state.

import { createHash, X509Certificate } from 'node:crypto';
import { readElement, readElements, readInside, readOid, readTime, tags, wrap } from '../core/der.ts';
import type { Element } from '../core/der.ts';
import { fieldsOf, isSignedBy } from './revocation-parts.ts';
import type { CertificateFields } from './revocation-parts.ts';
import { isIssuedBy } from './verify.ts';

/** A proven state, and until when (milliseconds since the epoch) it may be believed. */
export interface ProvenState {
  readonly state: 'good' | 'revoked';
  readonly untilMs: number;
}

const sha1 = '1.3.14.3.2.26';
/** AlgorithmIdentifier of SHA-1: every responder knows it, and nothing depends on its strength here. */
const sha1Algorithm = wrap(tags.sequence, wrap(tags.oid, Buffer.from('2b0e03021a', 'hex')), wrap(tags.null));
const basicResponse = '1.3.6.1.5.5.7.48.1.1';
const ocspSigning = '1.3.6.1.5.5.7.3.9';
const singlesMax = 64;
const signersMax = 4;
/** Clocks differ. */
const skewMs = 5 * 60_000;
/** What an answer without nextUpdate is worth. */
const undatedMs = 24 * 3_600_000;

/** The request about a certificate, without nonce so that responders may answer from their store; null when it cannot be followed. */
export function ocspRequest(certificate: X509Certificate, issuer: X509Certificate): Buffer | null {
  const id = certIdOf(certificate, issuer);
  if (id === null) return null;
  const certId = wrap(tags.sequence, sha1Algorithm, wrap(tags.octets, id.nameHash), wrap(tags.octets, id.keyHash), wrap(tags.integer, id.serial));
  return wrap(tags.sequence, wrap(tags.sequence, wrap(tags.sequence, wrap(tags.sequence, certId))));
}

/**
 * What an answer proves about a certificate at a time; null when nothing: malformed, unsuccessful, about another certificate, out of date,
 * of state `unknown`, or signed by somebody who may not.
 */
export function judgeOcspAnswer(answer: Buffer, certificate: X509Certificate, issuer: X509Certificate, now: number): ProvenState | null {
  const [data, algorithm, signature, certificates] = basicParts(answer) ?? [];
  const id = certIdOf(certificate, issuer);
  if (data?.tag !== tags.sequence || algorithm?.tag !== tags.sequence || signature === undefined || id === null) return null;
  const single = singlesOf(data)?.find((one) => isAbout(one, id));
  const proven = single === undefined ? null : stateOf(single, now);
  if (proven === null) return null;
  const signed = signersOf(certificates, issuer, now).some((signer) => isSignedBy(data.whole, algorithm, signature, signer));
  return signed ? proven : null;
}

interface CertId {
  readonly nameHash: Buffer;
  readonly keyHash: Buffer;
  readonly serial: Buffer;
}

function certIdOf(certificate: X509Certificate, issuer: X509Certificate): CertId | null {
  const fields: CertificateFields | null = fieldsOf(certificate);
  const above = fieldsOf(issuer);
  if (fields === null || above === null) return null;
  const hash = (bytes: Buffer): Buffer => createHash('sha1').update(bytes).digest();
  return { nameHash: hash(fields.issuer), keyHash: hash(above.keyBits), serial: fields.serial };
}

/** OCSPResponse { successful, [0] { id-pkix-ocsp-basic, OCTET STRING BasicOCSPResponse } } down to the parts of the last. */
function basicParts(answer: Buffer): readonly Element[] | null {
  const [status, wrapped] = readInside(answer, tags.sequence, 2) ?? [];
  if (status?.tag !== tags.enumerated || status.content.length !== 1 || status.content[0] !== 0 || wrapped?.tag !== tags.constructed(0)) return null;
  const [type, bytes] = readInside(wrapped.content, tags.sequence, 2) ?? [];
  if (type?.tag !== tags.oid || readOid(type.content) !== basicResponse || bytes?.tag !== tags.octets) return null;
  return readInside(bytes.content, tags.sequence, 4);
}

/** ResponseData: version [0], responderID [1] or [2], producedAt, responses, extensions [1]. */
function singlesOf(data: Element): readonly Element[] | null {
  const list = readElements(data.content, 8)?.find(({ tag }) => tag === tags.sequence);
  return list === undefined ? null : readElements(list.content, singlesMax);
}

function isAbout(single: Element, id: CertId): boolean {
  const certId = single.tag === tags.sequence ? readElement(single.content) : null;
  const [algorithm, nameHash, keyHash, serial] = certId?.tag === tags.sequence ? (readElements(certId.content, 4) ?? []) : [];
  const hash = algorithm?.tag === tags.sequence ? readElement(algorithm.content) : null;
  if (hash?.tag !== tags.oid || readOid(hash.content) !== sha1) return false;
  return nameHash?.content.equals(id.nameHash) === true && keyHash?.content.equals(id.keyHash) === true && serial?.content.equals(id.serial) === true;
}

/** CertStatus good [0], revoked [1], unknown [2]; thisUpdate; nextUpdate [0]. */
function stateOf(single: Element, now: number): ProvenState | null {
  const [, status, thisUpdate, ...rest] = readElements(single.content, 5) ?? [];
  const from = thisUpdate === undefined ? null : readTime(thisUpdate);
  if (status === undefined || from === null || from > now + skewMs) return null;
  const wrapped = rest.find(({ tag }) => tag === tags.constructed(0));
  const next = wrapped === undefined ? null : readElement(wrapped.content);
  const until = wrapped === undefined ? from + undatedMs : next === null ? null : readTime(next);
  if (until === null || until < now - skewMs) return null;
  if (status.tag === tags.primitive(0)) return { state: 'good', untilMs: until };
  return status.tag === tags.constructed(1) ? { state: 'revoked', untilMs: until } : null;
}

/** Who may sign: the issuer, or whom it certified for that (RFC 6960 section 4.2.2.2). */
function signersOf(certificates: Element | undefined, issuer: X509Certificate, now: number): readonly X509Certificate[] {
  const list = certificates?.tag === tags.constructed(0) ? (readInside(certificates.content, tags.sequence, signersMax) ?? []) : [];
  const delegated = list.flatMap(({ whole }) => {
    const certificate = parsed(whole);
    if (certificate === null || certificate.keyUsage?.includes(ocspSigning) !== true || !isIssuedBy(certificate, issuer)) return [];
    return now <= certificate.validToDate.getTime() && now >= certificate.validFromDate.getTime() - skewMs ? [certificate] : [];
  });
  return [issuer, ...delegated];
}

function parsed(der: Buffer): X509Certificate | null {
  try {
    return new X509Certificate(der);
  } catch {
    return null;
  }
}
