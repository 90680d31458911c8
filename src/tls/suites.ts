// The cipher suites offered and accepted, in Node's terms: its own choice, but with AES-128-GCM and SHA-256 before the suites with SHA-384,
// which no processor of ours does in hardware. It never adds a suite that Node leaves out.

import { constants } from 'node:crypto';
import { DEFAULT_CIPHERS } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import type { LeafKeyType, TlsVersion } from '../core/certificates.ts';

/** TLS_AES_128_GCM_SHA256 on the wire; every TLS 1.3 client must have it (RFC 8446, 9.1), but it may be configured away. */
export const aes128GcmSha256 = 0x1301;

const first = 'TLS_AES_128_GCM_SHA256';
/** TLS 1.2 and before keep Node's order, which has AES-128 first already. */
const quickFirst = [first, ...DEFAULT_CIPHERS.split(':').filter((name) => name !== first)].join(':');

/** What TLS 1.0 and 1.1 need: they sign with SHA-1 and MD5, which OpenSSL allows at security level 0 only. Its order, its TLS 1.3 suites. */
const everything = 'DEFAULT@SECLEVEL=0';

/**
 * What a suite protects: 3 with authenticated encryption and forward secrecy (all of TLS 1.3), 2 with forward secrecy (CBC), 1 without (RSA key
 * transport). A client is never answered in a stronger class than its server agreed to, and a server is offered no weaker class than its
 * client offers: what a client sees says what it has, and what it would refuse is refused.
 */
export type SuiteStrength = 1 | 2 | 3;

/** By OpenSSL's name of the suite. */
export function strengthOf(suite: string): SuiteStrength {
  if (suite.startsWith('TLS_')) return 3;
  if (!/^(?:ECDHE|DHE)-/.test(suite)) return 1;
  return /GCM|CHACHA20|CCM/.test(suite) ? 3 : 2;
}

/** Suites by their numbers that clients may be answered with and that are below class 3; ours have no DHE. */
const forwardSecret: ReadonlySet<number> = new Set([0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028]);
const keyTransport: ReadonlySet<number> = new Set([0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d]);

/** The class of a suite by its number; 3 for those that the gateway would not answer with below TLS 1.3. */
export function offeredStrength(suite: number): SuiteStrength {
  return keyTransport.has(suite) ? 1 : forwardSecret.has(suite) ? 2 : 3;
}

/** For `ciphers` towards a server. `quick` false leaves the order to Node (AES-256 first), for clients that do not offer AES-128. */
export function suitesToOffer(minVersion: TlsVersion, quick: boolean, weakest: SuiteStrength = 1): string {
  if (isOld(minVersion)) return `${everything}${without[weakest]}`;
  return `${quick ? quickFirst : DEFAULT_CIPHERS}${without[weakest]}`;
}

/** OpenSSL's names for suites by key exchange and by the hash of their MAC, which authenticated encryption has none of. */
const without: Readonly<Record<SuiteStrength, string>> = { 1: '', 2: ':!kRSA', 3: ':!kRSA:!SHA1:!SHA256:!SHA384' };

/** For the context that answers clients. Our order counts, but a client that puts ChaCha20 first (no AES in hardware) gets it. */
export function suitesToAccept(
  minVersion: TlsVersion, strongest: SuiteStrength = 3, key: LeafKeyType = 'rsa',
): Pick<SecureContextOptions, 'ciphers' | 'honorCipherOrder' | 'secureOptions'> {
  // Key transport needs an RSA key: an EC key that an operator insists on can do no less than class 2.
  const suites = strongest === 3 ? null : strongest === 1 && key === 'rsa' ? keyTransportNames : [...forwardSecretNames, ...keyTransportNames];
  // Renegotiation is for nobody: a client would have us work for one packet of its own as often as it likes.
  if (isOld(minVersion)) return { ciphers: suites === null ? everything : `${suites.join(':')}:@SECLEVEL=0`, secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
  return { ciphers: suites?.join(':') ?? quickFirst, honorCipherOrder: true, secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA | constants.SSL_OP_NO_RENEGOTIATION };
}

const keyTransportNames = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'AES128-SHA256', 'AES256-SHA256', 'AES128-SHA', 'AES256-SHA'];
const forwardSecretNames = ['ECDSA', 'RSA'].flatMap((key) => ['AES128-SHA256', 'AES256-SHA384', 'AES128-SHA', 'AES256-SHA'].map((rest) => `ECDHE-${key}-${rest}`));

function isOld(minVersion: TlsVersion): boolean {
  return minVersion === 'TLSv1' || minVersion === 'TLSv1.1';
}
