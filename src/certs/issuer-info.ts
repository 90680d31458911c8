// What operators are told of the issuers: what clients must trust, where revocation data is, and what is wrong. Plain data.

import type { Signer } from './cache.ts';
import type { CrlStore } from './crl-store.ts';

/** One issuer as shown by `/api/issuer` and `sallyport ca show`. */
export interface IssuerFacts {
  readonly name: string;
  readonly subject: string;
  /** SHA-256 of the certificate, as browsers show it. */
  readonly fingerprint: string;
  readonly keyId: string;
  readonly key: string;
  readonly isRoot: boolean;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Null: no CRL (switched off, or the issuer may not sign one). */
  readonly crl: { readonly urls: readonly string[]; readonly number: number | null; readonly nextUpdate: string | null } | null;
  readonly ocsp: { readonly urls: readonly string[] } | null;
  /** What some clients will stumble over. */
  readonly warnings: readonly string[];
  /** What stops it from working now. */
  readonly faults: readonly string[];
}

export interface IssuerInfo extends IssuerFacts {
  /** Issuers that rules may choose by name. */
  readonly others: readonly IssuerFacts[];
  /** The issuer that no client must ever trust: it signs what mirrors a bad server. */
  readonly untrusted: { readonly subject: string; readonly fingerprint: string };
}

/** What is to be said of one signer now. */
export function issuerFacts(signer: Signer, crls: CrlStore, now: number): IssuerFacts {
  const { issuer, addresses } = signer;
  const { certificate } = issuer;
  const current = crls.current(issuer);
  const details = certificate.publicKey.asymmetricKeyDetails;
  const faults: string[] = [];
  if (now > issuer.notAfter) faults.push(`issuer ${issuer.name}: ${expiry(issuer.notAfter)}: make or import a new one (\`sallyport ca new\`) and distribute it`);
  if (addresses.crl.length > 0 && current === null) faults.push(`issuer ${issuer.name}: there is no CRL to serve`);
  if (current !== null && now > current.nextUpdate) faults.push(`issuer ${issuer.name}: its CRL ran out on ${iso(current.nextUpdate)}`);
  const warnings = crls.isDue(issuer) ? [...issuer.warnings, unsigned] : issuer.warnings;
  return {
    name: issuer.name, subject: oneLine(certificate.subject), fingerprint: certificate.fingerprint256, keyId: issuer.keyIdHex,
    key: issuer.keyType === 'rsa' ? `RSA ${details?.modulusLength ?? '?'}` : `EC ${details?.namedCurve ?? '?'}`,
    isRoot: issuer.isRoot, notBefore: iso(issuer.notBefore), notAfter: iso(issuer.notAfter),
    crl: addresses.crl.length === 0 ? null : { urls: addresses.crl, number: current?.number ?? null, nextUpdate: current === null ? null : iso(current.nextUpdate) },
    ocsp: addresses.ocsp.length === 0 ? null : { urls: addresses.ocsp },
    warnings: warnings.map((warning) => `issuer ${issuer.name}: ${warning}`), faults,
  };
}

const unsigned = 'its new CRL could not be signed (see the log) and is tried again: what was revoked last is missing in the one that is served';

/** A distinguished name on one line. */
export const oneLine = (name: string): string => name.split('\n').join(', ');

const iso = (at: number): string => new Date(at).toISOString();
const expiry = (at: number): string => `it expired on ${iso(at)}`;
