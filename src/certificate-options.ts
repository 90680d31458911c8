// A config's issuer section as the certificates' constructor takes it, with the distribution point's host worked out.

import { networkInterfaces } from 'node:os';
import type { CertificatesOptions } from './certs/open.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { MeterRegistry } from './sessions/metrics.ts';

/** `primary`: this process writes CRL numbers and the ledger; there is one such process for a state folder. */
export function certificateOptions(config: Config, registry: MeterRegistry, log: Logger, primary: boolean): CertificatesOptions {
  const { issuer } = config;
  return {
    stateDir: config.state,
    issuer: {
      cert: issuer.cert,
      key: issuer.key,
      leafKey: issuer.leafKey,
      crl: { enabled: issuer.crl.enabled, hosts: revocationHosts(config), days: issuer.crl.days },
      ocsp: issuer.ocsp,
    },
    issuers: config.issuers,
    limits: config.limits,
    meter: registry.meter,
    log,
    clock: Date.now,
    primary,
  };
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
