// Judges a server's certificate: what OpenSSL found, plus the checks Node leaves out (name without common-name fallback, weak keys and
// hashes, and what one reported error hides behind another). It decides nothing: policy says what each problem leads to.

import type { X509Certificate } from 'node:crypto';
import type { ErrorCode } from '../core/errors.ts';
import { certificateProblems } from '../core/certificates.ts';
import type { CertificateProblem } from '../core/certificates.ts';
import { limitTable } from '../core/limits.ts';
import { extensionOids, extensionsOf, pathLengthOf } from './extensions.ts';

/** What the client asked for. `ip` only when the client itself named an address; both null: nothing to compare, the name is unverified. */
export interface AskedName {
  readonly host: string | null;
  readonly ip: string | null;
}

/** The roots in force, indexed once. */
export interface Anchors {
  /** Whether a root (by its bytes) is one of them. */
  has(certificate: X509Certificate): boolean;
  /** Whether one of them signed this certificate. */
  signed(certificate: X509Certificate): boolean;
  /** The one that signed this certificate, null when none did. */
  issuerOf(certificate: X509Certificate): X509Certificate | null;
  /** Those that are called what this certificate calls its issuer; whether one signed it is not looked at. */
  namedBy(certificate: X509Certificate): readonly X509Certificate[];
}

export interface JudgeOptions {
  /**
   * OpenSSL reports one error, and a later one (expired, weak) hides an earlier one (untrusted). With the roots the chain is
   * walked again in that case; without them such a chain counts as untrusted too.
   */
  readonly anchors?: Anchors;
  /** Default: the limit's default. */
  readonly upstreamCertBytesMax?: number;
  /** A valid stapled OCSP response came along; matters for certificates that demand one (RFC 7633). Undefined: not checked. */
  readonly stapled?: boolean;
  /** The gateway's own issuers. What they signed is untrusted from a server, whoever vouches for them: only the gateway has their keys. */
  readonly own?: Anchors;
  /** The chain as chase.ts completed it; OpenSSL's word, which did not have all of it, is passed over. */
  readonly completed?: readonly X509Certificate[];
}

/** The error code of each problem, for flows that end because of it. */
export const problemCodes: Readonly<Record<CertificateProblem, ErrorCode>> = {
  expired: 'UPSTREAM_CERT_EXPIRED',
  'not-yet-valid': 'UPSTREAM_CERT_NOT_YET_VALID',
  'self-signed': 'UPSTREAM_CERT_SELF_SIGNED',
  untrusted: 'UPSTREAM_CERT_UNTRUSTED',
  incomplete: 'UPSTREAM_CERT_INCOMPLETE',
  name: 'UPSTREAM_CERT_NAME',
  revoked: 'UPSTREAM_CERT_REVOKED',
  'revocation-unknown': 'UPSTREAM_CERT_REVOCATION_UNKNOWN',
  weak: 'UPSTREAM_CERT_WEAK',
  invalid: 'UPSTREAM_CERT_INVALID',
};

/** Longer chains than this are not walked (OpenSSL's own bound is 100). */
export const chainMax = 10;
const serverAuth = '1.3.6.1.5.5.7.3.1';
const anyPurpose = '2.5.29.37.0';

/** OpenSSL's words (as Node gives them in `authorizationError`) and the problem each is; any other word is `invalid`. */
const openSslProblems: ReadonlyMap<string, CertificateProblem> = new Map([
  ['CERT_HAS_EXPIRED', 'expired'],
  ['CERT_NOT_YET_VALID', 'not-yet-valid'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'untrusted'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'untrusted'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'untrusted'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'untrusted'],
  ['CERT_UNTRUSTED', 'untrusted'],
  ['CERT_REJECTED', 'untrusted'],
  ['CERT_REVOKED', 'revoked'],
  ['UNABLE_TO_GET_CRL', 'revocation-unknown'],
  ['CRL_HAS_EXPIRED', 'revocation-unknown'],
  ['CRL_NOT_YET_VALID', 'revocation-unknown'],
  ['CRL_SIGNATURE_FAILURE', 'revocation-unknown'],
  ['HOSTNAME_MISMATCH', 'name'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'name'],
]);
/** Problems that say where the chain ends: with one of them reported, trust needs no second look. */
const trustProblems: ReadonlySet<CertificateProblem> = new Set(['self-signed', 'untrusted', 'incomplete', 'invalid']);

