// Walks the frames of a TURN stream chunk by chunk: MS-TURN over TCP (MS-TURN 2.1.4), RFC 8656 over TCP, and ssltcp's.
// Payload is counted through, never held; only a control message that spans chunks is gathered, within a bound. A frame it
// cannot read makes the rest of the stream opaque: it never throws and never ends a stream.

import { looksLike } from './codec.ts';
import { sessionNumber } from './multiplex.ts';
import { msCookie, rfcCookie, rtpHeaderBytes } from './names.ts';
import type { Dialect } from './names.ts';

/** How messages are put into the stream. */
export type Framing = 'ms' | 'rfc' | 'ssltcp';
/**
 * `control`: a control message is complete, or as much of it as is looked into. `data`: the head of a data frame was read, or a run of whole
 * data frames of one kind. `part`: bytes inside a frame. `opaque`: bytes that are no longer framed. `end`: the chunk is used up.
 */
export type Step = 'control' | 'data' | 'part' | 'opaque' | 'end';

export interface WalkerOptions {
  readonly framing: Framing;
  /** The stream begins with a client's pseudo hello. */
  readonly hello: boolean;
  /** Bytes of one control message that are looked into. */
  readonly messageBytesMax: number;
}

/** Enough for every head: 4 bytes of frame, 8 of session id, 28 up to the end of the cookie attribute. */
const headBytesMax = 40;
const empty = Buffer.alloc(0);

/** One direction's walker. After each step the fields tell what was met; `from` and `to` are offsets in the chunk. */
export class FrameWalker {
  from = 0;
  to = 0;
  /** control: the frame is `bytes` from `start` to `end`, as far as looked into: in the chunk itself where it lay in it whole. */
  bytes: Buffer = empty;
  start = 0;
  end = 0;
  /** control: bytes before the message; data: bytes before the payload. */
  headerBytes = 0;
  /** control: false when the frame is longer than is looked into. */
  whole = true;
  dialect: Dialect;
  /** data: frames and their payload, whether one looks like RTP, and the RFC channel (0 when there is none). */
  frames = 0;
  payloadBytes = 0;
  rtp = false;
  channel = 0;
  /** control and data: the session of a multiplexed connection as a number beyond all channels, 0 outside of one. */
  session = 0;
  /** Bytes of this frame from earlier chunks that no step showed as free to pass on: only ever a data frame's head. */
  carried: Buffer = empty;
  /** Why the stream stopped being framed, or null. */
  opaque: string | null = null;

  #framing: Framing;
  #hello: boolean;
  #first = true;
  readonly #messageBytesMax: number;
  #chunk: Buffer = empty;
  #at = 0;
  readonly #head = Buffer.alloc(headBytesMax);
  #headLength = 0;
  #left = 0;
  #held: Buffer | null = null;
  #heldLength = 0;
  #total = 0;

  constructor(options: WalkerOptions) {
    this.#framing = options.framing;
    this.#hello = options.hello;
    this.#messageBytesMax = options.messageBytesMax;
    this.dialect = options.framing === 'ms' ? 'ms' : 'rfc';
  }

  /** control: the message without its frame head, as a view. */
  get message(): Buffer {
    return this.bytes.subarray(this.start + this.headerBytes, this.end);
  }

  /** True between two frames: nothing of a frame has been read without its end. */
  get between(): boolean {
    return this.opaque === null && this.#left === 0 && this.#headLength === 0 && this.#held === null;
  }

  /** True while bytes of an unjudged frame are in hand: an incomplete head or control message. */
  get holding(): boolean {
    return this.#headLength > 0 || this.#held !== null;
  }

  /** The bytes in hand; they are the walker's no more. */
  release(): Buffer {
    const bytes = this.#held === null ? Buffer.from(this.#head.subarray(0, this.#headLength)) : this.#held.subarray(0, this.#heldLength);
    this.#held = null;
    this.#headLength = 0;
    return bytes;
  }

