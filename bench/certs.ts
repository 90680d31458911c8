// The cost of emulated certificates without any network: leaves made in a second under an EC and an RSA issuer, for both kinds of leaf key,
// and a look-up of a leaf that is held. Rounds of all cases take turns, medians are shown; it prints and judges nothing.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCertificates } from '../src/certs/open.ts';
import type { Certificates } from '../src/certs/open.ts';
import type { LeafKeyType, LeafRequest } from '../src/core/certificates.ts';
import { limitsWith } from '../src/core/limits.ts';
import { silentLogger } from '../src/core/log.ts';
import { noMeter } from '../src/core/meters.ts';
import { issueServer, makeRoot } from '../test/support/certs.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';
import { quantile } from './statistics.ts';

/** How much of everything. */
export interface CertsEffort {
  readonly rounds: number;
  /** Leaves made in each case of a round. */
  readonly leaves: number;
  readonly lookUps: number;
}

/** One line of the table. */
export interface MeasuredCerts {
  readonly what: string;
  /** Median over rounds. */
  readonly perSecond: number;
  readonly microsecondsEach: number;
  readonly lowestPerSecond: number;
  readonly highestPerSecond: number;
}

const full: CertsEffort = { rounds: 7, leaves: 500, lookUps: 50_000 };
const smoke: CertsEffort = { rounds: 2, leaves: 20, lookUps: 1_000 };
/** As many mints under way as a busy gateway has: RSA signatures run in the thread pool. */
const atOnce = 16;

interface Case {
  readonly what: string;
  readonly count: number;
  run(): Promise<void>;
}

/** Measures in a folder of its own that is gone afterwards; answers the table's rows. */
export async function measureCerts(effort: CertsEffort): Promise<MeasuredCerts[]> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-certs-'));
  const ec = await open(join(folder, 'ec'), 'ec');
  const rsa = await open(join(folder, 'rsa'), 'rsa');
  try {
    const source = servers();
    const cases: readonly Case[] = [
      ...(['ec', 'rsa'] as const).flatMap((leafKey) => [minting(`EC issuer, ${leafKey.toUpperCase()} leaf`, ec, leafKey, source, effort), minting(`RSA issuer, ${leafKey.toUpperCase()} leaf`, rsa, leafKey, source, effort)]),
      hitting('a leaf that is held, beside all others', ec, source, effort),
      signing('for scale: one RSA-2048 signature and nothing else', 'rsa', effort), signing('for scale: one P-256 signature and nothing else', 'ec', effort),
    ];
    return await inTurns(cases, effort.rounds);
  } finally {
    await Promise.all([ec.close(), rsa.close()]);
    await rm(folder, { recursive: true, force: true });
  }
}

/** All cases once in each round, the first round unmeasured, so that whatever disturbs the machine disturbs all alike. */
async function inTurns(cases: readonly Case[], rounds: number): Promise<MeasuredCerts[]> {
  const rates = cases.map((): number[] => []);
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, { count, run }] of cases.entries()) {
      const started = performance.now();
      await run();
      if (round > 0) rates[index]?.push((count * 1000) / (performance.now() - started));
    }
  }
  return cases.map(({ what }, index) => {
    const own = rates[index] ?? [];
    const perSecond = quantile(own, 0.5);
    return { what, perSecond, microsecondsEach: 1_000_000 / perSecond, lowestPerSecond: Math.min(...own), highestPerSecond: Math.max(...own) };
  });
}

function minting(what: string, certificates: Certificates, key: LeafKeyType, source: Servers, { leaves }: CertsEffort): Case {
  return {
    what, count: leaves,
    async run() {
      for (let done = 0; done < leaves; done += atOnce) {
        await Promise.all(Array.from({ length: Math.min(atOnce, leaves - done) }, () => certificates.certFor(source.next(key))));
      }
    },
  };
}

function hitting(what: string, certificates: Certificates, source: Servers, { lookUps }: CertsEffort): Case {
  const request = source.next('ec');
  return {
    what, count: lookUps,
    async run() {
      for (let done = 0; done < lookUps; done += 1) await certificates.certFor(request);
    },
  };
}

function signing(what: string, kind: LeafKeyType, { leaves }: CertsEffort): Case {
  const { privateKey } = kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const data = randomBytes(1_000);
  return {
    what, count: leaves,
    run: async () => {
      for (let done = 0; done < leaves; done += 1) sign('sha256', data, privateKey);
      await Promise.resolve();
    },
  };
}

interface Servers {
  /** A request that no other was like. */
  next(key: LeafKeyType): LeafRequest;
}

/** Certificates of servers as they are met: a real one, each time under another fingerprint, so that no leaf is held for it. */
function servers(): Servers {
  const names = ['www', 'mail', 'lyncdiscover', 'sip', 'meet', 'dialin'].map((label) => `${label}.bench.example`);
  const upstreamDer = issueServer(makeRoot('Bench root'), { names, organisation: 'Bench', days: 90 }).der;
  let count = 0;
  return {
    next(key) {
      count += 1;
      return { upstreamDer, upstreamFingerprint: createHash('sha256').update(upstreamDer).update(String(count)).digest('hex'), host: 'www.bench.example', ip: null, key, trust: 'trusted', issuer: null };
    },
  };
}

async function open(stateDir: string, newKey: LeafKeyType): Promise<Certificates> {
  const certificates = await openCertificates({
    stateDir, primary: true, limits: limitsWith(), meter: noMeter, log: silentLogger, clock: Date.now,
    issuer: {
      cert: join(stateDir, 'ca.pem'), key: join(stateDir, 'ca.key'), leafKey: 'auto', newKey,
      crl: { enabled: true, hosts: ['crl.bench.example'], days: 30 }, ocsp: { enabled: true, staple: true },
    },
  });
  return certificates;
}

/** Measures and answers the table as text; `isSmoke`: in a second, to show that it works. */
export async function benchCerts(isSmoke: boolean): Promise<PartReport> {
  const rows = (await measureCerts(isSmoke ? smoke : full)).map(({ what, perSecond, microsecondsEach, lowestPerSecond, highestPerSecond }) =>
    [what, perSecond.toFixed(0), microsecondsEach.toFixed(microsecondsEach < 10 ? 2 : 0), lowestPerSecond.toFixed(0), highestPerSecond.toFixed(0)]);
  return { text: `Emulated certificates: issuing, and a hit in the cache\n${columns([['', 'per second', 'µs each', 'lowest', 'highest'], ...rows])}`, missed: [] };
}
