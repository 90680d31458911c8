// Cuts a SIP byte stream into messages (RFC 3261 sections 7.5 and 18.3): blank lines, head, body. Sans-I/O: any split of
// the bytes gives the same messages. It never guesses: where two parties could see different message ends it stops.

import type { Limits } from '../core/limits.ts';
import { malformed, tooLarge } from './faults.ts';
import type { FramingFault } from './faults.ts';
import { contentLengthId, headerIdOf, SipHead } from './headers.ts';
import { numberIn, pastBlanks, pastColon, readStartLine, tokenEnd } from './start-line.ts';

/**
 * What the framer met. `blank`: line ends between messages. `head`: a whole head, in `head`. `body`: a piece of its body.
 * `more`: the chunk is used up. `fault`: the stream cannot be framed without doubt; it stays so.
 */
export type Step = 'blank' | 'head' | 'body' | 'more' | 'fault';

type State = 'between' | 'head' | 'body' | 'failed';
type Scan = 'more' | 'head' | 'fault';

const cr = 13;
const lf = 10;
const space = 32;
const tab = 9;
const backslash = 92;
const lineEndBytes = 2;
/** A head in pieces is taken from a chunk in steps of this size, so that what follows it is hardly copied in vain. */
const copyStepBytes = 2048;

/** Frames one direction. Feed a chunk, then call `next` until it says 'more'. Holds at most one head, within its limits. */
export class SipFramer {
  readonly head: SipHead;
  /** The chunk's part [from, to) that the last step took. */
  from = 0;
  to = 0;
  /** Offset in the chunk of a head's first byte while the head is not whole; 0 when it began in an earlier chunk. */
  headFrom = 0;
  /** Whether the last step began a head, whole or not. */
  headBegins = false;
  /** Bytes of the last whole head that earlier chunks brought. */
  earlierBytes = 0;
  /** Body bytes of the current message, and how many are still to come. */
  bodyBytes = 0;
  bodyLeft = 0;
  fault: FramingFault | null = null;

