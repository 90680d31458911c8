// Shared by the tests of src/certs: a state folder, an issuer and a whole set of certificates with a clock that the test moves.

import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { onTestFinished } from 'vitest';
import { openAuthority } from '../../../src/certs/authority.ts';
import type { Issuer } from '../../../src/certs/authority.ts';
import { openCertificates } from '../../../src/certs/open.ts';
import type { Certificates, CertificatesOptions, IssuerOptions } from '../../../src/certs/open.ts';
import type { LeafKeyType, LeafRequest } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Meter } from '../../../src/core/meters.ts';
import { openState } from '../../../src/core/state.ts';

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-certs-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The state database of a folder (a new one unless given), closed after the test. */
export function stateOf(folder: string): DatabaseSync {
  const state = openState(folder, { durable: true, limits: limitsWith({ stateWaitMs: 2_000 }) });
  onTestFinished(() => state.close());
  return state;
}

/** A new issuer in a folder of its own. */
export async function makeIssuer(key: LeafKeyType = 'ec', permitted: readonly string[] = [], now = Date.now()): Promise<Issuer> {
  const folder = await temporaryFolder();
  return openAuthority({ name: 'default', certFile: join(folder, 'ca.pem'), keyFile: join(folder, 'ca.key'), passphrase: null, now, create: { key, label: 'Test CA', permitted } });
}

/** A meter that counts under `name{label,label}`. */
export function countingMeter(): { readonly meter: Meter; readonly counts: Record<string, number> } {
  const counts: Record<string, number> = {};
  const key = (name: string, labels: readonly string[] = []): string => `${name}{${labels.join(',')}}`;
  return {
    counts,
    meter: {
      add: (name, labels, step = 1) => void (counts[key(name, labels)] = (counts[key(name, labels)] ?? 0) + step),
      set: (name, labels, value) => void (counts[key(name, labels)] = value),
      observe: () => undefined,
    },
  };
}

export interface Bench {
  readonly certificates: Certificates;
  readonly counts: Record<string, number>;
  readonly stateDir: string;
  readonly clock: { now: number };
}

/** Opens certificates over a state folder (a new one unless given); closed after the test. */
export async function openBench(options: { issuer?: Partial<IssuerOptions>; stateDir?: string; clock?: { now: number } } & Partial<Omit<CertificatesOptions, 'issuer' | 'clock'>> = {}): Promise<Bench> {
  const stateDir = options.stateDir ?? (await temporaryFolder());
  const clock = options.clock ?? { now: Date.now() };
  const { meter, counts } = countingMeter();
  const certificates = await openCertificates({
    primary: true, limits: limitsWith(), meter, log: silentLogger, ...options, stateDir, clock: () => clock.now,
    issuer: {
      cert: join(stateDir, 'ca.pem'), key: join(stateDir, 'ca.key'), leafKey: 'auto', newKey: 'ec',
      crl: { enabled: true, hosts: ['crl.test'], days: 30 }, ocsp: { enabled: true, staple: true }, ...options.issuer,
    },
  });
  onTestFinished(() => certificates.close());
  return { certificates, counts, stateDir, clock };
}

/** A request for a leaf after a server's certificate. */
export function requestFor(upstreamDer: Buffer | null, more: Partial<LeafRequest> = {}): LeafRequest {
  const upstreamFingerprint = upstreamDer === null ? null : createHash('sha256').update(upstreamDer).digest('hex');
  return { upstreamDer, upstreamFingerprint, host: 'a.example', ip: null, key: 'ec', trust: 'trusted', issuer: null, ...more };
}

/** DER of the first certificate in a PEM text. */
export function firstDer(pem: string): Buffer {
  return Buffer.from(/-----BEGIN CERTIFICATE-----([^-]*)/.exec(pem)?.[1] ?? '', 'base64');
}
