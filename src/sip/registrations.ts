// Watches REGISTER transactions (RFC 3261 section 10; MS-SIPREGE): who registered, for how long, with which scheme.
// Keeps scheme names only; credentials are never read.

import type { SipRegistration } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import { addressIn, listIn, paramIn, plainUri } from './address.ts';
import { BoundedMap, show, shown } from './bounded.ts';
import type { SipHead } from './headers.ts';

/** Seconds a binding lasts when neither side says (RFC 3261 section 10.2.1.1). */
const expiresDefaultSeconds = 3600;
/** The largest Expires there is: 2^32-1 seconds. */
const expiresMaxSeconds = 0xffffffff;
const schemesMax = 8;

interface Watched {
  readonly key: string;
  readonly shown: SipRegistration;
  /** Counted in the gauge. */
  inForce: boolean;
  expiresAt: number;
  requestedSeconds: number | null;
  /** `Contact: *`: the transaction removes every binding of the address. */
  removesAll: boolean;
}

/** What registrations tell the outside. */
export interface RegistrationSink {
  /** A registration came into force (1) or ended (-1). */
  changed(step: 1 | -1): void;
  /** A registration is in force until `at`, milliseconds since the epoch. */
  expires(at: number): void;
  /** An old registration had to be forgotten. */
  forgotten(): void;
}

/** The registrations of one connection. */
export class Registrations {
  readonly #list: SipRegistration[];
  readonly #limits: Limits;
  readonly #sink: RegistrationSink;
  readonly #watched: BoundedMap<Watched>;
  /** Transactions that have no final answer yet, by Call-ID: a client keeps it over challenges and refreshes. */
  readonly #pending: BoundedMap<Watched>;

