// What a client's offer asks of the gateway: which leaf key it can verify, which TLS, groups and suites to offer upstream, which ALPN.
// Rule behind all of it: upstream never hears an offer that the client would not have made, but for operators' version floors.

import type { LeafKeyType, TlsVersion } from '../core/certificates.ts';
import type { ClientHello } from './hello-body.ts';
import { offeredStrength, strengthOf } from './suites.ts';
import type { SuiteStrength } from './suites.ts';

/** Which shared secure context fits an offer: equal keys, equal options. */
export interface OfferClass {
  readonly key: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** For Node's `ecdhCurve`, in OpenSSL's group list syntax; `*` marks those that get a key share. */
  readonly groups: string;
  /** The weakest class of suites to offer. */
  readonly weakest: SuiteStrength;
}

/** The most that a client is shown. */
export interface ShownTls {
  readonly maxVersion: TlsVersion;
  readonly strongest: SuiteStrength;
}

const versionOrder: Readonly<Record<TlsVersion, number>> = { TLSv1: 1, 'TLSv1.1': 2, 'TLSv1.2': 3, 'TLSv1.3': 4 };

const ecdsaP256Sha256 = 0x0403;
const statusRequest = 5;
const groupP256 = 23;
const groupX25519 = 29;
const groupX25519MlKem768 = 0x11ec;
/** ECDHE_ECDSA suites of TLS 1.2 and before that Node enables by default: AES-GCM, ChaCha20, AES-CBC (it has no CCM). */
const ecdsaSuites: ReadonlySet<number> = new Set([0xc02b, 0xc02c, 0xcca9, 0xc023, 0xc024, 0xc009, 0xc00a]);

/** Groups that may be offered upstream, best first, with their OpenSSL names. */
const upstreamGroups: readonly (readonly [number, string])[] = [
  [groupX25519MlKem768, 'X25519MLKEM768'], [groupX25519, 'X25519'], [groupP256, 'P-256'], [24, 'P-384'], [25, 'P-521'],
];

/**
 * The leaf key the client can surely verify in what it is shown. TLS 1.3: P-256 when it names ecdsa_secp256r1_sha256. Before: also the group
 * and a suite for it. No signature algorithms (TLS 1.0, old phones): RSA.
 */
export function leafKeyFor(hello: ClientHello, shown: ShownTls = unlimited): LeafKeyType {
  if (!hello.signatureAlgorithms.includes(ecdsaP256Sha256)) return 'rsa';
  if (hello.maxVersion === 'TLSv1.3' && shown.maxVersion === 'TLSv1.3') return 'ec';
  const answerable = hello.ciphers.some((suite) => ecdsaSuites.has(suite) && offeredStrength(suite) <= shown.strongest);
  return hello.groups.includes(groupP256) && answerable ? 'ec' : 'rsa';
}

/** Where no server has been spoken to. */
export const unlimited: ShownTls = { maxVersion: 'TLSv1.3', strongest: 3 };

/** What a client is shown of a connection to its server: no newer version, no stronger suites. */
export function shownOf(version: string | null, suite: string, minVersion: TlsVersion): ShownTls {
  const maxVersion = clientMaxVersion(version, minVersion);
  // Where operators insist on TLS 1.3 for clients, there are no weaker suites.
  return { maxVersion, strongest: maxVersion === 'TLSv1.3' ? 3 : strengthOf(suite) };
}

/** Whether the client wants an OCSP answer with the certificate (status_request, RFC 6066 section 8). */
export function asksForStaple({ extensions }: ClientHello): boolean {
  return extensions.includes(statusRequest);
}

/** The highest version that the client offers and the gateway may use, or null: NO_COMMON_TLS before any dial. */
export function commonVersion(hello: ClientHello, minVersion: TlsVersion): TlsVersion | null {
  return hello.maxVersion !== null && versionOrder[hello.maxVersion] >= versionOrder[minVersion] ? hello.maxVersion : null;
}

/**
 * The newest version the client is answered with: no newer than its server speaks, so that what it sees says what it has; but never below
 * what the gateway allows clients. `upstream` is the version agreed on with the server.
 */
export function clientMaxVersion(upstream: string | null, minVersion: TlsVersion): TlsVersion {
  return upstream !== null && isTlsVersion(upstream) ? higher(upstream, minVersion) : 'TLSv1.3';
}

function isTlsVersion(text: string): text is TlsVersion {
  return Object.hasOwn(versionOrder, text);
}

/**
 * The class of upstream context for an offer. Versions are the client's, raised to `minVersion` (upstream.minVersion): an old
 * phone reaches the server at the floor. Groups are the client's; P-256 always stays, since every TLS server has it.
 * At most 10 version ranges times 16 group lists times 3 classes of suites exist.
 */
export function offerClass(hello: ClientHello, minVersion: TlsVersion): OfferClass {
  let lowest: TlsVersion = hello.maxVersion ?? minVersion;
  for (const version of hello.versions) if (versionOrder[version] < versionOrder[lowest]) lowest = version;
  const minimum = higher(lowest, minVersion);
  const maximum = higher(hello.maxVersion ?? minVersion, minVersion);
  const names: string[] = [];
  // Post-quantum servers are few yet: a second key share spares the others a HelloRetryRequest, as browsers do.
  const bothShares = hello.groups.includes(groupX25519MlKem768);
  let shares = 0;
  for (const [group, name] of upstreamGroups) {
    if (group !== groupP256 && !hello.groups.includes(group)) continue;
    if (bothShares && shares < 2) names.push(`*${name}`);
    else names.push(name);
    shares += 1;
  }
  const groups = names.join(':');
  const weakest = weakestOf(hello);
  return { key: `${minimum}-${maximum}/${groups}/${String(weakest)}`, minVersion: minimum, maxVersion: maximum, groups, weakest };
}

function weakestOf({ ciphers }: ClientHello): SuiteStrength {
  let weakest: SuiteStrength = 3;
  for (const suite of ciphers) {
    const strength = offeredStrength(suite);
    if (strength < weakest) weakest = strength;
  }
  return weakest;
}

/**
 * ALPN names in wire format for Node's `ALPNProtocols`: as strings, names that are not ASCII would change (Node writes UTF-8). A DataView, because
 * Node 24 keeps copies for as long as a connection lives: of a Buffer in the pool, 64 KiB of which such a copy of a few bytes keeps alive.
 */
export function alpnWire(names: readonly string[]): DataView {
  const octets = names.map((name) => String.fromCharCode(name.length) + name).join('');
  const wire = new DataView(new ArrayBuffer(octets.length));
  for (let at = 0; at < octets.length; at += 1) wire.setUint8(at, octets.charCodeAt(at));
  return wire;
}

function higher(one: TlsVersion, other: TlsVersion): TlsVersion {
  return versionOrder[one] >= versionOrder[other] ? one : other;
}
