// Which roots servers are checked against: the system's (or a file's) and the operator's own, without the gateway's issuers. They
// become the process's default store once, so that every secure context shares one store instead of building its own.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { UpstreamTrust } from './core/flow.ts';
import type { Config } from './config/schema.ts';

/** Reads the roots and makes them the process's default. Throws with the file's name when one cannot be read. */
export function installTrust(upstream: Config['upstream'], extraCa: readonly string[], ownIssuers: readonly string[]): UpstreamTrust {
  const own = new Set(ownIssuers.map((pem) => new X509Certificate(pem).fingerprint256));
  const pems = [...baseRoots(upstream.ca), ...[...upstream.extraCa, ...extraCa].flatMap(certificatesOf)];
  const roots: X509Certificate[] = [];
  for (const pem of pems) {
    const certificate = new X509Certificate(pem);
    if (!own.has(certificate.fingerprint256)) roots.push(certificate);
  }
  setDefaultCACertificates(roots.map((root) => root.toString()));
  return { minVersion: upstream.minVersion, roots };
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
