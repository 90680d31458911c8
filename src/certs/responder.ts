// The OCSP responder: says of each certificate of our issuers what the ledger says, else good. It holds signed answers for reuse, and signs no
// more in a second than its limit allows; beyond it clients are told to try later.

import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import type { Issuer } from './authority.ts';
import type { Ledger } from './ledger.ts';
import { asksAbout, certIdOf, ocspError, ocspErrors, ocspResponse, ocspToBeSigned, readOcspRequest } from './ocsp.ts';
import type { OcspQuery, OcspState, OcspTimes } from './ocsp.ts';

export interface ResponderOptions {
  /** The first is the default: it signs what is said of issuers that are not ours. */
  readonly issuers: readonly Issuer[];
  readonly ledger: Ledger;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly clock: () => number;
}

/** A signed answer, or an unsigned error. */
export interface OcspAnswer {
  readonly der: Buffer;
  /** Null when it must not be stored by caches. */
  readonly times: OcspTimes | null;
}

export interface Responder {
  answer(request: Buffer): OcspAnswer;
  /** A current answer about one certificate, for stapling. */
  staple(issuer: Issuer, serial: Buffer): Buffer | Promise<Buffer>;
  /** Forgets held answers; to be called when the ledger has changed. */
  forget(): void;
}

const hourMs = 3_600_000;
/** Answers are dated back for slow clients (a future thisUpdate is refused) and live a week, as those of public CAs do. */
const backDatedMs = hourMs;
const validMs = 7 * 24 * hourMs;
/** Held answers are signed anew after this time, long before they end. */
const reuseMs = 12 * hourMs;

/** A responder for some issuers. */
export function createResponder(options: ResponderOptions): Responder {
  const { issuers, ledger, limits, meter, clock } = options;
  const held = new Map<string, { readonly der: Buffer; readonly times: OcspTimes }>();
  let second = 0;
  let signatures = 0;
  /** Counts what `forget` was called for: a signature under way then is of what was known before. */
  let known = 0;

  const mayNotSign = (now: number): boolean => {
    if (Math.floor(now / 1000) !== second) {
      second = Math.floor(now / 1000);
      signatures = 0;
    }
    signatures += 1;
    return signatures > limits.ocspSignaturesPerSecondMax;
  };
  const hold = (key: string, der: Buffer, times: OcspTimes): void => {
    held.delete(key);
    held.set(key, { der, times });
    for (const oldest of held.keys()) {
      if (held.size <= limits.ocspAnswersMax) break;
      held.delete(oldest);
    }
  };
  const ready = (key: string, now: number): { readonly der: Buffer; readonly times: OcspTimes } | null => {
    const found = held.get(key);
    return found !== undefined && now - found.times.producedAt < reuseMs && now >= found.times.producedAt ? found : null;
  };
  const failed = (status: 'malformedRequest' | 'tryLater', label: string): OcspAnswer => {
    meter.add('ocsp_requests_total', [label]);
    return { der: ocspError(ocspErrors[status]), times: null };
  };

  return {
    answer(request) {
      const query = request.length > limits.ocspRequestBytesMax ? null : readOcspRequest(request);
      if (query === null) return failed('malformedRequest', 'malformed');
      const asked = issuers.find((issuer) => asksAbout(query, issuer));
      const issuer = asked ?? issuers[0];
      if (issuer === undefined) return failed('tryLater', 'try-later');
      const state: OcspState = asked === undefined ? { state: 'unknown' } : stateOf(ledger, asked, query.serial);
      const now = clock();
      const key = `${issuer.keyIdHex} ${query.certId.toString('latin1')}`;
      const reused = query.nonce === null ? ready(key, now) : null;
      if (reused === null && mayNotSign(now)) {
        meter.add('limits_hit_total', ['ocspSignaturesPerSecondMax']);
        return failed('tryLater', 'try-later');
      }
      meter.add('ocsp_requests_total', [state.state]);
      if (reused !== null) return reused;
      const times = timesAt(now);
      const der = signNow(issuer, query, state, times);
      if (query.nonce !== null) return { der, times: null };
      hold(key, der, times);
      return { der, times };
    },
    staple(issuer, serial) {
      const now = clock();
      const certId = certIdOf(issuer, serial);
      const key = `${issuer.keyIdHex} ${certId.toString('latin1')}`;
      const reused = ready(key, now);
      if (reused !== null) return reused.der;
      const before = known;
      const times = timesAt(now);
      const toBeSigned = ocspToBeSigned(issuer, certId, stateOf(ledger, issuer, serial.toString('hex')), times, null);
      return issuer.signLater(toBeSigned).then((signature) => {
        const der = ocspResponse(issuer, toBeSigned, signature);
        if (before === known) hold(key, der, times);
        return der;
      });
    },
    forget() {
      known += 1;
      held.clear();
    },
  };
}

function stateOf(ledger: Ledger, issuer: Issuer, serial: string): OcspState {
  const entry = ledger.find(issuer.keyIdHex, serial);
  return entry === null ? { state: 'good' } : { state: 'revoked', at: entry.at, reason: entry.reason };
}

function signNow(issuer: Issuer, query: OcspQuery, state: OcspState, times: OcspTimes): Buffer {
  const toBeSigned = ocspToBeSigned(issuer, query.certId, state, times, query.nonce);
  return ocspResponse(issuer, toBeSigned, issuer.sign(toBeSigned));
}

/** Whole seconds: OCSP times have no fractions. producedAt is never before a leaf's notBefore, which Chromium would refuse. */
function timesAt(now: number): OcspTimes {
  const producedAt = Math.floor(now / 1000) * 1000;
  return { producedAt, thisUpdate: producedAt - backDatedMs, nextUpdate: producedAt + validMs };
}
