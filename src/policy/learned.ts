// Learned bypasses: which clients keep refusing the emulated certificate for which names, and are tunnelled from then on for a while.
// Evidence needs repetition within a window, a success wipes it out, trouble of servers never counts. Pure: the clock is asked, never waited for.

import type { ErrorCode } from '../core/errors.ts';
import type { Session } from '../core/session.ts';

export interface LearnedSettings {
  /** Refusals needed. */
  readonly failures: number;
  readonly withinMs: number;
  readonly ttlMs: number;
  /** Bound of bypasses, and of places with evidence. */
  readonly entriesMax: number;
}

/** What evidence is about: one client, the name it asked for, and how it says hello. */
export interface LearnedPlace {
  readonly client: string;
  readonly name: string;
  readonly ja4: string | null;
}

/** A bypass as operators see it. Times in milliseconds since the epoch. */
export interface LearnedBypass extends LearnedPlace {
  readonly key: string;
  readonly refusals: number;
  readonly since: number;
  readonly until: number;
}

/** What became of a place: `until` of a bypass, 0 while there is only evidence, null when it is forgotten. */
export type LearnedChange = (key: string, until: number | null) => void;

/** Refusals of a client that say something about our certificate. */
const refusalCodes: ReadonlySet<ErrorCode> = new Set(['CLIENT_REJECTED_CERT', 'CLIENT_LEFT_SILENTLY']);

/** The place of a session; null when it names nothing. */
export function learnedPlace(session: Session): LearnedPlace | null {
  const name = session.sni ?? session.destination.host ?? session.destination.ip;
  return name === null ? null : { client: session.client.ip, name: name.toLowerCase(), ja4: session.ja4 };
}

/** The key of a place, as the API takes it. */
export function learnedKey({ client, name, ja4 }: LearnedPlace): string {
  return `${client} ${name} ${ja4 ?? '-'}`;
}

/** Whether a session that ended with this code is evidence: our certificate was shown, and the server's was without fault. */
export function isEvidence(session: Session, code: ErrorCode): boolean {
  const { upstream, leaf } = session.tls;
  return refusalCodes.has(code) && leaf !== null && upstream !== null && upstream.problems.length === 0;
}

/** Whether a session shows that the client takes our certificate. */
export function isSuccess({ tls }: Session): boolean {
  return tls.client !== null && tls.leaf !== null;
}

/** A bypass without its key. */
export interface Bypass extends LearnedPlace {
  readonly refusals: number;
  readonly since: number;
  readonly until: number;
}

/** All that was learned; there is one for a gateway, in its primary process. */
export class LearnedBook {
  readonly #settings: () => LearnedSettings;
  readonly #clock: () => number;
  readonly #changed: LearnedChange;
  /** Times of refusals by key, oldest place first. */
  readonly #evidence = new Map<string, number[]>();
  readonly #bypasses = new Map<string, Bypass>();

