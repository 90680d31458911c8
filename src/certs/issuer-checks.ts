// What a certificate must be before the gateway may sign with it, and what clients will stumble over if it is not.
// It judges only; it reads no file and no key.

import { X509Certificate } from 'node:crypto';
import { readElement, readInside, tags } from './asn1.ts';
import { hasUsage, oids, readCertificate, usage } from './parts.ts';
import type { CertificateParts } from './parts.ts';

/** The judgement of an issuing certificate and the certificates above it. */
export interface IssuerJudgement {
  /** Reasons not to use it at all. */
  readonly faults: readonly string[];
  /** Why it cannot be used today (expired, or not valid yet), null when it can. */
  readonly outOfTime: string | null;
  /** Reasons why some clients will refuse what it signs. */
  readonly warnings: readonly string[];
  readonly signsCrls: boolean;
  readonly isRoot: boolean;
  /** Value of its subject key identifier; empty when it has none (a fault). */
  readonly keyId: Buffer;
}

/** Judges an issuer: `chain` is its certificate and those above it, `now` in milliseconds. Key match is the caller's check. */
export function judgeIssuer(chain: readonly Buffer[], now: number): IssuerJudgement {
  const [first, ...above] = chain;
  const parts = first === undefined ? null : readCertificate(first);
  const certificate = first === undefined ? null : openCertificate(first);
  if (parts === null || certificate === null) return { faults: ['it is not a certificate'], outOfTime: null, warnings: [], signsCrls: false, isRoot: false, keyId: Buffer.alloc(0) };
  const isRoot = parts.issuer.equals(parts.subject);
  const keyUsage = parts.extensions.get(oids.keyUsage)?.value ?? null;
  const signsCrls = keyUsage === null || hasUsage(keyUsage, usage.cRLSign);
  const keyId = keyIdOf(parts);
  return {
    faults: [...roleFaults(parts, keyUsage), ...strengthFaults(certificate, isRoot), ...chainFaults(certificate, above, isRoot)],
    outOfTime: timeFault(parts, now),
    warnings: warningsOf(parts, { signsCrls, isRoot, hasKeyUsage: keyUsage !== null, chained: above.length > 0, now }),
    signsCrls, isRoot, keyId,
  };
}

/** OpenSSL's reading of a certificate, null when it has none. */
function openCertificate(bytes: Buffer): X509Certificate | null {
  try {
    const certificate = new X509Certificate(bytes);
    return certificate.publicKey.asymmetricKeyType === undefined ? null : certificate;
  } catch {
    return null;
  }
}

/** The value of a certificate's subject key identifier, empty when it has none. */
export function keyIdOf(parts: CertificateParts): Buffer {
  const element = readElement(parts.extensions.get(oids.subjectKeyId)?.value ?? Buffer.alloc(0));
  return element?.tag === tags.octets ? element.content : Buffer.alloc(0);
}

function roleFaults(parts: CertificateParts, keyUsage: Buffer | null): string[] {
  const faults: string[] = [];
  const constraints = parts.extensions.get(oids.basicConstraints)?.value;
  const fields = constraints === undefined ? null : readInside(constraints, tags.sequence, 2);
  if (fields?.[0]?.tag !== tags.boolean || fields[0].content[0] === 0) faults.push('it is not a CA certificate (basicConstraints CA:TRUE is missing)');
  if (keyUsage !== null && !hasUsage(keyUsage, usage.keyCertSign)) faults.push('its key usage does not allow it to sign certificates (keyCertSign)');
  if (keyIdOf(parts).length === 0) faults.push('it has no subject key identifier, which strict clients demand');
  const purposes = parts.extensions.get(oids.extKeyUsage)?.value;
  if (purposes !== undefined && !purposes.includes(Buffer.from('06082b06010505070301', 'hex')) && !purposes.includes(Buffer.from('0604551d2500', 'hex'))) {
    faults.push('its extended key usage does not allow server certificates (serverAuth)');
  }
  return faults;
}

