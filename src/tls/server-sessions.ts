// TLS sessions that servers gave us, kept so that the next connection to the same server may resume. One is kept only once the certificate
// of its full handshake was judged faultless, with that certificate, so that each use is judged anew; it never crosses keys.

import { hash } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import type { Limits } from '../core/limits.ts';

/** What the server showed in its full handshake. */
export interface ShownIdentity {
  readonly certificate: X509Certificate;
  readonly chainError: string | null;
}

/** One server under one name, offer and policy. */
interface Kept {
  readonly shown: ShownIdentity;
  /** When the first certificate of the chain runs out: OpenSSL looks at these dates in full handshakes only. */
  readonly lastMs: number;
  /** When a full handshake is due again, whatever the server allows. */
  readonly untilMs: number;
  /** Newest last. */
  readonly sessions: Buffer[];
  /** TLS 1.3: a ticket is used once (RFC 8446, appendix C.4). */
  readonly singleUse: boolean;
  /** How often in a row the server has taken none of what it was offered. */
  declined: number;
}

/** What one connection offers the server, and where the sessions go that the server gives it. */
export interface Resumption {
  /** To offer; null: a full handshake. */
  readonly session: Buffer | null;
  /** What the session's full handshake showed; null without one. */
  readonly shown: ShownIdentity | null;
  /** Whether sessions are worth having: false of a server that takes none. */
  readonly wanted: boolean;
  /** The session is with OpenSSL now: a ticket that is used up need not be kept for as long as its connection. */
  offered(): void;
  /** Takes a session the server gave on this connection; it waits until `proven` or is dropped. */
  arrived(session: Buffer): void;
  /** The server's certificate was judged faultless: `shown` by a full handshake, or null when the session was resumed. */
  proven(shown: ShownIdentity | null, singleUse: boolean): void;
  /** The server ended the handshake in which it was offered something: it is offered nothing for a while. */
  stumbled(): void;
  /** Keeps nothing of this connection, nor what its server gave before: it was refused, or asks who we are. */
  drop(): void;
}

/** Resumption for connections that must not have any. */
export const noResumption: Resumption = { session: null, shown: null, wanted: false, offered() {}, arrived() {}, proven() {}, stumbled() {}, drop() {} };

/** Longer keys are kept as digests: clients would otherwise have kilobytes kept by long lists of names. */
const keyCharactersMax = 512;

/** A key for `ServerSessions` of everything that a session must not cross. */
export function sessionKey(parts: readonly (string | number | boolean | null | undefined | readonly string[])[]): string {
  const text = JSON.stringify(parts);
  return text.length <= keyCharactersMax ? text : hash('sha256', text, 'base64');
}

/** The sessions of one trust in force: gone with it on reload. Bounded by serverSessionsMax, serverTicketsMax and serverSessionBytesMax. */
export class ServerSessions {
  readonly limits: Limits;
  readonly #clock: () => number;
  readonly #lastMs: (certificate: X509Certificate) => number;
  readonly #kept = new Map<string, Kept>();

