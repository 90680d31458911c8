// Follows a message's body through the bytes as they stream: none, a length, chunks with extensions and trailers, or until
// the connection closes (RFC 9112 sections 6 and 7). It tells how many bytes belong to the body and keeps none of them.

import type { Limits } from '../core/limits.ts';
import { ambiguous, byte, hexValues, quotedBytes, tokenBytes, valueBytes } from './grammar.ts';
import type { Fault } from './grammar.ts';
import type { Framing } from './head-rules.ts';

/** Where in the chunked coding the next byte is. */
const state = {
  size: 0, sizeEnd: 1, extensionName: 2, extensionValue: 3, extensionToken: 4, quoted: 5, escaped: 6, quotedEnd: 7,
  data: 8, dataCr: 9, dataLf: 10, trailerStart: 11, trailerName: 12, trailerValue: 13, trailerLf: 14, lastLf: 15,
} as const;

/** Longest name among `forbidden`. */
const forbiddenLengthMax = 17;
/** Fields that change framing or routing and so may not come after the body (RFC 9110 section 6.5.1). */
const forbidden: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'host']);

/** Walks one body after another of one direction. */
export class BodyWalker {
  /** The body is complete: nothing more belongs to it. */
  done = true;
  /** Set when the body cannot be framed; the bytes from the answer of `walk` on must not be forwarded. */
  fault: Fault | null = null;
  readonly #limits: Limits;
  #framing: Framing = 'none';
  /** Bytes left of a length or of the chunk. */
  #left = 0;
  #state: number = state.size;
  #digits = 0;
  #lineBytes = 0;
  #trailerBytes = 0;
  #name = '';

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get framing(): Framing {
    return this.#framing;
  }

  /** Begins a body; `length` counts only for framing 'length'. */
  begin(framing: Framing, length: number): void {
    this.#framing = framing;
    this.#left = framing === 'length' ? length : 0;
    this.done = framing === 'none' || (framing === 'length' && length === 0);
    this.fault = null;
    this.#state = state.size;
    this.#digits = 0;
    this.#lineBytes = 0;
    this.#trailerBytes = 0;
  }

  /** The first position at or after `at` that is not of the body: `bytes.length` while it goes on. */
  walk(bytes: Buffer, at: number): number {
    if (this.done) return at;
    switch (this.#framing) {
      case 'none':
        return at;
      case 'close':
        return bytes.length;
      case 'length':
        return this.#walkLength(bytes, at);
      case 'chunked':
        return this.#walkChunks(bytes, at);
    }
  }