  constructor(list: SipRegistration[], limits: Limits, sink: RegistrationSink) {
    this.#list = list;
    this.#limits = limits;
    this.#sink = sink;
    this.#watched = new BoundedMap<Watched>(limits.sipRegistrationsMax, (watched) => {
      this.#setInForce(watched, false);
      sink.forgotten();
    });
    this.#pending = new BoundedMap<Watched>(limits.sipRegistrationsMax, () => undefined);
  }

  /** A REGISTER request. */
  request(head: SipHead): void {
    const callId = head.raw('call-id');
    const to = head.text('to');
    if (callId === null || to === null) return;
    const from = addressIn(head.text('from') ?? '');
    const contact = head.text('contact');
    const address = contact === null ? null : addressIn(listIn(contact)[0] ?? '');
    const aor = plainUri(addressIn(to).uri);
    const epid = paramIn(from.params, 'epid');
    const key = `${aor}\n${epid ?? callId}`;
    const watched = this.#watched.get(key) ?? this.#open(key, aor);
    this.#pending.set(callId, watched);
    const { shown: row } = watched;
    if (address !== null) row.contact = this.#text(address.uri);
    row.userAgent = this.#optional(head.text('user-agent')) ?? row.userAgent;
    row.epid = this.#optional(epid) ?? row.epid;
    row.scheme = this.#optional(schemeOf(head.text('authorization') ?? head.text('proxy-authorization'))) ?? row.scheme;
    if (!watched.inForce && row.state !== 'challenged') row.state = 'pending';
    watched.requestedSeconds = secondsIn(address === null ? null : paramIn(address.params, 'expires')) ?? secondsIn(head.raw('expires'));
    watched.removesAll = address?.uri === '*';
  }

  /** A response to a REGISTER. `now` in milliseconds. */
  response(head: SipHead, now: number): void {
    const callId = head.raw('call-id');
    const watched = callId === null ? undefined : this.#pending.get(callId);
    if (callId === null || watched === undefined || head.status < 200) return;
    if (head.status === 401 || head.status === 407) {
      this.#challenged(watched, head);
      return;
    }
    this.#pending.delete(callId);
    if (head.status < 300) this.#accepted(watched, head, now);
    else if (!watched.inForce) {
      watched.shown.state = 'failed';
      this.#watched.delete(watched.key);
    }
  }

  /** Ends what has expired; answers when the next one will, null when none can. */
  sweep(now: number): number | null {
    let next: number | null = null;
    for (const watched of this.#watched.values()) {
      if (!watched.inForce) continue;
      if (watched.expiresAt <= now) this.#remove(watched);
      else if (next === null || watched.expiresAt < next) next = watched.expiresAt;
    }
    return next;
  }

  /** The connection is over: nothing here is in force any longer; what was last known stays shown. */
  close(): void {
    for (const watched of this.#watched.values()) this.#setInForce(watched, false);
  }

  #open(key: string, aor: string): Watched {
    const row: SipRegistration = {
      aor: this.#text(aor), contact: null, userAgent: null, expiresSeconds: 0, state: 'pending', scheme: null, epid: null, rounds: 0,
    };
    const watched: Watched = { key, shown: row, inForce: false, expiresAt: 0, requestedSeconds: null, removesAll: false };
    this.#watched.set(key, watched);
    show(this.#list, row, this.#limits.sessionDetailsMax, (item) => item.state === 'removed' || item.state === 'failed');
    return watched;
  }

  #challenged(watched: Watched, head: SipHead): void {
    const { shown: row } = watched;
    row.rounds = (row.rounds ?? 0) + 1;
    const offered = new Set([...head.all('www-authenticate'), ...head.all('proxy-authenticate')].map(schemeOf));
    row.offered = [...offered].flatMap((scheme) => (scheme === null ? [] : [this.#text(scheme)])).slice(0, schemesMax);
    if (!watched.inForce) row.state = 'challenged';
  }

  #accepted(watched: Watched, head: SipHead, now: number): void {
    if (watched.removesAll) {
      const { aor } = watched.shown;
      for (const other of this.#watched.values()) if (other.shown.aor === aor) this.#remove(other);
      return;
    }
    const seconds = grantedSeconds(head, watched.shown.contact) ?? watched.requestedSeconds ?? expiresDefaultSeconds;
    if (watched.requestedSeconds === 0 || seconds === 0) {
      this.#remove(watched);
      return;
    }
    watched.shown.expiresSeconds = seconds;
    watched.shown.state = 'registered';
    watched.expiresAt = now + seconds * 1000;
    this.#setInForce(watched, true);
    this.#sink.expires(watched.expiresAt);
  }

  #remove(watched: Watched): void {
    watched.shown.state = 'removed';
    watched.shown.expiresSeconds = 0;
    this.#setInForce(watched, false);
    this.#watched.delete(watched.key);
  }

  #setInForce(watched: Watched, inForce: boolean): void {
    if (watched.inForce === inForce) return;
    watched.inForce = inForce;
    this.#sink.changed(inForce ? 1 : -1);
  }

  #text(text: string): string {
    return shown(text, this.#limits.sessionTextBytesMax);
  }

  #optional(text: string | null): string | null {
    return text === null ? null : this.#text(text);
  }
}

/** Seconds the registrar grants our contact: its own binding's, else the Expires header's (RFC 3261 section 10.2.4). */
function grantedSeconds(head: SipHead, contact: string | null): number | null {
  const bindings = head.all('contact').flatMap(listIn).map(addressIn);
  const ours = bindings.find((binding) => contact !== null && plainUri(binding.uri) === plainUri(contact)) ?? (bindings.length === 1 ? bindings[0] : undefined);
  return secondsIn(ours === undefined ? null : paramIn(ours.params, 'expires')) ?? secondsIn(head.raw('expires'));
}

/** A delta-seconds value; null when absent or no number. */
export function secondsIn(value: string | null): number | null {
  return value !== null && /^\d{1,12}$/.test(value) ? Math.min(Number(value), expiresMaxSeconds) : null;
}

/** The scheme word of a challenge or of credentials. */
function schemeOf(value: string | null): string | null {
  return value === null ? null : (/^[\w-]{1,32}/.exec(value)?.[0] ?? null);
}