/**
 * Everything wrong with a server's certificate, in the order of `certificateProblems`; empty when nothing is. `authorizationError` is that of
 * the TLS socket (a handshake made with `rejectUnauthorized: false`). `leaf` should be `getPeerX509Certificate()`, so that its chain can be walked.
 */
export function judge(
  chain: { readonly leaf: X509Certificate }, authorizationError: string | null, name: AskedName, now: number, options: JudgeOptions = {},
): CertificateProblem[] {
  const { leaf } = chain;
  if (leaf.raw.length > (options.upstreamCertBytesMax ?? limitTable.upstreamCertBytesMax.default)) return ['invalid'];
  const found = new Set<CertificateProblem>();
  if (now > leaf.validToDate.getTime()) found.add('expired');
  if (now < leaf.validFromDate.getTime()) found.add('not-yet-valid');
  const sent = options.completed ?? sentChain(leaf);
  if (options.own !== undefined && hasOwnLink(sent, options.own)) found.add('untrusted');
  if (hasWeakLink(sent, options.anchors ?? null)) found.add('weak');
  if (weakOf(leaf) === 'unreadable') found.add('invalid');
  if (!nameMatches(leaf, name)) found.add('name');
  const reported = authorizationError === null || options.completed !== undefined ? null : reportedProblem(authorizationError, leaf, found.has('weak'));
  if (reported !== null) found.add(reported);
  if (options.completed !== undefined) {
    const late = dateProblem(options.completed, options.anchors ?? null, now);
    if (late !== null) found.add(late);
  }
  // Whatever was reported, a problem of trust or structure may hide behind it.
  if (options.completed !== undefined || (reported !== null && reported !== 'name' && !trustProblems.has(reported))) {
    const hidden = hiddenProblem(sent, options.anchors ?? null);
    if (hidden !== null) found.add(hidden);
  }
  if (!leafIsSound(leaf, options)) found.add('invalid');
  return certificateProblems.filter((problem) => found.has(problem));
}

/** Makes the index of roots; done once for a set of roots. */
export function indexAnchors(roots: readonly X509Certificate[]): Anchors {
  const bySubject = new Map<string, X509Certificate[]>();
  const prints = new Set<string>();
  for (const root of roots) {
    prints.add(root.fingerprint256);
    const list = bySubject.get(root.subject);
    if (list === undefined) bySubject.set(root.subject, [root]);
    else list.push(root);
  }
  const namedBy = (certificate: X509Certificate): readonly X509Certificate[] => bySubject.get(certificate.issuer) ?? [];
  // A path is walked more than once, and each proof of a signature costs a tenth of a millisecond.
  const proven = new WeakMap<X509Certificate, X509Certificate | null>();
  const issuerOf = (certificate: X509Certificate): X509Certificate | null => {
    const known = proven.get(certificate);
    if (known !== undefined) return known;
    const issuer = namedBy(certificate).find((root) => isIssuedBy(certificate, root)) ?? null;
    proven.set(certificate, issuer);
    return issuer;
  };
  return { has: (certificate) => prints.has(certificate.fingerprint256), signed: (certificate) => issuerOf(certificate) !== null, issuerOf, namedBy };
}

/**
 * Whether a certificate carries the name asked for: dNSName or iPAddress entries only (RFC 9525), no fallback to the common name, no partial
 * wildcards. True when nothing was asked for.
 */