function strengthFaults(certificate: X509Certificate, isRoot: boolean): string[] {
  const faults: string[] = [];
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  if (asymmetricKeyType === 'rsa') {
    if ((asymmetricKeyDetails?.modulusLength ?? 0) < 2048) faults.push('its RSA key is shorter than 2048 bits');
  } else if (asymmetricKeyType === 'ec') {
    if (!['prime256v1', 'secp384r1', 'secp521r1'].includes(asymmetricKeyDetails?.namedCurve ?? '')) faults.push('its curve is not P-256, P-384 or P-521');
  } else faults.push(`its key type ${asymmetricKeyType ?? 'unknown'} is not RSA or EC`);
  // Nobody checks a root's own signature; an intermediate's is checked by everybody.
  if (!isRoot && /md5|sha-?1(?!\d)/i.test(certificate.signatureAlgorithm ?? '')) faults.push('it is signed with SHA-1 or MD5');
  return faults;
}

function timeFault(parts: CertificateParts, now: number): string | null {
  if (now > parts.notAfter) return `it expired on ${new Date(parts.notAfter).toISOString()}`;
  return now < parts.notBefore ? `it is valid only from ${new Date(parts.notBefore).toISOString()}` : null;
}

function chainFaults(certificate: X509Certificate, above: readonly Buffer[], isRoot: boolean): string[] {
  if (isRoot) return [];
  const faults: string[] = [];
  let below = certificate;
  for (const [depth, bytes] of above.entries()) {
    const parts = readCertificate(bytes);
    if (parts === null) return [...faults, `certificate ${depth + 2} of its file cannot be read`];
    const next = openCertificate(bytes);
    if (next === null) return [...faults, `certificate ${depth + 2} of its file cannot be read`];
    if (!below.checkIssued(next) || !below.verify(next.publicKey)) return [...faults, `certificate ${depth + 2} of its file did not sign the one before it`];
    const fields = readInside(parts.extensions.get(oids.basicConstraints)?.value ?? Buffer.alloc(0), tags.sequence, 2);
    const pathLength = fields?.[1]?.tag === tags.integer ? fields[1].content.readUIntBE(0, Math.min(fields[1].content.length, 4)) : null;
    if (pathLength !== null && pathLength < depth + 1) faults.push(`the path length of certificate ${depth + 2} of its file allows no CA below it`);
    below = next;
  }
  return faults;
}

interface WarningFacts {
  readonly signsCrls: boolean;
  readonly isRoot: boolean;
  readonly hasKeyUsage: boolean;
  readonly chained: boolean;
  readonly now: number;
}

const soonMs = 30 * 86_400_000;

function warningsOf(parts: CertificateParts, facts: WarningFacts): string[] {
  const warnings: string[] = [];
  if (!facts.signsCrls) warnings.push('its key usage lacks cRLSign: no CRL can be served, leaves carry OCSP only, and clients that check CRLs will refuse them');
  if (!facts.hasKeyUsage) warnings.push('it has no key usage extension: strict clients (Python 3.13, OpenSSL -x509_strict) refuse it');
  if (!facts.isRoot && !facts.chained) warnings.push('it is an intermediate and its file does not hold the certificates above it: clients that lack them will refuse');
  if (!facts.isRoot && !(parts.extensions.get(oids.crlDistributionPoints)?.value.includes('http://') ?? false)) {
    warnings.push('it is an intermediate without an http CRL distribution point of its own: clients that check the whole chain will refuse');
  }
  if (facts.now < parts.notAfter && parts.notAfter - facts.now < soonMs) warnings.push(`it expires on ${new Date(parts.notAfter).toISOString()}`);
  if (parts.extensions.has(oids.nameConstraints)) warnings.push('it carries name constraints: clients accept emulated certificates only for the names it permits');
  return warnings;
}
