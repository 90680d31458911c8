// Everything wrong with the certificate of a server that was reached: what verify.ts sees, after missing issuers were fetched, and its revocation
// state. It waits only where something has to be fetched, for a bounded time, and decides nothing.

import type { X509Certificate } from 'node:crypto';
import { certificateProblems } from '../core/certificates.ts';
import type { CertificateProblem, RevocationMode, UpstreamTrust } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { IssuerChaser } from './chase.ts';
import { Fetcher } from './fetch.ts';
import { RevocationChecker } from './revocation.ts';
import type { RevocationState } from './revocation.ts';
import { fieldsOf } from './revocation-parts.ts';
import { demandsStaple, indexAnchors, judge, pathOf, sentChain } from './verify.ts';
import type { Anchors, AskedName, JudgeOptions } from './verify.ts';

/** What a handshake with a server showed. */
export interface ShownChain {
  /** As `getPeerX509Certificate` gives it, so that its chain can be walked. */
  readonly certificate: X509Certificate;
  readonly chainError: string | null;
  /** The stapled OCSP answer as it came, null without one. */
  readonly staple: Buffer | null;
}

/** A certificate with its chain and a name that nothing was wrong with; between these dates of the leaf nothing is. */
interface Faultless {
  readonly fromMs: number;
  readonly toMs: number;
}

type Path = NonNullable<ReturnType<typeof pathOf>>;

/** Problems of trust: nobody vouches for what such a certificate points at, so nothing is fetched for it. */
const unproven: ReadonlySet<CertificateProblem> = new Set(['untrusted', 'self-signed', 'incomplete', 'invalid']);

/** Judges for one trust in force; issuers, CRLs and states it has learned go with it. */
export class UpstreamJudge {
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #anchors: Anchors;
  readonly #own: Anchors;
  readonly #mode: RevocationMode;
  readonly #chaser: IssuerChaser;
  readonly #revocation: RevocationChecker;
  readonly #faultless = new Map<string, Faultless>();
  readonly #demanding = new Map<string, boolean>();

  constructor(trust: UpstreamTrust, limits: Limits, clock: () => number) {
    const fetcher = new Fetcher({ limits, allowLocal: trust.allowLocal ?? false, ...(trust.way === undefined ? {} : { way: trust.way }) });
    this.#limits = limits;
    this.#clock = clock;
    this.#anchors = indexAnchors(trust.roots);
    this.#own = indexAnchors(trust.own ?? []);
    this.#mode = trust.revocation ?? 'off';
    this.#chaser = new IssuerChaser(fetcher, limits, clock);
    this.#revocation = new RevocationChecker(fetcher, limits, clock);
  }