export function nameMatches(certificate: X509Certificate, name: AskedName): boolean {
  if (name.host !== null) {
    const host = name.host.endsWith('.') ? name.host.slice(0, -1) : name.host;
    if (host === '' || host.includes('\0')) return false;
    return certificate.checkHost(host, { subject: 'never', partialWildcards: false }) !== undefined;
  }
  return name.ip === null || certificate.checkIP(name.ip) !== undefined;
}

/** Whether a certificate's key or signature hash is below today's floor: RSA and DSA below 2048 bits, curves below 256, SHA-1, MD5. */
export function weakOf(certificate: X509Certificate): 'strong' | 'weak' | 'unreadable' {
  if (/md[245]|sha-?1(?!\d)/i.test(certificate.signatureAlgorithm ?? '')) return 'weak';
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
    if (asymmetricKeyType === 'rsa' || asymmetricKeyType === 'rsa-pss') {
      const exponent = asymmetricKeyDetails?.publicExponent ?? 0n;
      return (asymmetricKeyDetails?.modulusLength ?? 0) < 2048 || exponent < 3n || exponent % 2n === 0n ? 'weak' : 'strong';
    }
    if (asymmetricKeyType === 'ec') return Number(/\d{3}/.exec(asymmetricKeyDetails?.namedCurve ?? '')?.[0] ?? 0) < 256 ? 'weak' : 'strong';
    return asymmetricKeyType === 'ed25519' || asymmetricKeyType === 'ed448' ? 'strong' : 'weak';
  } catch {
    return 'unreadable';
  }
}

/** A weak leaf or intermediate; what is sent above a certificate that a root signed takes no part (old cross-certificates). */
function hasWeakLink(sent: readonly X509Certificate[], anchors: Anchors | null): boolean {
  const at = sent.findIndex((certificate, depth) => (depth === 0 || !isSelfSigned(certificate)) && weakOf(certificate) === 'weak');
  return at === 0 || (at > 0 && !sent.slice(0, at).some((certificate) => anchors?.signed(certificate) === true));
}