  readonly #limits: Limits;
  #state: State = 'between';
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  /** A CR between messages whose LF has not come yet. */
  #halfBlank = false;
  /** Line ends met since the last message or count. */
  #blankLines = 0;
  #held: Buffer | null = null;
  #heldBytes = 0;
  // The scan of the head so far, in offsets from its first byte.
  #scanned = 0;
  #lineStart = 0;
  #length = -1;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.head = new SipHead(limits.sipHeadersMax);
  }

  /** Between two messages, no byte of a next one seen. */
  get idle(): boolean {
    return this.#state === 'between' && !this.#halfBlank;
  }

  /** In a head that is not whole yet. */
  get inHead(): boolean {
    return this.#state === 'head';
  }

  /** The bytes of a head that is not whole yet, those of earlier chunks included. Null outside a head. */
  get held(): Buffer | null {
    return this.#state === 'head' && this.#held !== null ? this.#held.subarray(0, this.#heldBytes) : null;
  }

  /** Gives the next chunk. It is only looked at until `next` answers 'more'. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
    this.from = 0;
    this.to = 0;
    this.headFrom = 0;
  }

  next(): Step {
    this.headBegins = false;
    switch (this.#state) {
      case 'between':
        return this.#between();
      case 'head':
        return this.#headOn();
      case 'body':
        return this.#body();
      case 'failed':
        return 'fault';
    }
  }

  /** Double line ends since the last call: keep-alive pings (RFC 5626 section 4.4.1). Runs across chunks count whole. */
  takePings(): number {
    const pings = this.#blankLines >> 1;
    this.#blankLines &= 1;
    return pings;
  }

  #between(): Step {
    const chunk = this.#chunk;
    const start = this.#at;
    let at = start;
    while (at < chunk.length) {
      const byte = chunk[at];
      if (this.#halfBlank) {
        // What came before is told first, so that the fault stands alone at every split.
        if (byte !== lf && at > start) break;
        if (byte !== lf) return this.#fail(malformed('a lone CR between messages'));
        this.#halfBlank = false;
        this.#blankLines += 1;
      } else if (byte === cr) this.#halfBlank = true;
      else break;
      at += 1;
    }
    this.#at = at;
    if (at > start) return this.#step('blank', start, at);
    if (at === chunk.length) return 'more';
    this.#blankLines = 0;
    this.#state = 'head';
    this.#scanned = 0;
    this.#lineStart = 0;
    this.#length = -1;
    this.#held = null;
    this.#heldBytes = 0;
    this.earlierBytes = 0;
    this.headFrom = at;
    this.headBegins = true;
    this.head.reset();
    return this.#headOn();
  }

  /** Goes on with a head: in the chunk where it is whole there, else in a buffer of its own. */
  #headOn(): Step {
    if (this.#held !== null) return this.#headInPieces(this.#held);
    const start = this.#at;
    this.head.place(this.#chunk, start);
    const scan = this.#scan(this.#chunk, start, this.#chunk.length - start);
    if (scan === 'fault') return 'fault';
    if (scan === 'head') return this.#headDone(start, start + this.head.bytesLength);
    this.#hold(start, this.#chunk.length);
    this.#at = this.#chunk.length;
    return 'more';
  }

  #headInPieces(before: Buffer): Step {
    const earlier = this.#heldBytes;
    let held = before;
    for (let at = 0; at < this.#chunk.length;) {
      const to = Math.min(at + copyStepBytes, this.#chunk.length);
      held = this.#hold(at, to);
      this.head.place(held, 0);
      const scan = this.#scan(held, 0, this.#heldBytes);
      if (scan === 'fault') return 'fault';
      if (scan === 'head') {
        this.earlierBytes = earlier;
        return this.#headDone(0, this.head.bytesLength - earlier);
      }
      at = to;
    }
    this.#at = this.#chunk.length;
    return 'more';
  }

  /** Appends part of the chunk to the held head; the buffer doubles, and its size is bounded by what #scan lets through. */
  #hold(from: number, to: number): Buffer {
    const needed = this.#heldBytes + to - from;
    let held = this.#held;
    if (held === null || held.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(copyStepBytes, 2 ** Math.ceil(Math.log2(needed))));
      held?.copy(larger, 0, 0, this.#heldBytes);
      held = larger;
      this.#held = held;
    }
    this.#chunk.copy(held, this.#heldBytes, from, to);
    this.#heldBytes = needed;
    return held;
  }

  #headDone(from: number, to: number): Step {
    this.#at = to;
    this.#held = null;
    this.bodyBytes = this.#length;
    this.bodyLeft = this.#length;
    this.#state = this.#length > 0 ? 'body' : 'between';
    return this.#step('head', from, to);
  }

  #body(): Step {
    const start = this.#at;
    const taken = Math.min(this.bodyLeft, this.#chunk.length - start);
    if (taken === 0) return 'more';
    this.bodyLeft -= taken;
    this.#at = start + taken;
    if (this.bodyLeft === 0) this.#state = 'between';
    return this.#step('body', start, this.#at);
  }

  /** Scans line by line from where the last scan ended. One pass: each byte is looked at once, a name twice. */
  #scan(bytes: Buffer, base: number, available: number): Scan {
    const { sipStartLineBytesMax, sipHeadersBytesMax } = this.#limits;
    for (;;) {
      const bound = this.#lineStart === 0 ? sipStartLineBytesMax : this.head.startLineBytes + lineEndBytes + sipHeadersBytesMax;
      const stop = base + Math.min(available, bound);
      let at = base + this.#scanned;
      let byte = 0;
      while (at < stop && ((byte = bytes[at] ?? 0) > cr || (byte !== cr && byte !== lf && byte !== 0))) at += 1;
      this.#scanned = at - base;
      if (at >= stop || (byte === cr && at + 1 >= stop)) {
        if (available < bound) return 'more';
        return this.#fail(tooLarge[this.#lineStart === 0 ? 'start line' : 'header bytes']);
      }
      if (byte === 0 && at > base && bytes[at - 1] === backslash) {
        this.#scanned += 1;
        continue;
      }
      if (byte !== cr || bytes[at + 1] !== lf) {
        return this.#fail(malformed(byte === cr ? 'a lone CR in a head' : byte === lf ? 'a lone LF in a head' : 'a NUL in a head'));
      }
      const line = this.#lineStart;
      this.#lineStart = this.#scanned += lineEndBytes;
      const problem = line === 0 ? this.#startLine(bytes, base, at) : this.#line(bytes, base, base + line, at);
      if (problem === null) continue;
      if (problem !== 'end') return this.#fail(typeof problem === 'string' ? malformed(problem) : problem);
      this.head.bytesLength = this.#scanned;
      return 'head';
    }
  }

  #startLine(bytes: Buffer, start: number, end: number): string | null {
    const { head } = this;
    head.startLineBytes = end - start;
    return readStartLine(bytes, start, end, head) ? null : 'not a SIP start line';
  }

  /** Judges one line [start, end) of the header part: null goes on, 'end' is the blank line, anything else the problem. */
  #line(bytes: Buffer, base: number, start: number, end: number): string | FramingFault | null {
    if (start === end) return this.#length >= 0 ? 'end' : 'no Content-Length';
    const first = bytes[start];
    if (first === space || first === tab) return this.#folded(bytes, base, start, end);
    const nameEnd = tokenEnd(bytes, start, end);
    const valueStart = pastColon(bytes, nameEnd, end);
    if (nameEnd === start || valueStart < 0) return 'a line that is no header';
    const id = headerIdOf(bytes, start, nameEnd);
    if (!this.head.add(id, valueStart - base, end - base)) return tooLarge.headers;
    return id === contentLengthId ? this.#contentLength(bytes, valueStart, end) : null;
  }

  /**
   * A folded line. Servers disagree about those that carry, or look like, a Content-Length, and about those of blanks only
   * (Kamailio 5.6 frames by a Content-Length folded into another header), so these are refused.
   */
  #folded(bytes: Buffer, base: number, start: number, end: number): string | null {
    const content = pastBlanks(bytes, start, end);
    if (content === end) return 'a folded line of blanks';
    if (this.head.lastId === contentLengthId) return 'a folded Content-Length';
    const nameEnd = tokenEnd(bytes, content, end);
    if (headerIdOf(bytes, content, nameEnd) === contentLengthId && pastColon(bytes, nameEnd, end) >= 0) return 'a Content-Length in a folded line';
    return this.head.extend(end - base) ? null : 'a folded start line';
  }

  /** The same in every Content-Length of the message (RFC 3261 section 20.14), or the fault. */
  #contentLength(bytes: Buffer, from: number, end: number): string | FramingFault | null {
    const value = numberIn(bytes, from, end);
    if (value < 0) return 'a Content-Length that is no number';
    if (value > this.#limits.sipBodyBytesMax) return tooLarge.body;
    if (this.#length >= 0 && this.#length !== value) return 'two Content-Lengths that differ';
    this.#length = value;
    return null;
  }

  #step(step: Step, from: number, to: number): Step {
    this.from = from;
    this.to = to;
    return step;
  }

  #fail(fault: FramingFault): 'fault' {
    this.#state = 'failed';
    this.fault = fault;
    return 'fault';
  }
}
