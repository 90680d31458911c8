// The cipher suites offered and accepted, in Node's terms: its own choice, but with AES-128-GCM and SHA-256 before the suites with SHA-384,
// which no processor of ours does in hardware. It never adds a suite that Node leaves out.

import { constants } from 'node:crypto';
import { DEFAULT_CIPHERS } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import type { TlsVersion } from '../core/certificates.ts';

/** TLS_AES_128_GCM_SHA256 on the wire; every TLS 1.3 client must have it (RFC 8446, 9.1), but it may be configured away. */
export const aes128GcmSha256 = 0x1301;

const first = 'TLS_AES_128_GCM_SHA256';
/** TLS 1.2 and before keep Node's order, which has AES-128 first already. */
const quickFirst = [first, ...DEFAULT_CIPHERS.split(':').filter((name) => name !== first)].join(':');

/** What TLS 1.0 and 1.1 need: they sign with SHA-1 and MD5, which OpenSSL allows at security level 0 only. Its order, its TLS 1.3 suites. */
const everything = 'DEFAULT@SECLEVEL=0';

/** For `ciphers` towards a server. `quick` false leaves the order to Node (AES-256 first), for clients that do not offer AES-128. */
export function suitesToOffer(minVersion: TlsVersion, quick: boolean): string {
  if (isOld(minVersion)) return everything;
  return quick ? quickFirst : DEFAULT_CIPHERS;
}

/** For the context that answers clients. Our order counts, but a client that puts ChaCha20 first (no AES in hardware) gets it. */
export function suitesToAccept(minVersion: TlsVersion): Pick<SecureContextOptions, 'ciphers' | 'honorCipherOrder' | 'secureOptions'> {
  if (isOld(minVersion)) return { ciphers: everything };
  return { ciphers: quickFirst, honorCipherOrder: true, secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA };
}

function isOld(minVersion: TlsVersion): boolean {
  return minVersion === 'TLSv1' || minVersion === 'TLSv1.1';
}
