// A config's issuer section as the certificates' constructor takes it, with the distribution point's host worked out and passphrases read. It reads
// no key and no certificate.

import { readFileSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { IssuerError } from './certs/issuer-error.ts';
import type { CertificatesOptions, IssuerFiles } from './certs/open.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { MeterRegistry } from './sessions/metrics.ts';

/** `primary`: this process writes CRL numbers and the ledger; there is one such process for a state folder. Throws IssuerError for a passphrase. */
export function certificateOptions(config: Config, registry: MeterRegistry, log: Logger, primary: boolean): CertificatesOptions {
  return { stateDir: config.state, ...issuerOptions(config), limits: config.limits, meter: registry.meter, log, clock: Date.now, primary };
}

/** The issuers alone. */
export function issuerOptions(config: Config): Pick<CertificatesOptions, 'issuer' | 'issuers'> {
  const { issuer } = config;
  return {
    issuer: { ...issuerFiles(issuer), leafKey: issuer.leafKey, crl: { enabled: issuer.crl.enabled, hosts: revocationHosts(config), days: issuer.crl.days }, ocsp: issuer.ocsp },
    issuers: Object.fromEntries(Object.entries(config.issuers).map(([name, files]) => [name, issuerFiles(files)])),
  };
}

function issuerFiles({ cert, key, passphraseFile }: Config['issuers'][string]): IssuerFiles {
  return passphraseFile === undefined ? { cert, key } : { cert, key, passphrase: passphraseIn(passphraseFile) };
}

function passphraseIn(file: string): string {
  try {
    if ((statSync(file).mode & 0o077) !== 0) throw new IssuerError(`${file}: others than its owner may read or write the passphrase; run \`chmod 600 ${file}\``);
    return firstLine(readFileSync(file, 'utf8'));
  } catch (caught) {
    throw caught instanceof IssuerError ? caught : new IssuerError(`${file}: the passphrase cannot be read`, { cause: caught });
  }
}

/** What counts of a passphrase file. */
export function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? '';
}

/** Hosts of the distribution points, `host[:port]`. */
export function revocationHosts(config: Config): readonly string[] {
  const { host, listen } = config.issuer.crl;
  if (host !== 'auto') return host;
  const address = isUnspecified(listen.host) ? clientFacingAddress(config) : listen.host;
  return [`${address.includes(':') ? `[${address}]` : address}:${String(listen.port)}`];
}

function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** The first IPv4 address (else IPv6) of an interface that services take clients from, else of any but loopback. */
function clientFacingAddress(config: Config): string {
  const wanted = new Set(config.services.flatMap(({ intercept }) => intercept?.interfaces ?? []));
  const addresses = Object.entries(networkInterfaces())
    .flatMap(([name, list]) => (list ?? []).map((entry) => ({ name, ...entry })))
    .filter(({ internal, scopeid }) => !internal && (scopeid === undefined || scopeid === 0))
    .sort((a, b) => Number(wanted.has(b.name)) - Number(wanted.has(a.name)) || a.family.localeCompare(b.family));
  return addresses[0]?.address ?? '127.0.0.1';
}
