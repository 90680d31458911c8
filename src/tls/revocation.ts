// The revocation state of servers' certificates: a stapled answer, OCSP, then CRLs, for every certificate below the root. Flows wait a bounded time;
// what comes later is remembered for the next ones. It never decides what a state leads to.

import type { X509Certificate } from 'node:crypto';
import type { Limits } from '../core/limits.ts';
import type { Fetcher } from './fetch.ts';
import { coversCertificate, listsSerial, proveCrl } from './revocation-crl.ts';
import type { ProvenCrl } from './revocation-crl.ts';
import { judgeOcspAnswer, ocspRequest } from './revocation-ocsp.ts';
import type { ProvenState } from './revocation-ocsp.ts';
import { fieldsOf } from './revocation-parts.ts';
import type { CertificateFields } from './revocation-parts.ts';

/** `unknown`: nobody who may say so said anything (in time). */
export type RevocationState = 'good' | 'revoked' | 'unknown';

interface Remembered {
  readonly state: RevocationState;
  readonly untilMs: number;
}

interface HeldCrl {
  readonly issuerPrint: string;
  readonly crl: ProvenCrl;
}

/** A certificate below the root, and who signed it. */
interface Link {
  readonly print: string;
  readonly certificate: X509Certificate;
  readonly issuer: X509Certificate;
}

/** Addresses of one certificate that are tried, of each kind. */
const urlsMax = 3;

/** Asks, and remembers by fingerprint. One for each trust in force. */
export class RevocationChecker {
  readonly #fetcher: Fetcher;
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #states = new Map<string, Remembered>();
  readonly #asking = new Map<string, Promise<RevocationState>>();
  readonly #crls = new Map<string, HeldCrl>();
  readonly #crlsComing = new Map<string, Promise<Buffer | null>>();
  #crlsBytes = 0;

