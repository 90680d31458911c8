// The relay's taps for TURN, one per direction: hold the server's pseudo hello until it can leave in one write, walk frames,
// observe, and judge control messages by policy. Bytes pass unmodified; without rules nothing but that hello is ever held.

import { FlowError } from '../core/errors.ts';
import type { Session } from '../core/session.ts';
import type { Policy } from '../core/verdicts.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import type { Judgement, Tap } from '../core/relay.ts';
import { FrameWalker } from './frames.ts';
import type { Framing } from './frames.ts';
import type { HelloAnswer } from './hello.ts';
import type { TurnObserver } from './observer.ts';
import { Judge } from './judge.ts';
import type { Toward } from './traffic.ts';

/** What both taps of a connection share. */
export interface TapParts {
  readonly session: Session;
  readonly policy: Policy;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly observer: TurnObserver;
  readonly framing: Framing;
  /** The client begins with a pseudo hello. */
  readonly hello: boolean;
  /** Reads the server's hello when one is expected. */
  readonly serverHello: ((bytes: Buffer) => HelloAnswer) | null;
}

/** The taps of one connection: what comes from the client, and what comes from upstream. */
export function turnTaps(parts: TapParts): { readonly client: TurnTap; readonly upstream: TurnTap } {
  const client = new TurnTap(parts, 'toUpstream');
  const upstream = new TurnTap(parts, 'toClient');
  client.other = upstream;
  upstream.other = client;
  return { client, upstream };
}

const empty = Buffer.alloc(0);
const noHello = 'the server did not answer in pseudo-TLS';
const dataConnection = 'a TCP data connection (RFC 6062)';
const hold: Judgement = { forward: null, boundary: -1, answer: null, close: null };

/** One direction. */
export class TurnTap implements Tap {
  readonly retainsChunks = false;
  other: TurnTap | null = null;
  readonly #parts: TapParts;
  readonly #toward: Toward;
  readonly #walker: FrameWalker;
  readonly #judge: Judge | null;
  /** Bytes of the server's hello so far; null when none is awaited (any more). */
  #hello: Buffer | null;
  /** The frame being read was refused: the rest of it is dropped. */
  #dropping = false;
  /** Rules have let the unframed stream pass, or need not. */
  #opaqueAllowed: boolean;

