// The head parser of HTTP/1 (RFC 9112) on bytes: start line and fields, in one pass, each line once however it is split.
// It keeps offsets and the few texts that framing and policy need, and never changes or copies what was received.

import type { Limits } from '../core/limits.ts';
import { ambiguous, byte, isVersion1, malformed, targetBytes, tokenBytes, valueBytes } from './grammar.ts';
import type { Fault } from './grammar.ts';
import { Head } from './head.ts';
import { checkRequest, checkResponse } from './head-rules.ts';

/** What a step inside the reader answers instead of the next position. */
const wait = -1;
const broken = -2;
const methods: readonly string[] = ['GET', 'POST', 'HEAD', 'PUT', 'OPTIONS'];

/** Reads heads of one direction, one after another. */
export class HeadReader {
  readonly head = new Head();
  readonly #kind: 'request' | 'response';
  readonly #limits: Limits;
  #fault: Fault = malformed('');
  /** Offset of the line that is not read yet, and how far it was searched for its end; from the head's first byte. */
  #line = 0;
  #searched = 0;
  #started = false;

  constructor(kind: 'request' | 'response', limits: Limits) {
    this.#kind = kind;
    this.head.readsHost = kind === 'request';
    this.#limits = limits;
  }

  /** True while a head is being read of which some bytes have come. */
  get partial(): boolean {
    return this.#searched > 0;
  }

  /**
   * Reads the head that begins at `start`. After 'more' the same bytes and those that follow must be shown again; what was
   * read stays read. After a Head or a Fault the next call begins a new head.
   */
  read(bytes: Buffer, start: number): Head | 'more' | Fault {
    if (start >= bytes.length) return 'more';
    // A line without its end is not read again for every packet: that would let a slow sender buy quadratic work.
    if (this.#searched > this.#line && bytes.indexOf(byte.lf, start + this.#searched) < 0) return this.#more(bytes.length - start);
    if (!this.#started && this.#line === 0) this.head.reset();
    let at = start + this.#line;
    for (;;) {
      const next = this.#started ? this.#field(bytes, at, start) : this.#startLine(bytes, at, start);
      if (next === wait) return this.#more(bytes.length - start);
      if (next === broken) return this.#end(this.#fault);
      if (next - start > this.#limits.httpHeadBytesMax) return this.#end(ambiguous('the head is larger than httpHeadBytesMax'));
      at = next;
      this.#line = at - start;
      if (this.head.lengthBytes > 0) return this.#end(this.#kind === 'request' ? checkRequest(this.head) : checkResponse(this.head));
    }
  }

  #more(size: number): Head | 'more' | Fault {
    if (size > this.#limits.httpHeadBytesMax) return this.#end(ambiguous('the head is larger than httpHeadBytesMax'));
    this.#searched = size;
    return 'more';
  }

  #end(answer: Fault | null): Head | Fault {
    this.#line = 0;
    this.#searched = 0;
    this.#started = false;
    return answer ?? this.head;
  }

  #refuse(fault: Fault): number {
    this.#fault = fault;
    return broken;
  }

  #startLine(bytes: Buffer, at: number, start: number): number {
    if (this.#kind === 'response') return this.#statusLine(bytes, at, start);
    if (at === start && bytes[at] === byte.cr) {
      // One empty line before a request is skipped, as servers do (RFC 9112 section 2.2); it is forwarded with the head.
      if (at + 1 >= bytes.length) return wait;
      if (bytes[at + 1] === byte.lf) return at + 2 >= bytes.length ? wait : this.#requestLine(bytes, at + 2, start);
    }
    return this.#requestLine(bytes, at, start);
  }

  #requestLine(bytes: Buffer, from: number, start: number): number {
    const length = bytes.length;
    let at = from;
    while (at < length && tokenBytes[bytes[at] ?? 0] === 1) at += 1;
    const methodEnd = at;
    if (methodEnd === from || bytes[methodEnd] !== byte.space) return at === length && at > from ? wait : this.#badLine(bytes, from);
    at += 1;
    while (at < length && targetBytes[bytes[at] ?? 0] === 1) at += 1;
    if (at === length) return wait;
    const targetEnd = at;
    if (targetEnd === methodEnd + 1 || bytes[targetEnd] !== byte.space) return this.#badLine(bytes, from);
    const lineEnd = targetEnd + 9;
    if (lineEnd + 1 >= length) return bytes.indexOf(byte.lf, targetEnd) < 0 ? wait : this.#badLine(bytes, from);
    if (!isVersion1(bytes, targetEnd + 1, lineEnd) || bytes[lineEnd] !== byte.cr || bytes[lineEnd + 1] !== byte.lf) return this.#badLine(bytes, from);
    const minor = (bytes[lineEnd - 1] ?? 0) - byte.zero;
    if (minor > 1) return this.#refuse(malformed('not HTTP/1.0 or HTTP/1.1'));
    this.head.minor = minor;
    this.head.method = methodText(bytes, from, methodEnd);
    this.head.target = bytes.toString('latin1', methodEnd + 1, targetEnd);
    return this.#began(lineEnd + 2, start);
  }

