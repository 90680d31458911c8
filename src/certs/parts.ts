// Takes certificates apart and puts the pieces of new ones together: the fields of RFC 5280 that the gateway copies, checks or writes.
// Reading hands out slices of the given bytes and answers null for what cannot be followed; it never throws.

import { boolean, encode, octets, oid, raw, readElement, readElements, readInside, readOid, readTime, sequence, tags } from './asn1.ts';
import * as der from './asn1.ts';
import type { Der, Element } from './asn1.ts';

/** OIDs of certificates, CRLs and OCSP, dotted. */
export const oids = {
  commonName: '2.5.4.3',
  organisation: '2.5.4.10',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyId: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  anyPurpose: '2.5.29.37.0',
  ocsp: '1.3.6.1.5.5.7.48.1',
  caIssuers: '1.3.6.1.5.5.7.48.2',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  ocspNonce: '1.3.6.1.5.5.7.48.1.2',
  /** Microsoft: when the next CRL will be published (Windows fetches it ahead of expiry). */
  nextCrlPublish: '1.3.6.1.4.1.311.21.4',
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  rsaSha256: '1.2.840.113549.1.1.11',
  ecdsaSha256: '1.2.840.10045.4.3.2',
} as const;

export interface ExtensionValue {
  readonly critical: boolean;
  readonly value: Buffer;
}

/** The fields of a certificate, each a view of its bytes. */
export interface CertificateParts {
  readonly serial: Buffer;
  /** Name, the whole element. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, the whole element. */
  readonly publicKeyInfo: Buffer;
  /** By dotted OID. */
  readonly extensions: ReadonlyMap<string, ExtensionValue>;
}

/** Bounds of what is followed: a certificate's fields, extensions, relative names and attributes; real ones have a tenth. */
const fieldsMax = 16;
const extensionsMax = 64;
const attributesMax = 64;

/** Takes a certificate apart; null when it is not one that RFC 5280 could have made. */
export function readCertificate(bytes: Buffer): CertificateParts | null {
  const outer = readInside(bytes, tags.sequence, 3);
  const body = outer?.length === 3 && outer[0] !== undefined ? readInside(outer[0].whole, tags.sequence, fieldsMax) : null;
  if (body === null) return null;
  const fields = body[0]?.tag === tags.constructed(0) ? body.slice(1) : body;
  const [serial, , issuer, validity, subject, publicKeyInfo, ...rest] = fields;
  if (serial?.tag !== tags.integer || issuer?.tag !== tags.sequence || validity?.tag !== tags.sequence || subject?.tag !== tags.sequence || publicKeyInfo?.tag !== tags.sequence) return null;
  const [from, to] = readElements(validity.content, 2) ?? [];
  const notBefore = from === undefined ? null : readTime(from);
  const notAfter = to === undefined ? null : readTime(to);
  const wrapped = rest.find((field) => field.tag === tags.constructed(3));
  const extensions = wrapped === undefined ? new Map<string, ExtensionValue>() : readExtensions(wrapped.content);
  if (notBefore === null || notAfter === null || extensions === null) return null;
  return { serial: serial.content, issuer: issuer.whole, subject: subject.whole, notBefore, notAfter, publicKeyInfo: publicKeyInfo.whole, extensions };
}

/** Extensions from the SEQUENCE that holds them; null when malformed or one occurs twice. */
export function readExtensions(list: Buffer): ReadonlyMap<string, ExtensionValue> | null {
  const entries = readInside(list, tags.sequence, extensionsMax);
  if (entries === null) return null;
  const found = new Map<string, ExtensionValue>();
  for (const entry of entries) {
    const fields = entry.tag === tags.sequence ? readElements(entry.content, 3) : null;
    const name = fields?.[0]?.tag === tags.oid ? readOid(fields[0].content) : null;
    const value = fields?.at(-1);
    if (fields === null || name === null || value?.tag !== tags.octets || found.has(name)) return null;
    const flag = fields.length === 3 ? fields[1] : undefined;
    if (flag !== undefined && flag.tag !== tags.boolean) return null;
    found.set(name, { critical: flag !== undefined && flag.content[0] !== 0, value: value.content });
  }
  return found;
}

/** The attributes of a Name in order (OID and value element), null when malformed. */
export function readName(name: Buffer): readonly { readonly type: string; readonly value: Element }[] | null {
  const relative = readInside(name, tags.sequence, attributesMax);
  if (relative === null) return null;
  const found: { type: string; value: Element }[] = [];
  for (const one of relative) {
    const attributes = one.tag === tags.set ? readElements(one.content, attributesMax) : null;
    if (attributes === null || attributes.length === 0) return null;
    for (const attribute of attributes) {
      const [type, value, more] = attribute.tag === tags.sequence ? (readElements(attribute.content, 2) ?? []) : [];
      const dotted = type?.tag === tags.oid ? readOid(type.content) : null;
      if (dotted === null || value === undefined || more !== undefined || found.length === attributesMax) return null;
      found.push({ type: dotted, value });
    }
  }
  return found;
}

/** The bits of the BIT STRING in a SubjectPublicKeyInfo: what key identifiers are made from (RFC 5280 section 4.2.1.2). */
export function publicKeyBits(publicKeyInfo: Buffer): Buffer {
  const fields = readInside(publicKeyInfo, tags.sequence, 2) ?? [];
  return fields[1]?.content.subarray(1) ?? Buffer.alloc(0);
}

// ---- Writing

/** One extension. */
export function extension(name: string, critical: boolean, value: Der): Der {
  return critical ? sequence(oid(name), boolean(true), octets(value)) : sequence(oid(name), octets(value));
}

/** authorityKeyIdentifier with the issuer's key identifier as its own certificate states it. */
export function authorityKeyId(keyId: Buffer): Der {
  return extension(oids.authorityKeyId, false, sequence(der.taggedBytes(0, keyId)));
}

/** A URI as GeneralName. */
export const uri = (address: string): Der => der.taggedBytes(6, address);

/** A Name of an optional organisation and a common name. */
export function name(commonName: string, organisation: string | null = null): Buffer {
  const attribute = (type: string, text: string): Der => der.set(sequence(oid(type), der.utf8(text)));
  return encode(sequence(...(organisation === null ? [] : [attribute(oids.organisation, organisation)]), attribute(oids.commonName, commonName)));
}

/** What every signed structure of X.509 looks like: the signed part, the algorithm, the signature. */
export function signed(toBeSigned: Buffer, algorithm: Buffer, signature: Buffer): Buffer {
  return encode(sequence(raw(toBeSigned), raw(algorithm), der.bits(signature)));
}

/** keyUsage bits by their numbers (RFC 5280 section 4.2.1.3), as DER wants them: no trailing zero bits. */
export function keyUsage(...numbers: readonly number[]): Der {
  const octet = numbers.reduce((bits, number) => bits | (0x80 >> number), 0);
  return der.bits(Buffer.from([octet]), 7 - Math.max(...numbers));
}

/** Bit numbers of keyUsage. */
export const usage = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;

/** Whether a keyUsage value has a bit set. */
export function hasUsage(value: Buffer, number: number): boolean {
  const found = readElement(value);
  return found?.tag === tags.bits && (((found.content[1 + (number >> 3)] ?? 0) >> (7 - (number & 7))) & 1) === 1;
}

/** Text in PEM armour. */
export function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The certificates in a PEM text, DER, in order. */
export function certificatesInPem(text: string): Buffer[] {
  return [...text.matchAll(/-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END/g)].map((match) => Buffer.from(match[1] ?? '', 'base64'));
}