  constructor(parts: TapParts, toward: Toward) {
    this.#parts = parts;
    this.#toward = toward;
    this.#walker = new FrameWalker({
      framing: parts.framing, hello: parts.hello && toward === 'toUpstream', messageBytesMax: parts.limits.turnMessageBytesMax,
    });
    this.#hello = parts.serverHello !== null && toward === 'toClient' ? empty : null;
    this.#judge = parts.policy.has('turn') ? new Judge(parts, toward) : null;
    this.#opaqueAllowed = this.#judge === null;
  }

  get betweenFrames(): boolean {
    if (this.#hello !== null || !this.framed) return false;
    return this.#walker.between || (this.#judge !== null && (this.#walker.holding || this.#dropping));
  }

  /** Whether frames of our own may still be put into this direction. */
  get framed(): boolean {
    return this.#walker.opaque === null;
  }

  push(chunk: Buffer): Judgement | 'pass' {
    if (this.#hello !== null) return this.#pushHello(this.#hello, chunk);
    if (!this.framed && this.#opaqueAllowed && (this.#judge === null || this.#walker.carried.length === 0)) return 'pass';
    return this.#judge === null ? this.#observe(chunk) : this.#judged(chunk, this.#judge);
  }

  end(): Buffer | null {
    if (this.#judge !== null && this.#walker.holding) this.#walker.carried = this.#walker.release();
    // Without rules what is in the walker's hands has left already.
    const bytes = this.#hello ?? (this.#judge === null ? empty : this.#walker.carried);
    this.#hello = null;
    this.#walker.carried = empty;
    return bytes.length === 0 || (!this.framed && !this.#opaqueAllowed) ? null : bytes;
  }

  /** The direction is no longer framed; an operator sees the first reason. `allowed`: rules have no say in what follows. */
  giveUp(reason: string, allowed: boolean): void {
    this.#walker.giveUp(reason);
    this.#opaqueAllowed ||= allowed;
    this.#parts.observer.opaque(reason);
  }

  /**
   * Holds the server's pseudo hello until it is whole: libnice 0.1.21 reads once and gives up when it gets less
   * (FACTS A.6). Anything that is not that hello leaves at once, unwatched.
   */
  #pushHello(held: Buffer, chunk: Buffer): Judgement | 'pass' {
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const answer = this.#parts.serverHello?.(bytes) ?? 'no';
    if (answer === 'more' && bytes.length < this.#parts.limits.turnMessageBytesMax) {
      this.#hello = Buffer.from(bytes);
      return hold;
    }
    this.#hello = null;
    if (typeof answer === 'string') {
      this.giveUp(noHello, false);
      this.other?.giveUp(noHello, false);
      return this.#judge === null ? forwarded(bytes) : this.#judged(bytes, this.#judge);
    }
    const rest = bytes.subarray(answer.bytes);
    const judgement = rest.length === 0 ? 'pass' : this.push(rest);
    if (judgement === 'pass') return forwarded(bytes);
    const parts = [bytes.subarray(0, answer.bytes), judgement.forward ?? empty];
    return { ...judgement, forward: Buffer.concat(parts), boundary: answer.bytes + Math.max(0, judgement.boundary) };
  }

  /** No rules: everything passes as it came. */
  #observe(chunk: Buffer): 'pass' {
    const walker = this.#walker;
    walker.feed(chunk);
    for (;;) {
      switch (walker.next()) {
        case 'data':
          this.#data();
          break;
        case 'control':
          this.#control();
          break;
        case 'opaque':
          this.#parts.observer.opaque(walker.opaque ?? noHello);
          return 'pass';
        case 'part':
          break;
        case 'end':
          return 'pass';
      }
    }
  }

  #data(): void {
    const { frames, payloadBytes, rtp, channel, session } = this.#walker;
    this.#parts.observer.data(frames, payloadBytes, rtp, session === 0 ? channel : session, this.#toward);
  }

  /** Rules are asked once whether an unframed stream may pass. */
  #allowsOpaque(judge: Judge): boolean {
    this.#parts.observer.opaque(this.#walker.opaque ?? noHello);
    this.#opaqueAllowed ||= judge.opaqueAllowed();
    return this.#opaqueAllowed;
  }

  /** Shows a control message to the observer. */
  #control(): void {
    const { observer, meter } = this.#parts;
    const walker = this.#walker;
    if (!walker.whole) meter.add('limits_hit_total', ['turnMessageBytesMax']);
    if (!observer.control(walker.bytes, walker.start + walker.headerBytes, walker.end, walker.dialect, this.#toward, walker.session)) return;
    this.giveUp(dataConnection, true);
    this.other?.giveUp(dataConnection, true);
  }

  /** With rules: control frames are held until judged, the rest passes at once. */
  #judged(chunk: Buffer, judge: Judge): Judgement {
    const walker = this.#walker;
    const out = new Outgoing(chunk);
    const answers: Buffer[] = [];
    let close: FlowError | null = null;
    walker.feed(chunk);
    for (let step = walker.next(); step !== 'end'; step = walker.next()) {
      if (step === 'opaque' && !this.#allowsOpaque(judge)) {
        close = new FlowError('TURN_MALFORMED', walker.opaque);
        break;
      }
      this.#passCarried(out);
      const refusal = step === 'control' ? judge.control(walker) : null;
      if (refusal !== null) {
        this.#dropping = true;
        if (refusal.answer !== null && this.other?.framed !== false) answers.push(refusal.answer);
        if (!walker.whole) {
          this.#parts.meter.add('limits_hit_total', ['turnMessageBytesMax']);
          close = new FlowError('TURN_TOO_LARGE', `a message of more than ${this.#parts.limits.turnMessageBytesMax} bytes`);
          break;
        }
      } else if (step === 'control') {
        this.#control();
        out.frame(walker);
      } else if (!walker.holding && !this.#dropping) {
        if (step === 'data') this.#data();
        out.region(walker.from, walker.to);
      }
      if (!walker.between) continue;
      this.#dropping = false;
      out.frameEnd();
    }
    return { forward: out.bytes(), boundary: out.boundary, answer: answers.length === 0 ? null : Buffer.concat(answers), close };
  }

  /** The head of a data frame that came in an earlier chunk and was held while it could have been a control message's. */
  #passCarried(out: Outgoing): void {
    if (this.#walker.carried.length > 0) out.piece(this.#walker.carried);
    this.#walker.carried = empty;
  }
}

function forwarded(bytes: Buffer): Judgement {
  return { forward: bytes, boundary: bytes.length, answer: null, close: null };
}

/** What leaves of one chunk: runs of the chunk itself and frames gathered before, joined only when there is more than one. */
class Outgoing {
  readonly #chunk: Buffer;
  readonly #pieces: Buffer[] = [];
  #runFrom = 0;
  #runTo = 0;
  #length = 0;
  /** Offset of the last frame end in what leaves, -1 for none. */
  boundary = -1;

  constructor(chunk: Buffer) {
    this.#chunk = chunk;
  }

  region(from: number, to: number): void {
    if (this.#runTo !== from || this.#runFrom === this.#runTo) this.#closeRun(from);
    this.#runTo = to;
    this.#length += to - from;
  }

  piece(bytes: Buffer): void {
    this.#closeRun(this.#runTo);
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** A judged control frame: part of the chunk where it lay in it whole. */
  frame(walker: FrameWalker): void {
    if (walker.bytes === this.#chunk) this.region(walker.start, walker.end);
    else this.piece(walker.bytes);
  }

  frameEnd(): void {
    this.boundary = this.#length;
  }

  bytes(): Buffer | null {
    if (this.#pieces.length === 0 && this.#runFrom < this.#runTo) return this.#chunk.subarray(this.#runFrom, this.#runTo);
    this.#closeRun(this.#runTo);
    if (this.#pieces.length === 0) return null;
    return this.#pieces.length === 1 ? (this.#pieces[0] ?? null) : Buffer.concat(this.#pieces);
  }

  #closeRun(next: number): void {
    if (this.#runFrom < this.#runTo) this.#pieces.push(this.#chunk.subarray(this.#runFrom, this.#runTo));
    this.#runFrom = next;
    this.#runTo = next;
  }
}
