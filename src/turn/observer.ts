// Fills a session's TURN details from the messages and data frames of both directions, and moves the TURN meters.
// It never touches bytes on their way and keeps nothing beyond its bounds (allocations, peers, pending requests).

import { createHash } from 'node:crypto';
import type { Session, TurnAllocation, TurnDetails } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import { addressesOf, peerOf } from './addresses.ts';
import { attributeOf, decodeMessage, errorOf, numberOf } from './codec.ts';
import type { TurnMessage } from './codec.ts';
import { isSession } from './multiplex.ts';
import { messageName, msAttributes, rfcAttributes } from './names.ts';
import type { Dialect, TurnMessageName } from './names.ts';
import { DataRates, noRate } from './rates.ts';
import { PeerTraffic, activeChannel } from './traffic.ts';
import type { Toward } from './traffic.ts';

interface Allocation {
  /** The session of a multiplexed connection, else activeChannel. */
  readonly session: number;
  readonly shown: TurnAllocation;
  /** Milliseconds since the epoch; Infinity while not allocated. */
  expiresAtMs: number;
}

/** A request whose response is awaited. */
interface Pending {
  readonly name: TurnMessageName;
  readonly allocation: Allocation | null;
  readonly peer: string | null;
  readonly channel: number;
  readonly frees: boolean;
}

/** What a server grants when it does not say (RFC 8656 section 3.2). */
const usualLifetimeSeconds = 600;

/** Watches one TURN connection. `session.details.turn` is its output and stays readable after `end`. */
export class TurnObserver {
  readonly details: TurnDetails = {
    allocations: [], peers: {}, messages: {}, dataFrames: { toUpstream: 0, toClient: 0 }, dataBytes: { toUpstream: 0, toClient: 0 },
    dataRates: { toUpstream: noRate(), toClient: noRate() }, errors: {}, version: null, activeDestination: null, rtpSeen: false, opaque: null,
  };
  readonly #session: Session;
  readonly #limits: Limits;
  readonly #meter: Meter;
  readonly #clock: () => number;
  readonly #allocations: Allocation[] = [];
  readonly #pending = new Map<string, Pending>();
  /** What was put into the meters already. */
  readonly #flushed = { messages: new Map<string, number>(), toUpstream: 0, toClient: 0 };
  readonly #traffic: PeerTraffic;
  readonly #rates: DataRates;

  constructor(session: Session, limits: Limits, meter: Meter, clock: () => number) {
    this.#session = session;
    this.#limits = limits;
    this.#meter = meter;
    this.#clock = clock;
    this.#traffic = new PeerTraffic(this.details, limits, meter);
    this.#rates = new DataRates(this.details, clock());
    session.details.turn = this.details;
  }

  /**
   * The control message at `start` of `bytes`; `session` as the walker numbers the sessions of a multiplexed connection. Answers true when the
   * stream carries no more frames after it (RFC 6062 ConnectionBind).
   */
  control(bytes: Buffer, start: number, end: number, dialect: Dialect, toward: Toward, session = activeChannel): boolean {
    const name = messageName(dialect, bytes.readUInt16BE(start));
    this.#count(name);
    if (name === 'data-indication' || name === 'send' || name === 'send-indication') {
      this.#traffic.relayed(bytes, start, end, dialect, toward);
      return false;
    }
    const message = decodeMessage(bytes.subarray(start, end), dialect);
    if (message === null) return false;
    if (dialect === 'ms') this.details.version = numberOf(message, msAttributes['ms-version']) ?? this.details.version;
    if (toward === 'toUpstream') this.#request(message, session);
    else return this.#response(message);
    return false;
  }

  /** Data frames: MS-TURN type 03, ChannelData, multiplexed (`channel` is the session's number) or ssltcp media. */
  data(frames: number, payloadBytes: number, rtp: boolean, channel: number, toward: Toward): void {
    this.#count(channel === activeChannel || isSession(channel) ? 'data-frame' : 'channel-data', frames);
    if (rtp) this.details.rtpSeen = true;
    this.#traffic.frames(frames, channel, payloadBytes, toward);
  }

  /** A message of either side that a rule stopped. */
  denied(rule: string): void {
    this.details.denied = { messages: (this.details.denied?.messages ?? 0) + 1, rule };
  }