  /** Settings are asked for each time: a reload may change them. */
  constructor(settings: () => LearnedSettings, clock: () => number, changed: LearnedChange) {
    this.#settings = settings;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Bypasses in force. */
  get size(): number {
    return this.#bypasses.size;
  }

  /** A client refused our certificate; with enough of it a bypass begins. */
  refused(place: LearnedPlace): void {
    const key = learnedKey(place);
    const now = this.#clock();
    if (this.until(key) > now) return;
    const { failures, withinMs, ttlMs, entriesMax } = this.#settings();
    const times = (this.#evidence.get(key) ?? []).filter((time) => time > now - withinMs);
    times.push(now);
    this.#evidence.delete(key);
    if (times.length < failures) {
      this.#evidence.set(key, times);
      this.#dropOldest(this.#evidence, entriesMax);
      this.#changed(key, 0);
      return;
    }
    this.#bypasses.delete(key);
    this.#bypasses.set(key, { ...place, refusals: times.length, since: now, until: now + ttlMs });
    this.#dropOldest(this.#bypasses, entriesMax);
    this.#changed(key, now + ttlMs);
  }

  /** A client took our certificate: what spoke against it is forgotten. A bypass in force stays, since it rests on more. */
  accepted(place: LearnedPlace): void {
    const key = learnedKey(place);
    if (this.#evidence.delete(key)) this.#changed(key, null);
  }

  /** Until when the key is bypassed; 0 when it is not. */
  until(key: string): number {
    return this.#bypasses.get(key)?.until ?? 0;
  }

  /** A bypass by its key, null when there is none. */
  find(key: string): Bypass | null {
    return this.#bypasses.get(key) ?? null;
  }

  /** Bypasses in force, the newest first. */
  list(): LearnedBypass[] {
    const now = this.#clock();
    return [...this.#bypasses].filter(([, { until }]) => until > now).map(([key, bypass]) => ({ key, ...bypass })).reverse();
  }

  /** Forgets one key, or everything for null, evidence included; answers how many bypasses it were. */
  forget(key: string | null): number {
    const keys = key === null ? new Set([...this.#bypasses.keys(), ...this.#evidence.keys()]) : [key];
    let forgotten = 0;
    for (const each of keys) {
      if (this.#bypasses.delete(each)) forgotten += 1;
      this.#evidence.delete(each);
      this.#changed(each, null);
    }
    return forgotten;
  }

  /** Drops what has run out. To be called now and then. */
  sweep(): void {
    const now = this.#clock();
    for (const [key, { until }] of this.#bypasses) {
      if (until > now) continue;
      this.#bypasses.delete(key);
      this.#changed(key, null);
    }
    for (const [key, times] of this.#evidence) {
      if ((times.at(-1) ?? 0) > now - this.#settings().withinMs) continue;
      this.#evidence.delete(key);
      this.#changed(key, null);
    }
  }

  /** Takes bypasses of an earlier run; what has run out, or does not look like one, is left out. */
  restore(saved: unknown): void {
    const now = this.#clock();
    for (const entry of Array.isArray(saved) ? saved : []) {
      const bypass = savedBypass(entry);
      // A clock that was set back must not make a bypass last longer than its time.
      if (bypass === null || bypass.until <= now || bypass.until > now + this.#settings().ttlMs) continue;
      if (this.#bypasses.size >= this.#settings().entriesMax) return;
      this.#bypasses.set(learnedKey(bypass), bypass);
      this.#changed(learnedKey(bypass), bypass.until);
    }
  }

  /** What every worker needs to know: keys with evidence (0) and bypasses. */
  snapshot(): [string, number][] {
    return [...[...this.#evidence.keys()].map((key): [string, number] => [key, 0]), ...[...this.#bypasses].map(([key, { until }]): [string, number] => [key, until])];
  }

  #dropOldest(map: Map<string, unknown>, max: number): void {
    const [oldest] = map.keys();
    if (map.size <= max || oldest === undefined) return;
    map.delete(oldest);
    this.#changed(oldest, null);
  }
}

function savedBypass(entry: unknown): Bypass | null {
  if (typeof entry !== 'object' || entry === null) return null;
  const { client, name, ja4, refusals, since, until } = { client: null, name: null, ja4: null, refusals: null, since: null, until: null, ...entry };
  if (typeof client !== 'string' || typeof name !== 'string' || (typeof ja4 !== 'string' && ja4 !== null)) return null;
  if (typeof refusals !== 'number' || typeof since !== 'number' || typeof until !== 'number') return null;
  return { client, name, ja4, refusals, since, until };
}

/** Where a process's sessions ask and tell; `tell` reaches the book, be it in another process. */
export class LearnedView {
  readonly #known = new Map<string, number>();
  readonly #clock: () => number;
  readonly #tell: (what: 'refused' | 'accepted', place: LearnedPlace) => void;

  constructor(clock: () => number, tell: (what: 'refused' | 'accepted', place: LearnedPlace) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The rule that a bypassed session shows, null for others. */
  bypass(session: Session): string | null {
    if (this.#known.size === 0) return null;
    const place = learnedPlace(session);
    if (place === null || (this.#known.get(learnedKey(place)) ?? 0) <= this.#clock()) return null;
    return `learned/${place.name}`;
  }

  refused(session: Session, code: ErrorCode): void {
    const place = isEvidence(session, code) ? learnedPlace(session) : null;
    if (place !== null) this.#tell('refused', place);
  }

  accepted(session: Session): void {
    if (this.#known.size === 0 || !isSuccess(session)) return;
    const place = learnedPlace(session);
    if (place !== null && this.#known.get(learnedKey(place)) === 0) this.#tell('accepted', place);
  }

  /** What the book says of a key. Bounded as the book is. */
  readonly changed: LearnedChange = (key, until) => {
    if (until === null) this.#known.delete(key);
    else this.#known.set(key, until);
  };
}