  #began(next: number, start: number): number {
    this.#started = true;
    this.head.fieldsStart = next - start;
    return next;
  }

  /** The line is no request line: by its end it is broken HTTP or no HTTP at all. */
  #badLine(bytes: Buffer, from: number): number {
    const first = bytes[from] ?? 0;
    const notText = first > 0x7e || (first < byte.space && first !== byte.cr && first !== byte.lf && first !== byte.tab);
    if (notText) return this.#refuse(notHttp);
    let lineFeed = bytes.indexOf(byte.lf, from);
    // Empty lines, blanks before the method: the first line with something in it decides.
    let lineStart = from;
    while (lineFeed >= 0 && isBlankLine(bytes, lineStart, lineFeed)) {
      lineStart = lineFeed + 1;
      lineFeed = bytes.indexOf(byte.lf, lineStart);
    }
    if (lineFeed < 0) return wait;
    let end = lineFeed;
    while (end > lineStart && isBlank(bytes[end - 1])) end -= 1;
    if (end - 8 < lineStart || !isVersion1(bytes, end - 8, end)) return this.#refuse(notHttp);
    if (lineStart !== from) return this.#refuse(ambiguous('empty lines before the request'));
    return this.#refuse(hasBareEnd(bytes, from, lineFeed) ? ambiguous('bare CR, bare LF or NUL in the request line') : malformed('bad request line'));
  }

  #statusLine(bytes: Buffer, from: number, start: number): number {
    const length = bytes.length;
    if (length - from < 13) return this.#badStatus(bytes, from);
    if (!isVersion1(bytes, from, from + 8) || bytes[from + 8] !== byte.space) return this.#badStatus(bytes, from);
    const minor = (bytes[from + 7] ?? 0) - byte.zero;
    const status = threeDigits(bytes, from + 9);
    if (minor > 1 || status < 100) return this.#badStatus(bytes, from);
    let at = from + 12;
    if (bytes[at] !== byte.space && bytes[at] !== byte.cr) return this.#badStatus(bytes, from);
    while (at < length && valueBytes[bytes[at] ?? 0] === 1) at += 1;
    if (at + 1 >= length) return at < length && bytes[at] !== byte.cr ? this.#badStatus(bytes, from) : wait;
    if (bytes[at] !== byte.cr || bytes[at + 1] !== byte.lf) return this.#badStatus(bytes, from);
    this.head.minor = minor;
    this.head.status = status;
    return this.#began(at + 2, start);
  }

  /** A server that does not even begin like HTTP is not waited for; else the whole line tells what is wrong with it. */
  #badStatus(bytes: Buffer, from: number): number {
    if (bytes[from] !== firstOfVersion) return this.#refuse(malformed('no status line'));
    const lineFeed = bytes.indexOf(byte.lf, from);
    if (lineFeed < 0) return wait;
    return this.#refuse(hasBareEnd(bytes, from, lineFeed) ? ambiguous('bare CR, bare LF or NUL in the status line') : malformed('bad status line'));
  }

  /** One field line, or the empty line that ends the head. Answers where the next line begins. */
  #field(bytes: Buffer, from: number, start: number): number {
    const length = bytes.length;
    const first = bytes[from];
    if (first === undefined) return wait;
    if (first === byte.cr) {
      if (from + 1 >= length) return wait;
      if (bytes[from + 1] !== byte.lf) return this.#refuse(ambiguous('bare CR'));
      this.head.lengthBytes = from + 2 - start;
      return from + 2;
    }
    let at = from;
    while (at < length && tokenBytes[bytes[at] ?? 0] === 1) at += 1;
    if (at === length) return wait;
    const nameEnd = at;
    if (nameEnd === from || bytes[nameEnd] !== byte.colon) return this.#refuse(nameFault(bytes[nameEnd] ?? 0, nameEnd === from));
    at += 1;
    while (at < length && (bytes[at] === byte.space || bytes[at] === byte.tab)) at += 1;
    const valueStart = at;
    while (at < length && valueBytes[bytes[at] ?? 0] === 1) at += 1;
    if (at >= length) return wait;
    if (bytes[at] !== byte.cr) return this.#refuse(valueFault(bytes[at] ?? 0));
    if (at + 1 >= length) return wait;
    if (bytes[at + 1] !== byte.lf) return this.#refuse(ambiguous('bare CR'));
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === byte.space || bytes[valueEnd - 1] === byte.tab)) valueEnd -= 1;
    const fault = this.head.take(bytes, from, nameEnd, valueStart, valueEnd);
    if (fault !== null) return this.#refuse(fault);
    if (this.head.fields > this.#limits.httpHeadersMax) return this.#refuse(ambiguous('more fields than httpHeadersMax'));
    return at + 2;
  }
}