  /** Stops framing: every further byte is opaque, and what is in hand becomes `carried`. */
  giveUp(reason: string): void {
    if (this.holding) this.carried = this.release();
    this.opaque ??= reason;
  }

  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next thing in the chunk; call until 'end'. */
  next(): Step {
    const { length } = this.#chunk;
    if (this.#at >= length) return 'end';
    this.from = this.#at;
    if (this.opaque !== null) return this.#opaqueStep();
    if (this.#held !== null) return this.#gather();
    if (this.#left > 0) {
      const step = Math.min(this.#left, length - this.#at);
      this.#left -= step;
      return this.#moveTo(this.#at + step, 'part');
    }
    return this.#headLength === 0 ? this.#frameIn(this.#chunk, this.#at, length - this.#at, 0) : this.#headStep();
  }

  /** A frame head that began in an earlier chunk goes on in this one. */
  #headStep(): Step {
    const before = this.#headLength;
    const more = Math.min(headBytesMax - before, this.#chunk.length - this.#at);
    this.#chunk.copy(this.#head, before, this.#at, this.#at + more);
    return this.#frameIn(this.#head, 0, before + more, before);
  }

  /** Reads a frame head at `offset` of `bytes`; `before` bytes of the frame are from earlier chunks. */
  #frameIn(bytes: Buffer, offset: number, available: number, before: number): Step {
    const kind = this.#read(bytes, offset, available);
    if (kind === 'more') {
      if (before === 0) bytes.copy(this.#head, 0, offset, offset + available);
      this.#headLength = available;
      return this.#moveTo(this.#chunk.length, 'part');
    }
    if (kind !== 'hello') this.#first = false;
    this.#headLength = 0;
    this.carried = before === 0 ? empty : Buffer.from(this.#head.subarray(0, before));
    if (kind === 'bad') {
      this.giveUp('a frame that cannot be read');
      return this.#opaqueStep();
    }
    if (kind === 'control') return this.#controlStep(before);
    const step = Math.min(this.#total - before, this.#chunk.length - this.#at);
    this.#left = this.#total - before - step;
    if (kind === 'hello') return this.#moveTo(this.#at + step, 'part');
    return this.#moveTo(before === 0 && this.#left === 0 && this.headerBytes === 4 ? this.#run(this.#at + step) : this.#at + step, 'data');
  }

  /** Media comes in runs: whole frames that begin as the one just read are counted in one go. Answers where they end. */
  #run(at: number): number {
    const bytes = this.#chunk;
    const first = bytes[this.#at];
    const second = bytes[this.#at + 1];
    const roundUp = this.#framing === 'rfc' ? 3 : 0;
    let from = at;
    while (from + 4 <= bytes.length && bytes[from] === first && bytes[from + 1] === second) {
      const length = ((bytes[from + 2] ?? 0) << 8) | (bytes[from + 3] ?? 0);
      const next = from + 4 + ((length + roundUp) & ~roundUp);
      if (next > bytes.length) break;
      this.frames += 1;
      this.payloadBytes += length;
      if (length >= rtpHeaderBytes && ((bytes[from + 4] ?? 0) & 0xc0) === 0x80) this.rtp = true;
      from = next;
    }
    return from;
  }

  #controlStep(before: number): Step {
    const want = Math.min(this.#total, this.headerBytes + this.#messageBytesMax);
    this.whole = want === this.#total;
    if (before === 0 && this.#chunk.length - this.#at >= want) {
      this.bytes = this.#chunk;
      this.start = this.#at;
      this.end = this.#at + want;
      this.#left = this.#total - want;
      return this.#moveTo(this.#at + want, 'control');
    }
    this.#held = Buffer.allocUnsafe(want);
    this.#heldLength = this.carried.copy(this.#held);
    this.carried = empty;
    return this.#gather();
  }

  #gather(): Step {
    const held = this.#held ?? empty;
    const step = Math.min(held.length - this.#heldLength, this.#chunk.length - this.#at);
    this.#chunk.copy(held, this.#heldLength, this.#at, this.#at + step);
    this.#heldLength += step;
    if (this.#heldLength < held.length) return this.#moveTo(this.#at + step, 'part');
    this.bytes = held;
    this.start = 0;
    this.end = held.length;
    this.#held = null;
    this.#left = this.#total - held.length;
    return this.#moveTo(this.#at + step, 'control');
  }

  #opaqueStep(): Step {
    return this.#moveTo(this.#chunk.length, 'opaque');
  }

  #moveTo(at: number, step: Step): Step {
    this.#at = at;
    this.to = at;
    return step;
  }

  #read(bytes: Buffer, at: number, available: number): 'more' | 'bad' | 'control' | 'data' | 'hello' {
    if (this.#hello) return this.#readHello(bytes, at, available);
    if (this.#framing === 'ms') return this.#readMs(bytes, at, available);
    return this.#framing === 'rfc' ? this.#readRfc(bytes, at, available) : this.#readSsltcp(bytes, at, available);
  }

  /** The hello is its own record: detection has judged it, here it is only passed over. */
  #readHello(bytes: Buffer, at: number, available: number): 'more' | 'hello' {
    if (available < 5) return 'more';
    this.#hello = false;
    // An SSLv2-style record (ssltcp) has a 15-bit length in its first two bytes.
    this.#total = bytes.readUInt8(at) === 0x16 ? 5 + bytes.readUInt16BE(at + 3) : Math.max(5, 2 + (bytes.readUInt16BE(at) & 0x7fff));
    return 'hello';
  }

  #readMs(bytes: Buffer, at: number, available: number): 'more' | 'bad' | 'control' | 'data' {
    if (available < 4) return 'more';
    const length = bytes.readUInt16BE(at + 2);
    this.#total = 4 + length;
    this.headerBytes = 4;
    this.session = 0;
    switch (bytes.readUInt16BE(at)) {
      case 0x0200:
        return length < 20 ? 'bad' : 'control';
      case 0x0300:
        return this.#dataHead(bytes, at, available);
      case 0xff10:
        if (length < 8) return 'bad';
        this.headerBytes = 12; // Not 4: these frames never run, as each has its own session id.
        if (available < 12 + Math.min(28, length - 8)) return 'more';
        this.session = sessionNumber(bytes, at + 4);
        return length - 8 >= 28 && looksLike('ms', bytes, at + 12) ? 'control' : this.#dataHead(bytes, at, available);
      default:
        return 'bad';
    }
  }

  /** RFC 8656 section 3.1 and 12.5: STUN messages and ChannelData, the latter padded to 4 bytes on streams. */
  #readRfc(bytes: Buffer, at: number, available: number): 'more' | 'bad' | 'control' | 'data' {
    const first = bytes.readUInt8(at);
    if (first > 0x7f) return 'bad';
    if (first > 0x3f) {
      if (available < 4) return 'more';
      const length = bytes.readUInt16BE(at + 2);
      this.headerBytes = 4;
      this.#total = 4 + ((length + 3) & ~3);
      const kind = this.#dataHead(bytes, at, available, length);
      this.channel = bytes.readUInt16BE(at);
      return kind;
    }
    if (available < 8) return 'more';
    const length = bytes.readUInt16BE(at + 2);
    this.headerBytes = 0;
    this.#total = 20 + length;
    return bytes.readUInt32BE(at + 4) !== rfcCookie || length % 4 !== 0 ? 'bad' : 'control';
  }

  /** Two bytes of length, then STUN of either dialect or media. Some peers frame as RFC 8656 does: the cookie's place tells. */
  #readSsltcp(bytes: Buffer, at: number, available: number): 'more' | 'bad' | 'control' | 'data' {
    if (available < (this.#first ? 8 : 2)) return 'more';
    const length = bytes.readUInt16BE(at);
    if (this.#first && bytes.readUInt32BE(at + 4) === rfcCookie) {
      this.#framing = 'rfc';
      return this.#readRfc(bytes, at, available);
    }
    // The eight bytes that told would reach beyond so short a frame; nobody begins with one.
    if (this.#first && length < 6) return 'bad';
    if (available < 2 + Math.min(28, length)) return 'more';
    this.headerBytes = 2;
    this.#total = 2 + length;
    const isRfc = length >= 20 && looksLike('rfc', bytes, at + 2);
    const isMs = !isRfc && length >= 28 && bytes.readUInt32BE(at + 26) === msCookie && looksLike('ms', bytes, at + 2);
    this.dialect = isMs ? 'ms' : 'rfc';
    return isRfc || isMs ? 'control' : this.#dataHead(bytes, at, available);
  }

  /** A data frame's facts; its first payload byte must be there, so that what is seen does not hang on the split. */
  #dataHead(bytes: Buffer, at: number, available: number, length = this.#total - this.headerBytes): 'more' | 'data' {
    if (length > 0 && available <= this.headerBytes) return 'more';
    this.frames = 1;
    this.payloadBytes = length;
    // Version 2 in the first two bits: RTP, as RFC 7983 tells it from STUN, DTLS and channels.
    this.rtp = length >= rtpHeaderBytes && ((bytes[at + this.headerBytes] ?? 0) & 0xc0) === 0x80;
    this.channel = 0;
    return 'data';
  }
}