  /** `lastMs`: when the first certificate of a chain runs out, its root included. */
  constructor(limits: Limits, clock: () => number, lastMs: (certificate: X509Certificate) => number) {
    this.limits = limits;
    this.#clock = clock;
    this.#lastMs = lastMs;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Begins a connection. `key` says everything that a session must not cross. */
  begin(key: string): Resumption {
    const { serverSessionsMax, serverSessionMs } = this.limits;
    if (serverSessionsMax === 0 || serverSessionMs === 0) return noResumption;
    const kept = this.#current(key);
    const wanted = kept === null || kept.declined < this.limits.serverDeclinesMax;
    const session = kept === null || !wanted ? null : ((kept.singleUse ? kept.sessions.pop() : kept.sessions.at(-1)) ?? null);
    return new Attempt(this, key, session === null ? null : kept, session, wanted);
  }

  /** Forgets everything under a key. */
  forget(key: string): void {
    this.#kept.delete(key);
  }

  /** Where the sessions of a server go that has just shown `shown`. */
  place(key: string, shown: ShownIdentity, singleUse: boolean): Kept {
    const known = this.#current(key);
    const same = known !== null && known.singleUse === singleUse && known.shown.certificate.fingerprint256 === shown.certificate.fingerprint256;
    // A server that gives sessions and takes none is not asked again before its time.
    if (same && known.declined >= this.limits.serverDeclinesMax) return known;
    const lastMs = same ? known.lastMs : this.#lastMs(shown.certificate);
    const untilMs = Math.min(this.#clock() + this.limits.serverSessionMs, lastMs);
    const kept: Kept = { shown: same ? known.shown : shown, lastMs, untilMs, sessions: same ? known.sessions : [], singleUse, declined: same ? known.declined : 0 };
    const oldest = this.#kept.keys().next();
    if (!this.#kept.has(key) && this.#kept.size >= this.limits.serverSessionsMax && oldest.done !== true) this.#kept.delete(oldest.value);
    this.#kept.set(key, kept);
    return kept;
  }

  /** Adds a session to a place that is still in force. */
  add(key: string, kept: Kept, session: Buffer): void {
    const current = this.#kept.get(key);
    if (current === undefined || current.sessions !== kept.sessions || session.length > this.limits.serverSessionBytesMax) return;
    if (current.declined >= this.limits.serverDeclinesMax) {
      current.sessions.length = 0;
      return;
    }
    // The older ones are not worth more: the server may have forgotten them already.
    while (kept.sessions.length > 0 && (!kept.singleUse || kept.sessions.length >= this.limits.serverTicketsMax)) kept.sessions.shift();
    // Node gives it as a view of its pool of Buffers, 64 KiB of which each one that is kept would keep alive.
    const own = Buffer.allocUnsafeSlow(session.length);
    session.copy(own);
    kept.sessions.push(own);
  }

  /** Whether the server under a key took the session it was offered. */
  taken(key: string, taken: boolean): void {
    const kept = this.#kept.get(key);
    if (kept !== undefined) kept.declined = taken ? 0 : kept.declined + 1;
  }

  #current(key: string): Kept | null {
    const kept = this.#kept.get(key);
    if (kept === undefined) return null;
    if (this.#clock() < kept.untilMs) return kept;
    this.#kept.delete(key);
    return null;
  }
}

class Attempt implements Resumption {
  readonly session: Buffer | null;
  readonly wanted: boolean;
  readonly #sessions: ServerSessions;
  readonly #key: string;
  /** Where sessions go; null before the certificate was judged, and after `drop`. */
  #kept: Kept | null = null;
  readonly #from: Kept | null;
  #waiting: Buffer[] | null = [];

  constructor(sessions: ServerSessions, key: string, from: Kept | null, session: Buffer | null, wanted: boolean) {
    this.#sessions = sessions;
    this.#key = key;
    this.#from = from;
    this.session = session;
    this.wanted = wanted;
  }

  get shown(): ShownIdentity | null {
    return this.#from?.shown ?? null;
  }

  offered(): void {
    // Node 24 keeps the options of a connection, this buffer among them, until it ends.
    const bytes = this.session?.buffer;
    if (this.#from?.singleUse === true && bytes instanceof ArrayBuffer && bytes.byteLength === this.session?.length) bytes.transfer(0);
  }

  arrived(session: Buffer): void {
    if (this.#kept !== null) this.#sessions.add(this.#key, this.#kept, session);
    else if (this.#waiting !== null && this.#waiting.length < this.#sessions.limits.serverSessionsWaitingMax) this.#waiting.push(session);
  }

  proven(shown: ShownIdentity | null, singleUse: boolean): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    if (this.session !== null) this.#sessions.taken(this.#key, shown === null);
    this.#kept = shown === null ? this.#from : this.#sessions.place(this.#key, shown, singleUse);
    for (const session of waiting) this.arrived(session);
  }

  stumbled(): void {
    for (let count = 0; count < this.#sessions.limits.serverDeclinesMax; count += 1) this.#sessions.taken(this.#key, false);
    this.#waiting = null;
  }

  drop(): void {
    this.#waiting = null;
    this.#kept = null;
    this.#sessions.forget(this.#key);
  }
}