  /** All problems in the order of `certificateProblems`. `mode` is a rule's, over the trust's. Never rejects. */
  problems(shown: ShownChain, name: AskedName, mode: RevocationMode = this.#mode): readonly CertificateProblem[] | Promise<readonly CertificateProblem[]> {
    const sent = sentChain(shown.certificate);
    // OpenSSL looks at the chain in every full handshake. What this file adds depends on nothing but these bytes and the name, dates excepted.
    const key = shown.chainError === null ? `${sent.map(({ fingerprint256 }) => fingerprint256).join()} ${name.host ?? ''} ${name.ip ?? ''}` : null;
    if (key === null || !this.#isFaultless(key)) return this.#judged(shown, sent, key, name, mode);
    if (this.demandsStaple(shown.certificate)) return this.#withRevocation([], shown, sent, mode);
    const settled = mode === 'off' ? 'good' : this.#revocation.settled(shown.certificate);
    return settled === null ? this.#withRevocation([], shown, sent, mode) : withState([], settled, mode);
  }

  /** Whether a certificate is shown with a stapled answer alone; remembered, since it is asked for in every handshake and hardly ever so. */
  demandsStaple(certificate: X509Certificate): boolean {
    const print = certificate.fingerprint256;
    const known = this.#demanding.get(print);
    if (known !== undefined) return known;
    const demanded = demandsStaple(certificate);
    bounded(this.#demanding, print, demanded, this.#limits.judgedMax);
    return demanded;
  }

  async #judged(shown: ShownChain, sent: readonly X509Certificate[], key: string | null, name: AskedName, mode: RevocationMode): Promise<readonly CertificateProblem[]> {
    const options: JudgeOptions = { anchors: this.#anchors, own: this.#own, upstreamCertBytesMax: this.#limits.upstreamCertBytesMax };
    const found = judge({ leaf: shown.certificate }, shown.chainError, name, this.#clock(), options);
    if (key !== null && found.length === 0) this.#remember(key, shown.certificate);
    if (!isChasable(found, sent)) return await this.#withRevocation(found, shown, sent, mode);
    const chase = await this.#chaser.complete(sent, this.#anchors);
    if (chase.end === 'proven') {
      const completed = judge({ leaf: shown.certificate }, null, name, this.#clock(), { ...options, completed: chase.chain });
      return await this.#withRevocation(completed, shown, chase.chain, mode);
    }
    return chase.end === 'untrusted' ? inOrder([...found.filter((problem) => problem !== 'incomplete'), 'untrusted']) : found;
  }

  #isFaultless(key: string): boolean {
    const known = this.#faultless.get(key);
    const now = this.#clock();
    return known !== undefined && now >= known.fromMs && now <= known.toMs;
  }

  #remember(key: string, leaf: X509Certificate): void {
    bounded(this.#faultless, key, { fromMs: leaf.validFromDate.getTime(), toMs: leaf.validToDate.getTime() }, this.#limits.judgedMax);
  }

  /** When the first certificate between a leaf that nothing was wrong with and its root, both included, runs out. */
  lastMs(leaf: X509Certificate): number {
    const sent = sentChain(leaf);
    const [named, ...others] = new Set(sent.flatMap((one) => this.#anchors.namedBy(one)));
    // The chain is proven: where one root alone has the name, its signature need not be proven again.
    const root = others.length === 0 ? (named ?? null) : (pathOf(sent, this.#anchors)?.root ?? null);
    return Math.min(...[...sent, ...(root === null ? [] : [root])].map(({ validToDate }) => validToDate.getTime()));
  }

  async #withRevocation(found: readonly CertificateProblem[], shown: ShownChain, chain: readonly X509Certificate[], mode: RevocationMode): Promise<readonly CertificateProblem[]> {
    const demanded = this.demandsStaple(shown.certificate);
    if ((mode === 'off' && !demanded) || found.some((problem) => unproven.has(problem))) return found;
    // OpenSSL has just proven the chain; what is known of it needs no second proof.
    const settled = demanded ? null : this.#revocation.settled(shown.certificate);
    if (settled !== null) return withState(found, settled, mode);
    const way = pathOf(chain, this.#anchors);
    // OpenSSL found another way up than the one sent: whose word would count is not known here.
    if (way === null) return mode === 'hard' ? inOrder([...found, 'revocation-unknown']) : found;
    const { path, root } = way;
    // The leaf is itself one of the roots: nobody stands above it who could revoke it.
    if (root === null || this.#anchors.has(shown.certificate)) return found;
    const stapled = this.#takeStaple(shown, way, root);
    if (demanded && stapled !== 'good') return inOrder([...found, stapled === 'revoked' ? 'revoked' : 'invalid']);
    if (mode === 'off') return found;
    return withState(found, await this.#revocation.check(path, root), mode);
  }

  #takeStaple({ staple, certificate }: ShownChain, { path }: Path, root: X509Certificate): 'good' | 'revoked' | null {
    return staple === null ? null : (this.#revocation.takeStaple(staple, certificate, path[1] ?? root)?.state ?? null);
  }
}

/** Adds to a map; of more than `max` the oldest goes. */
function bounded<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  const oldest = map.keys().next();
  if (map.size >= max && oldest.done !== true) map.delete(oldest.value);
  if (max > 0) map.set(key, value);
}

/** Whether a missing issuer may be what is wrong, and the topmost certificate that came says where its issuer is. */
function isChasable(found: readonly CertificateProblem[], sent: readonly X509Certificate[]): boolean {
  if (!found.includes('incomplete') && !found.includes('untrusted')) return false;
  const top = sent.at(-1);
  return top !== undefined && (fieldsOf(top)?.issuerUrls.length ?? 0) > 0;
}

function withState(found: readonly CertificateProblem[], state: RevocationState, mode: RevocationMode): readonly CertificateProblem[] {
  if (state === 'revoked') return inOrder([...found, 'revoked']);
  return state === 'unknown' && mode === 'hard' ? inOrder([...found, 'revocation-unknown']) : found;
}

function inOrder(problems: readonly CertificateProblem[]): readonly CertificateProblem[] {
  return certificateProblems.filter((problem) => problems.includes(problem));
}