  constructor(fetcher: Fetcher, limits: Limits, clock: () => number) {
    this.#fetcher = fetcher;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** What a stapled answer proves about the leaf, remembered; null when nothing. */
  takeStaple(staple: Buffer, leaf: X509Certificate, issuer: X509Certificate): ProvenState | null {
    if (staple.length > this.#limits.serverOcspBytesMax) return null;
    const proven = judgeOcspAnswer(staple, leaf, issuer, this.#clock());
    const print = leaf.fingerprint256;
    // A good answer stapled later does not undo what the CA said when it was asked.
    if (proven !== null && this.#known(print)?.state !== 'revoked') this.#remember(print, proven.state, proven.untilMs);
    return proven;
  }

  /** What is known of the whole path of a leaf; null when some of it must be asked for. */
  settled(leaf: X509Certificate): RevocationState | null {
    return this.#known(pathKey(leaf.fingerprint256))?.state ?? null;
  }

  /**
   * The state of a path (leaf first, without the root, which nobody can revoke). Answers at once when all of it is known; else waits at most
   * revocationWaitMs and lets the check go on. Never rejects.
   */
  check(path: readonly X509Certificate[], root: X509Certificate): RevocationState | Promise<RevocationState> {
    const links: Link[] = path.map((certificate, depth) => ({ print: certificate.fingerprint256, certificate, issuer: path[depth + 1] ?? root }));
    const known = this.#settle(links);
    if (known !== null) return known;
    const asking = links.filter(({ print }) => this.#known(print) === null).map((link) => this.#ask(link));
    return this.#bounded(Promise.all(asking).then((asked) => this.#settle(links) ?? worst(asked)));
  }

  /** The state of the whole path when every part of it is known, or one revoked; remembered for `settled`. */
  #settle(links: readonly Link[]): RevocationState | null {
    const known = links.flatMap(({ print }) => this.#known(print) ?? []);
    const state = worst(known.map((one) => one.state));
    const [leaf] = links;
    if (leaf === undefined || (state !== 'revoked' && known.length < links.length)) return null;
    this.#remember(pathKey(leaf.print), state, Math.min(...known.filter((one) => one.state === state).map(({ untilMs }) => untilMs)));
    return state;
  }

  #known(print: string): Remembered | null {
    const known = this.#states.get(print);
    return known !== undefined && known.untilMs > this.#clock() ? known : null;
  }

  /** Single flight for each certificate; the number of fetches is the fetcher's to bound. */
  #ask({ print, certificate, issuer }: Link): Promise<RevocationState> {
    const asking = this.#asking.get(print);
    if (asking !== undefined) return asking;
    const asked = this.#askNow(certificate, issuer).then((proven) => {
      const { state, untilMs } = proven ?? { state: 'unknown' as const, untilMs: this.#clock() + this.#limits.revocationRetryMs };
      this.#remember(print, state, untilMs);
      return state;
    }).finally(() => this.#asking.delete(print));
    this.#asking.set(print, asked);
    return asked;
  }

  /** Responders first, then lists, each with a head start over the next: the first proof counts. */
  async #askNow(certificate: X509Certificate, issuer: X509Certificate): Promise<ProvenState | null> {
    const fields = fieldsOf(certificate);
    if (fields === null) return null;
    const { ocspUrls, crlUrls } = fields;
    return await firstProof([
      ...ocspUrls.slice(0, urlsMax).map((url) => () => this.#askOcsp(url, certificate, issuer)),
      ...crlUrls.slice(0, urlsMax).map((url) => () => this.#askCrl(url, fields, certificate, issuer)),
    ], this.#limits.revocationHeadStartMs);
  }

  async #askOcsp(url: string, certificate: X509Certificate, issuer: X509Certificate): Promise<ProvenState | null> {
    const bytes = ocspRequest(certificate, issuer);
    if (bytes === null) return null;
    const bounds = { bytesMax: this.#limits.serverOcspBytesMax, timeMs: this.#limits.revocationFetchMs };
    const answer = await this.#fetcher.fetch(url, bounds, { type: 'application/ocsp-request', bytes });
    return answer === null ? null : judgeOcspAnswer(answer, certificate, issuer, this.#clock());
  }

  async #askCrl(url: string, { serial }: CertificateFields, certificate: X509Certificate, issuer: X509Certificate): Promise<ProvenState | null> {
    const crl = await this.#crlAt(url, issuer);
    if (crl === null || !coversCertificate(crl, url, certificate.ca)) return null;
    return { state: listsSerial(crl, serial) ? 'revoked' : 'good', untilMs: crl.untilMs };
  }

  async #crlAt(url: string, issuer: X509Certificate): Promise<ProvenCrl | null> {
    const issuerPrint = issuer.fingerprint256;
    const now = this.#clock();
    const held = this.#crls.get(url);
    if (held !== undefined && held.issuerPrint === issuerPrint && held.crl.untilMs > now) return held.crl;
    const coming = this.#crlsComing.get(url) ?? this.#fetchCrl(url);
    const bytes = await coming;
    const crl = bytes === null ? null : proveCrl(bytes, issuer, this.#clock());
    if (crl !== null) this.#hold(url, { issuerPrint, crl });
    return crl;
  }

  #fetchCrl(url: string): Promise<Buffer | null> {
    const { serverCrlBytesMax, revocationFetchMs } = this.#limits;
    const coming = this.#fetcher.fetch(url, { bytesMax: serverCrlBytesMax, timeMs: revocationFetchMs }).finally(() => this.#crlsComing.delete(url));
    this.#crlsComing.set(url, coming);
    return coming;
  }

  #hold(url: string, held: HeldCrl): void {
    this.#drop(url);
    this.#crls.set(url, held);
    this.#crlsBytes += held.crl.bytes.length;
    for (const oldest of this.#crls.keys()) {
      if (this.#crlsBytes <= this.#limits.serverCrlsBytesMax) break;
      this.#drop(oldest);
    }
  }

  #drop(url: string): void {
    this.#crlsBytes -= this.#crls.get(url)?.crl.bytes.length ?? 0;
    this.#crls.delete(url);
  }

  #remember(print: string, state: RevocationState, untilMs: number): void {
    this.#states.delete(print);
    this.#states.set(print, { state, untilMs: Math.min(untilMs, this.#clock() + this.#limits.revocationCacheMs) });
    for (const oldest of this.#states.keys()) {
      if (this.#states.size <= this.#limits.revocationStatesMax) break;
      this.#states.delete(oldest);
    }
  }

  async #bounded(answer: Promise<RevocationState>): Promise<RevocationState> {
    const late = Promise.withResolvers<RevocationState>();
    const timer = setTimeout(() => late.resolve('unknown'), this.#limits.revocationWaitMs);
    try {
      return await Promise.race([answer, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

type Attempt = () => Promise<ProvenState | null>;

/** Makes attempts in order, the next when one has failed or its head start is over. Resolves with the first proof, or null when all have failed. */
function firstProof(attempts: readonly Attempt[], headStartMs: number): Promise<ProvenState | null> {
  return new Promise((resolve) => {
    let started = 0;
    let failed = 0;
    const next = (): void => {
      const attempt = attempts[started];
      if (attempt === undefined) {
        if (failed === attempts.length) resolve(null);
        return;
      }
      started += 1;
      const timer = setTimeout(next, headStartMs);
      void attempt().then((proven) => {
        clearTimeout(timer);
        // The timers of earlier attempts may have started others: what they bring comes too late to count.
        if (proven !== null) {
          started = attempts.length;
          resolve(proven);
          return;
        }
        failed += 1;
        next();
      });
    };
    next();
  });
}

function pathKey(print: string): string {
  return `path ${print}`;
}

function worst(states: readonly RevocationState[]): RevocationState {
  if (states.includes('revoked')) return 'revoked';
  return states.includes('unknown') ? 'unknown' : 'good';
}