  /** A request that policy refused: it never reaches the server. */
  refused(bytes: Buffer, dialect: Dialect, code: number, session = activeChannel): void {
    const name = messageName(dialect, bytes.readUInt16BE(0));
    this.#count(name);
    if (name !== 'allocate') return;
    const allocation = this.#current(session);
    if (allocation === null || allocation.shown.result === 'allocated') return;
    allocation.shown.result = 'failed';
    allocation.shown.errorCode = code;
  }

  /** One direction is no longer framed, and why. */
  opaque(reason: string): void {
    this.details.opaque ??= reason;
  }

  /** Ends allocations whose lifetime is over and brings the meters up to date; to be called now and then. */
  tick(): void {
    const now = this.#clock();
    for (const allocation of this.#allocations) {
      if (allocation.shown.result === 'allocated' && allocation.expiresAtMs <= now) this.#leave(allocation, 'freed');
    }
    this.#rates.tick(now);
    this.#flush();
  }

  /** The flow is over: what is still allocated leaves the gauge, though the record keeps what it was. */
  end(): void {
    for (const allocation of this.#allocations) {
      if (allocation.shown.result === 'allocated') this.#meter.add('turn_allocations', [this.#session.protocol], -1);
      allocation.expiresAtMs = Infinity;
    }
    this.#allocations.length = 0;
    this.#pending.clear();
    this.#rates.end(this.#clock());
    this.#flush();
  }