/** H of HTTP. */
const firstOfVersion = 0x48;

const notHttp: Fault = { code: 'NOT_HTTP', why: 'the first line is not an HTTP/1 request line' };

/** Whether an answer of the reader is a fault. */
export function isFault(answer: object | string | null): answer is Fault {
  return typeof answer === 'object' && answer !== null && 'why' in answer;
}

/** The common methods without making a new string for each request. */
function methodText(bytes: Buffer, from: number, to: number): string {
  for (const method of methods) {
    if (method.length !== to - from || bytes[from] !== method.charCodeAt(0)) continue;
    let index = 1;
    while (index < method.length && bytes[from + index] === method.charCodeAt(index)) index += 1;
    if (index === method.length) return method;
  }
  return bytes.toString('latin1', from, to);
}

function threeDigits(bytes: Buffer, at: number): number {
  let value = 0;
  for (let index = 0; index < 3; index += 1) {
    const digit = (bytes[at + index] ?? 0) - byte.zero;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function isBlank(value: number | undefined): boolean {
  return value === byte.cr || value === byte.space || value === byte.tab;
}

function isBlankLine(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (!isBlank(bytes[at])) return false;
  return true;
}

/** A line that does not end in exactly one CR LF, or holds a CR or NUL inside. */
function hasBareEnd(bytes: Buffer, from: number, lineFeed: number): boolean {
  if (bytes[lineFeed - 1] !== byte.cr) return true;
  for (let at = from; at < lineFeed - 1; at += 1) if (bytes[at] === byte.cr || bytes[at] === byte.nul) return true;
  return false;
}

function nameFault(value: number, first: boolean): Fault {
  if (value === byte.space || value === byte.tab) return ambiguous(first ? 'a folded or indented field line' : 'space before the colon');
  if (value === byte.cr || value === byte.lf) return ambiguous(value === byte.lf ? 'bare LF' : 'a field line without a colon');
  return value === byte.nul ? ambiguous('NUL') : malformed('bad character in a field name');
}

function valueFault(value: number): Fault {
  if (value === byte.lf) return ambiguous('bare LF');
  return value === byte.nul ? ambiguous('NUL') : malformed('control character in a field value');
}
