// What the gateway believes about servers and shows them: the system's roots (or a file's) and the operator's own, without the gateway's issuers,
// and client certificates. Reading it changes nothing: a reload may yet be refused.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { ClientCertificate, UpstreamTrust } from './core/certificates.ts';
import { limitsWith } from './core/limits.ts';
import type { Limits } from './core/limits.ts';
import type { Config } from './config/schema.ts';
import { fetchWay } from './handoff/fetch-way.ts';
import { exposedKeyOf } from './tls/exposed-keys.ts';
import { useRoots } from './tls/roots.ts';

/** What of the config is read; revocation checks are off where nothing is said. */
export type TrustOptions = Omit<Config['upstream'], 'revocation'> & Partial<Pick<Config['upstream'], 'revocation'>>;

/** Reads the trust that a process starts with, and has its roots in use from the first secure context on. */
export function installTrust(...options: Parameters<typeof readTrust>): UpstreamTrust {
  const trust = readTrust(...options);
  useRoots(trust.roots);
  return trust;
}

/** Reads roots and client certificates. Throws with the file's name when one cannot be read. */
export function readTrust(upstream: TrustOptions, extraCa: readonly string[], ownIssuers: readonly string[], limits: Limits = limitsWith()): UpstreamTrust {
  const own = ownIssuers.map((pem) => new X509Certificate(pem));
  // By key: another certificate for the same key would make the same leaves good.
  const ownKeys = new Set(own.map(keyOf));
  const base = baseRoots(upstream.ca).map((pem) => new X509Certificate(pem)).filter((root) => exposedKeyOf(root) === null);
  const roots = [...base, ...[...upstream.extraCa, ...extraCa].flatMap(ownRoots)].filter((root) => !ownKeys.has(keyOf(root)));
  const clientCerts = upstream.clientCerts.map(clientCertificateOf);
  return { minVersion: upstream.minVersion, roots, own, clientCerts, revocation: upstream.revocation ?? 'off', allowLocal: upstream.allowLocal, way: fetchWay(upstream, limits) };
}

/** What an operator adds must be worth it: a root that anyone can sign with is refused aloud. */
function ownRoots(file: string): X509Certificate[] {
  return certificatesOf(file).map((pem) => {
    const root = new X509Certificate(pem);
    const exposed = exposedKeyOf(root);
    if (exposed !== null) throw new Error(`${file}: holds the root of ${exposed}, whose private key is public: anyone could pass for any server; take it out`);
    return root;
  });
}

function clientCertificateOf({ host, cert, key }: Config['upstream']['clientCerts'][number]): ClientCertificate {
  const certPem = certificatesOf(cert).join('\n');
  const keyPem = readFileSync(key, 'utf8');
  const [first = ''] = certificatesOf(cert);
  if (!new X509Certificate(first).checkPrivateKey(privateKeyOf(key, keyPem))) throw new Error(`upstream.clientCerts: ${key} is not the key of ${cert}`);
  return { hosts: host, certPem, keyPem };
}

function privateKeyOf(file: string, pem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (caught) {
    throw new Error(`upstream.clientCerts: ${file} is not a private key in PEM without a passphrase`, { cause: caught });
  }
}

function keyOf(certificate: X509Certificate): string {
  try {
    return certificate.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  } catch {
    // A key of a kind that cannot be read is not ours.
    return certificate.fingerprint256;
  }
}

function baseRoots(ca: string): string[] {
  if (ca === 'none') return [];
  if (ca !== 'system') return certificatesOf(ca);
  const system = getCACertificates('system');
  // A machine without ca-certificates: the roots that Node brings are better than none.
  return system.length > 0 ? system : getCACertificates('bundled');
}

function certificatesOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (found === null) throw new Error(`${file}: no PEM certificate in it`);
  return found;
}