  #count(name: TurnMessageName, step = 1): void {
    this.details.messages[name] = (this.details.messages[name] ?? 0) + step;
  }

  #countError(message: TurnMessage): void {
    const code = errorOf(message)?.code;
    const { errors } = this.details;
    // Three digits, the first of them at most 7: a table of its own bounds.
    if (code !== undefined) errors[code] = (errors[code] ?? 0) + 1;
  }

  // ---- Requests and responses

  #request(message: TurnMessage, session: number): void {
    const { name, dialect } = message;
    const asked = numberOf(message, msAttributes.lifetime);
    if (name === 'allocate') {
      const allocation = this.#current(session);
      if (allocation === null) return;
      if (allocation.shown.result === 'challenged') allocation.shown.result = 'pending';
      this.#credentials(message, allocation.shown);
      this.#wait(message, { name, allocation, peer: null, channel: session, frees: asked === 0 });
    } else if (name === 'refresh') {
      this.#wait(message, { name, allocation: this.#current(session), peer: null, channel: session, frees: asked === 0 });
    } else if (name === 'set-active-destination' || name === 'channel-bind') {
      const channel = dialect === 'rfc' ? (attributeOf(message, rfcAttributes['channel-number']) ?? empty) : empty;
      this.#wait(message, { name, allocation: null, peer: peerOf(message), channel: channel.length >= 2 ? channel.readUInt16BE(0) : session, frees: false });
    }
  }

  #response(message: TurnMessage): boolean {
    if (message.name === 'connection-bind-response') return true;
    if (message.name.endsWith('-error')) this.#countError(message);
    const key = message.transaction.toString('latin1');
    const pending = this.#pending.get(key);
    if (pending === undefined) return false;
    this.#pending.delete(key);
    const { allocation } = pending;
    if (message.name === `${pending.name}-error`) {
      if (allocation !== null) this.#refusedByServer(allocation, message);
      return false;
    }
    if (message.name !== `${pending.name}-response`) return false;
    if (allocation !== null) this.#granted(allocation, message, pending.frees);
    if (pending.peer === null) return false;
    if (pending.name === 'set-active-destination') this.details.activeDestination = pending.peer;
    this.#traffic.bind(pending.channel, pending.peer);
    return false;
  }

  #granted(allocation: Allocation, message: TurnMessage, frees: boolean): void {
    const { shown } = allocation;
    const lifetime = numberOf(message, msAttributes.lifetime);
    shown.lifetimeSeconds = lifetime ?? shown.lifetimeSeconds ?? (frees ? 0 : usualLifetimeSeconds);
    shown.bandwidth = numberOf(message, msAttributes.bandwidth) ?? shown.bandwidth;
    const { relayed, reflexive } = addressesOf(message);
    shown.relayed = relayed ?? shown.relayed;
    shown.reflexive = reflexive ?? shown.reflexive;
    shown.errorCode = null;
    if (frees || lifetime === 0) {
      this.#leave(allocation, 'freed');
      return;
    }
    allocation.expiresAtMs = this.#clock() + shown.lifetimeSeconds * 1000;
    if (shown.result === 'allocated') return;
    shown.result = 'allocated';
    this.#meter.add('turn_allocations', [this.#session.protocol], 1);
  }

  /** 401 and 438 ask for another try with (fresh) credentials; a refresh that fails leaves the allocation as it was. */
  #refusedByServer({ shown }: Allocation, message: TurnMessage): void {
    const error = errorOf(message);
    const realm = attributeOf(message, message.dialect === 'ms' ? msAttributes.realm : rfcAttributes.realm);
    if (realm !== null) shown.realm ??= this.#text(realm);
    shown.errorCode = error?.code ?? null;
    if (shown.result === 'allocated') return;
    shown.result = error?.code === 401 || error?.code === 438 ? 'challenged' : 'failed';
  }

  #leave(allocation: Allocation, result: 'freed'): void {
    if (allocation.shown.result === 'allocated') this.#meter.add('turn_allocations', [this.#session.protocol], -1);
    allocation.shown.result = result;
    allocation.expiresAtMs = Infinity;
  }

  /** The allocation a request is about: a connection, or a session of a multiplexed one, has one at a time (RFC 8656 section 3.2); after its end comes a new one. */
  #current(session: number): Allocation | null {
    const last = this.#allocations.findLast((allocation) => allocation.session === session);
    if (last !== undefined && last.shown.result !== 'failed' && last.shown.result !== 'freed') return last;
    const bound = Math.min(this.#limits.turnAllocationsMax, this.#limits.sessionDetailsMax);
    if (this.#allocations.length >= bound) {
      this.#meter.add('limits_hit_total', ['turnAllocationsMax']);
      return null;
    }
    const shown: TurnAllocation = {
      relayed: null, reflexive: null, realm: null, user: null, lifetimeSeconds: null, bandwidth: null, result: 'pending', errorCode: null,
    };
    this.#allocations.push({ session, shown, expiresAtMs: Infinity });
    this.details.allocations.push(shown);
    return this.#allocations.at(-1) ?? null;
  }

  #wait(message: TurnMessage, pending: Pending): void {
    if (this.#pending.size >= this.#limits.turnPendingMax) {
      // The oldest is the least likely to be answered still.
      for (const oldest of this.#pending.keys()) {
        this.#pending.delete(oldest);
        break;
      }
      this.#meter.add('limits_hit_total', ['turnPendingMax']);
    }
    this.#pending.set(message.transaction.toString('latin1'), pending);
  }

  #credentials(message: TurnMessage, shown: TurnAllocation): void {
    const realm = attributeOf(message, message.dialect === 'ms' ? msAttributes.realm : rfcAttributes.realm);
    if (realm !== null) shown.realm = this.#text(realm);
    const user = attributeOf(message, msAttributes.username);
    const hash = message.dialect === 'rfc' ? attributeOf(message, rfcAttributes.userhash) : null;
    if (user !== null) shown.user = this.#text(user);
    else if (hash !== null) shown.user = hash.toString('hex').slice(0, 2 * sha256Bytes);
  }

  /** Text where it is printable and short enough, else the SHA-256 of its bytes: MRAS user names are binary. */
  #text(bytes: Buffer): string {
    const text = bytes.toString('utf8');
    const printable = bytes.length <= this.#limits.sessionTextBytesMax && !/[\p{C}\uFFFD]/u.test(text);
    return printable ? text : createHash('sha256').update(bytes).digest('hex');
  }

  #flush(): void {
    const { protocol } = this.#session;
    for (const [name, total] of Object.entries(this.details.messages)) {
      const step = total - (this.#flushed.messages.get(name) ?? 0);
      if (step === 0) continue;
      this.#flushed.messages.set(name, total);
      this.#meter.add('turn_messages_total', [protocol, name], step);
    }
    for (const toward of ['toUpstream', 'toClient'] as const) {
      const step = this.details.dataBytes[toward] - this.#flushed[toward];
      if (step === 0) continue;
      this.#flushed[toward] += step;
      this.#meter.add('turn_relayed_bytes_total', [protocol, toward], step);
    }
  }
}

const empty = Buffer.alloc(0);
const sha256Bytes = 32;