  #walkLength(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#left -= taken;
    this.done = this.#left === 0;
    return at + taken;
  }

  #walkChunks(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && !this.done) {
      if (this.#state === state.data) {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
        if (this.#left === 0) this.#state = state.dataCr;
        continue;
      }
      const fault = this.#state >= state.trailerStart ? this.#trailer(bytes[at] ?? 0) : this.#chunk(bytes[at] ?? 0);
      if (fault !== null) {
        this.fault = fault;
        return at;
      }
      at += 1;
    }
    return at;
  }

  /** One byte of a size line or of a chunk's end. */
  #chunk(value: number): Fault | null {
    if (this.#state === state.dataCr) return this.#expect(value, byte.cr, state.dataLf, 'a chunk does not end in CR LF');
    if (this.#state === state.dataLf) {
      this.#digits = 0;
      this.#lineBytes = 0;
      this.#left = 0;
      return this.#expect(value, byte.lf, state.size, 'a chunk does not end in CR LF');
    }
    this.#lineBytes += 1;
    if (this.#lineBytes > this.#limits.httpChunkLineBytesMax) return ambiguous('a chunk line is longer than httpChunkLineBytesMax');
    if (this.#state === state.size) return this.#size(value);
    if (this.#state === state.sizeEnd) {
      return this.#expect(value, byte.lf, this.#left === 0 ? state.trailerStart : state.data, 'bare CR in a chunk line');
    }
    return this.#extension(value);
  }

  #size(value: number): Fault | null {
    const digit = hexValues[value] ?? 0;
    if (digit > 0) {
      this.#digits += 1;
      // The digit's value first: beyond 2^53 another order of the sum would round a size back to a safe one.
      this.#left = this.#left * 16 + (digit - 1);
      return this.#left > Number.MAX_SAFE_INTEGER ? ambiguous('a chunk size is too large') : null;
    }
    if (this.#digits === 0) return ambiguous('a chunk without a size');
    return this.#lineGoesOn(value) ? null : ambiguous('bad character in a chunk size');
  }

  /** After a size or a whole extension: another extension or the end of the line. */
  #lineGoesOn(value: number): boolean {
    if (value === byte.semicolon) this.#state = state.extensionName;
    else if (value === byte.cr) this.#state = state.sizeEnd;
    else return false;
    this.#name = '';
    return true;
  }

  /** chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the blanks that RFC 9112 calls bad. */
  #extension(value: number): Fault | null {
    const isToken = tokenBytes[value] === 1;
    switch (this.#state) {
      case state.extensionName:
        if (isToken) this.#name = 'x';
        else if (this.#name === '') return badExtension;
        else if (value === byte.equals) this.#state = state.extensionValue;
        else if (!this.#lineGoesOn(value)) return badExtension;
        return null;
      case state.extensionValue:
        if (isToken) this.#state = state.extensionToken;
        else if (value === byte.quote) this.#state = state.quoted;
        else return badExtension;
        return null;
      case state.extensionToken:
        return isToken || this.#lineGoesOn(value) ? null : badExtension;
      case state.quoted:
        if (value === byte.quote) this.#state = state.quotedEnd;
        else if (value === byte.backslash) this.#state = state.escaped;
        else if (quotedBytes[value] !== 1) return badExtension;
        return null;
      case state.escaped:
        this.#state = state.quoted;
        return valueBytes[value] === 1 ? null : badExtension;
      default:
        return this.#lineGoesOn(value) ? null : badExtension;
    }
  }

  /** One byte of the trailer section, which ends in an empty line. */
  #trailer(value: number): Fault | null {
    this.#trailerBytes += 1;
    if (this.#trailerBytes > this.#limits.httpTrailerBytesMax) return ambiguous('the trailer is larger than httpTrailerBytesMax');
    switch (this.#state) {
      case state.trailerStart:
        if (value === byte.cr) this.#state = state.lastLf;
        else if (tokenBytes[value] !== 1) return ambiguous('bad trailer line');
        else {
          this.#name = String.fromCharCode(value);
          this.#state = state.trailerName;
        }
        return null;
      case state.trailerName:
        return this.#trailerName(value);
      case state.trailerValue:
        if (value === byte.cr) this.#state = state.trailerLf;
        else if (valueBytes[value] !== 1) return ambiguous('bad character in a trailer');
        return null;
      case state.trailerLf:
        return this.#expect(value, byte.lf, state.trailerStart, 'bare CR in a trailer');
      default:
        this.done = value === byte.lf;
        return this.done ? null : ambiguous('bare CR after the last chunk');
    }
  }

  #trailerName(value: number): Fault | null {
    if (value === byte.colon) {
      this.#state = state.trailerValue;
      return forbidden.has(this.#name.toLowerCase()) ? ambiguous('a framing field in the trailer') : null;
    }
    if (tokenBytes[value] !== 1) return ambiguous('bad character in a trailer name');
    if (this.#name.length <= forbiddenLengthMax) this.#name += String.fromCharCode(value);
    return null;
  }

  #expect(value: number, wanted: number, next: number, why: string): Fault | null {
    if (value !== wanted) return ambiguous(why);
    this.#state = next;
    return null;
  }
}

const badExtension = ambiguous('bad chunk extension');