/** The problem behind OpenSSL's word. `UNSPECIFIED` stands for weak keys and hashes as well as for broken constraints. */
function reportedProblem(word: string, leaf: X509Certificate, weak: boolean): CertificateProblem {
  // A leaf sent alone whose issuer is unknown: when it says where its issuer can be fetched, the server only forgot to send it.
  if (word === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' && /CA Issuers - URI:/.test(leaf.infoAccess ?? '')) return 'incomplete';
  if (word === 'UNSPECIFIED' && weak) return 'weak';
  return openSslProblems.get(word) ?? 'invalid';
}

/** What another error hid: walks what was sent up to a root. */
function hiddenProblem(sent: readonly X509Certificate[], anchors: Anchors | null): CertificateProblem | null {
  const path = walk(sent, anchors);
  if (typeof path === 'string') return path;
  for (const [depth, certificate] of path.entries()) {
    const extensions = extensionsOf(certificate.raw);
    if (extensions === null) return 'invalid';
    const purposes = certificate.keyUsage;
    if (purposes !== undefined && !purposes.includes(serverAuth) && !(depth > 0 && purposes.includes(anyPurpose))) return 'invalid';
    for (const extension of extensions) {
      // Whether a name constraint holds is OpenSSL's business, and its word was lost: be safe.
      if (extension.oid === extensionOids.nameConstraints) return 'invalid';
      if (extension.critical && !known.has(extension.oid)) return 'invalid';
      const pathLength = extension.oid === extensionOids.basicConstraints ? pathLengthOf(extension.value) : null;
      if (depth > 0 && pathLength !== null && depth - 1 > pathLength) return 'invalid';
    }
  }
  return null;
}

const known: ReadonlySet<string> = new Set(Object.values(extensionOids));

/** Dates of everything above the leaf, the root included: OpenSSL looks at them, but it did not see this chain. */
function dateProblem(chain: readonly X509Certificate[], anchors: Anchors | null, now: number): CertificateProblem | null {
  const top = chain.at(-1);
  const root = top === undefined ? null : (anchors?.issuerOf(top) ?? null);
  for (const { validFromDate, validToDate } of [...chain.slice(1), ...(root === null ? [] : [root])]) {
    if (now > validToDate.getTime()) return 'expired';
    if (now < validFromDate.getTime()) return 'not-yet-valid';
  }
  return null;
}

/** Something below a root was signed by one of our issuers. Names are compared first: a signature is checked only where they agree. */
function hasOwnLink(sent: readonly X509Certificate[], own: Anchors): boolean {
  return sent.some((certificate) => own.signed(certificate));
}

/** The way from the leaf up to (without) a root in force, with that root (null: the leaf is itself trusted); null when there is none. */
export function pathOf(sent: readonly X509Certificate[], anchors: Anchors): { readonly path: readonly X509Certificate[]; readonly root: X509Certificate | null } | null {
  const path = walk(sent, anchors);
  const top = typeof path === 'string' ? undefined : path.at(-1);
  return typeof path === 'string' || top === undefined ? null : { path, root: anchors.issuerOf(top) };
}

/** The certificates from the leaf up to (without) a root, or why there is no way up. */
function walk(sent: readonly X509Certificate[], anchors: Anchors | null): readonly X509Certificate[] | CertificateProblem {
  if (anchors === null) return 'untrusted';
  for (const [depth, certificate] of sent.entries()) {
    if (depth > 0 && !certificate.ca) return 'invalid';
    if (anchors.has(certificate) && isSelfSigned(certificate)) return sent.slice(0, Math.max(depth, 1));
    if (anchors.signed(certificate)) return sent.slice(0, depth + 1);
    const above = sent[depth + 1];
    if (above === undefined || above.fingerprint256 === certificate.fingerprint256) return depth === 0 && isSelfSigned(certificate) ? 'self-signed' : 'untrusted';
    if (!isIssuedBy(certificate, above)) return 'invalid';
  }
  return 'untrusted';
}

/** The leaf and what was sent above it, as far as it leads up. */
export function sentChain(leaf: X509Certificate): readonly X509Certificate[] {
  const chain = [leaf];
  for (let above = leaf.issuerCertificate; above !== undefined && chain.length < chainMax; above = above.issuerCertificate) chain.push(above);
  return chain;
}

/** Not `checkIssued`: it says no where the key usage lacks keyCertSign, as that of most self-signed servers does. */
export function isSelfSigned(certificate: X509Certificate): boolean {
  try {
    return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);
  } catch {
    return false;
  }
}

/** Whether `issuer` may sign certificates, is named as this one's issuer, and did sign it. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** Rules OpenSSL does not hold a leaf to: version 3, no CA (unless it is its own root), and the staple it demands. */
function leafIsSound(leaf: X509Certificate, options: JudgeOptions): boolean {
  const extensions = extensionsOf(leaf.raw);
  if (extensions === null) return false;
  if (isSelfSigned(leaf)) return true;
  if (extensions.length === 0 || leaf.ca) return false;
  return options.stapled !== false || !demandsStaple(leaf);
}

const statusRequestFeature = Buffer.from([0x02, 0x01, 0x05]);
const tlsFeatureOid = Buffer.from(extensionOids.tlsFeature, 'hex');

/** Whether a certificate says that it is shown with a stapled OCSP answer alone (RFC 7633, "must staple"). */
export function demandsStaple(leaf: X509Certificate): boolean {
  const { raw } = leaf;
  // Asked for every handshake, and hardly ever so.
  if (!raw.includes(tlsFeatureOid)) return false;
  return (extensionsOf(raw) ?? []).some(({ oid, value }) => oid === extensionOids.tlsFeature && value.includes(statusRequestFeature));
}
