// The fields of a certificate that finding its issuer and its revocation state needs and Node does not offer, and the check of signatures on
// what CAs sign besides certificates. It answers null or false for what it cannot follow and never throws on input.

import { verify } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { readElement, readElements, readInside, readOid, tags } from '../core/der.ts';
import type { Element } from '../core/der.ts';
import { extensionOids, extensionsOf } from './extensions.ts';
import { isFetchable } from './fetch.ts';

/** Buffers are views of the certificate. */
export interface CertificateFields {
  /** Content octets of the INTEGER. */
  readonly serial: Buffer;
  /** Name, the whole element. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** The bits of the public key, without the octet that counts unused ones. */
  readonly keyBits: Buffer;
  /** Addresses over http, in order. */
  readonly ocspUrls: readonly string[];
  readonly crlUrls: readonly string[];
  readonly issuerUrls: readonly string[];
  /** False when a keyUsage forbids signing CRLs. */
  readonly maySignCrls: boolean;
}

const fieldsMax = 16;
const pointersMax = 16;
/** As DER content octets in hex; never critical, so not among the extensions that verification knows. */
const authorityInfoAccess = '2b06010505070101';
const ocsp = '1.3.6.1.5.5.7.48.1';
const caIssuers = '1.3.6.1.5.5.7.48.2';
const crlSignBit = 6;

/** The fields, or null when the certificate cannot be followed. */
export function fieldsOf(certificate: X509Certificate): CertificateFields | null {
  const outer = readInside(certificate.raw, tags.sequence, 3);
  const body = outer?.[0] === undefined ? null : readInside(outer[0].whole, tags.sequence, fieldsMax);
  const extensions = extensionsOf(certificate.raw);
  if (body === null || extensions === null) return null;
  const [serial, , issuer, , subject, publicKey] = body[0]?.tag === tags.constructed(0) ? body.slice(1) : body;
  if (serial?.tag !== tags.integer || issuer?.tag !== tags.sequence || subject?.tag !== tags.sequence || publicKey?.tag !== tags.sequence) return null;
  const keyBits = readElements(publicKey.content, 2)?.[1];
  if (keyBits?.tag !== tags.bits) return null;
  const valueOf = (oid: string): Buffer | null => extensions.find((extension) => extension.oid === oid)?.value ?? null;
  const access = accessUrls(valueOf(authorityInfoAccess));
  return {
    serial: serial.content, issuer: issuer.whole, subject: subject.whole, keyBits: keyBits.content.subarray(1),
    ocspUrls: access(ocsp), issuerUrls: access(caIssuers), crlUrls: crlUrls(valueOf(extensionOids.crlDistributionPoints)),
    maySignCrls: hasBit(valueOf(extensionOids.keyUsage), crlSignBit),
  };
}

/** What of AlgorithmIdentifiers is believed on CRLs and OCSP answers: SHA-2 alone. */
const hashes: ReadonlyMap<string, string | null> = new Map([
  ['1.2.840.113549.1.1.11', 'sha256'], ['1.2.840.113549.1.1.12', 'sha384'], ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.2.840.10045.4.3.2', 'sha256'], ['1.2.840.10045.4.3.3', 'sha384'], ['1.2.840.10045.4.3.4', 'sha512'],
  ['1.3.101.112', null], ['1.3.101.113', null],
]);

/** Whether a certificate's key made the signature on some bytes. `algorithm` is the AlgorithmIdentifier, `signature` the BIT STRING. */
export function isSignedBy(bytes: Buffer, algorithm: Element, signature: Element, signer: X509Certificate): boolean {
  const named = readElement(algorithm.content);
  const hash = named?.tag === tags.oid ? hashes.get(readOid(named.content) ?? '') : undefined;
  if (hash === undefined || signature.tag !== tags.bits || signature.content[0] !== 0) return false;
  try {
    // Asking for a key of a kind that is not known throws too.
    return verify(hash, bytes, signer.publicKey, signature.content.subarray(1));
  } catch {
    return false;
  }
}

const uri = tags.primitive(6);

/** http addresses of an authorityInfoAccess value by access method. */
function accessUrls(value: Buffer | null): (method: string) => readonly string[] {
  const entries = value === null ? [] : (readInside(value, tags.sequence, pointersMax) ?? []);
  const found = entries.flatMap((entry) => {
    const [method, location] = entry.tag === tags.sequence ? (readElements(entry.content, 2) ?? []) : [];
    const url = location?.tag === uri ? location.content.toString('latin1') : '';
    return method?.tag === tags.oid && isFetchable(url) ? [{ method: readOid(method.content), url }] : [];
  });
  return (method) => found.filter((one) => one.method === method).map(({ url }) => url);
}

/** http addresses of distribution points that serve the whole list: without reasons, and of the issuer itself. */
function crlUrls(value: Buffer | null): readonly string[] {
  const points = value === null ? [] : (readInside(value, tags.sequence, pointersMax) ?? []);
  return points.flatMap((point) => {
    const [name, more] = point.tag === tags.sequence ? (readElements(point.content, 3) ?? []) : [];
    return more === undefined && name?.tag === tags.constructed(0) ? namesOf(name) : [];
  });
}

/** The http addresses of a DistributionPointName [0]. */
export function namesOf(point: Element): readonly string[] {
  const full = readElement(point.content);
  const names = full?.tag === tags.constructed(0) ? (readElements(full.content, pointersMax) ?? []) : [];
  return names.filter(({ tag }) => tag === uri).map(({ content }) => content.toString('latin1')).filter(isFetchable);
}

/** True without a keyUsage: then all uses are allowed. */
function hasBit(keyUsage: Buffer | null, bit: number): boolean {
  if (keyUsage === null) return true;
  const found = readElement(keyUsage);
  return found?.tag === tags.bits && (((found.content[1] ?? 0) >> (7 - bit)) & 1) === 1;
}
