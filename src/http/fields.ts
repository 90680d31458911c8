// What the field lines of one head say of framing, connection and routing, gathered line by line. It decides what single
// lines may say (one Content-Length, a known list of codings) and never what their combination means: see head-rules.ts.

import { ambiguous, byte, hostBytes, isNamed } from './grammar.ts';
import type { Fault } from './grammar.ts';

/** Codings that may stand before `chunked` (RFC 9112 section 7). */
const codings: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate', 'compress', 'x-compress']);

/** The fields a gateway must understand; everything else passes unread. */
export class HeadFields {
  /** Host says something: in requests. A response's means nothing to anyone, whatever it holds. */
  readsHost = true;
  /** Field lines so far. */
  fields = 0;
  /** -1 when there is none. */
  contentLength = -1;
  /** A Transfer-Encoding whose last coding is chunked. */
  chunked = false;
  transferEncoding = false;
  /** The Host value as sent, null without one. */
  host: string | null = null;
  #lastHost = '';
  close = false;
  keepAlive = false;
  /** `Connection: upgrade` was said. */
  upgradeOption = false;
  /** The Upgrade value, null without one. */
  upgrade: string | null = null;
  /** The client waits for 100 (Continue) before it sends the body. */
  expectContinue = false;
  accept: string | null = null;

  reset(): void {
    this.fields = 0;
    this.contentLength = -1;
    this.chunked = false;
    this.transferEncoding = false;
    this.host = null;
    this.close = false;
    this.keepAlive = false;
    this.upgradeOption = false;
    this.upgrade = null;
    this.expectContinue = false;
    this.accept = null;
  }

  /** Reads one field line; the offsets are into `bytes`. */
  take(bytes: Buffer, name: number, nameEnd: number, value: number, valueEnd: number): Fault | null {
    this.fields += 1;
    switch (nameEnd - name) {
      case 4:
        return this.readsHost && isNamed(bytes, name, 'host') ? this.#host(bytes, value, valueEnd) : null;
      case 6:
        if (isNamed(bytes, name, 'accept')) this.accept = bytes.toString('latin1', value, valueEnd);
        else if (isNamed(bytes, name, 'expect')) this.expectContinue ||= bytes.toString('latin1', value, valueEnd).toLowerCase() === '100-continue';
        return null;
      case 7:
        if (isNamed(bytes, name, 'upgrade')) this.upgrade = bytes.toString('latin1', value, valueEnd).toLowerCase();
        return null;
      case 10:
        if (isNamed(bytes, name, 'connection')) this.#connection(bytes, value, valueEnd);
        return null;
      case 14:
        return isNamed(bytes, name, 'content-length') ? this.#contentLength(bytes, value, valueEnd) : null;
      case 17:
        return isNamed(bytes, name, 'transfer-encoding') ? this.#transferEncoding(bytes, value, valueEnd) : null;
      default:
        return null;
    }
  }

  #host(bytes: Buffer, from: number, to: number): Fault | null {
    if (this.host !== null) return ambiguous('more than one Host');
    // Requests of one connection mostly name one host: the text of the last is kept while its bytes come again.
    let same = to - from === this.#lastHost.length;
    for (let at = from; at < to; at += 1) {
      const value = bytes[at] ?? 0;
      if (hostBytes[value] === 0) return ambiguous('bad character in Host');
      same &&= value === this.#lastHost.charCodeAt(at - from);
    }
    if (!same) this.#lastHost = bytes.toString('latin1', from, to);
    this.host = this.#lastHost;
    return null;
  }

  #connection(bytes: Buffer, from: number, to: number): void {
    // The two usual values without a string for each request.
    if (to - from === 10 && isNamed(bytes, from, 'keep-alive')) {
      this.keepAlive = true;
      return;
    }
    if (to - from === 5 && isNamed(bytes, from, 'close')) {
      this.close = true;
      return;
    }
    for (const option of bytes.toString('latin1', from, to).toLowerCase().split(',')) {
      const name = option.trim();
      if (name === 'close') this.close = true;
      else if (name === 'keep-alive') this.keepAlive = true;
      else if (name === 'upgrade') this.upgradeOption = true;
    }
  }

  /** One line of digits. Equal repetitions are refused as well: a list is where parsers differ (RFC 9112 section 6.3). */
  #contentLength(bytes: Buffer, from: number, to: number): Fault | null {
    if (this.contentLength >= 0) return ambiguous('more than one Content-Length');
    if (from === to) return ambiguous('empty Content-Length');
    let length = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (bytes[at] ?? 0) - byte.zero;
      if (digit < 0 || digit > 9) return ambiguous('Content-Length is not a number');
      length = length * 10 + digit;
      if (length > Number.MAX_SAFE_INTEGER) return ambiguous('Content-Length is too large');
    }
    this.contentLength = length;
    return null;
  }

  /** The lines together must be known codings with `chunked` once and last: anything else is framed differently by someone. */
  #transferEncoding(bytes: Buffer, from: number, to: number): Fault | null {
    this.transferEncoding = true;
    // A tab after the last coding is optional whitespace by the letter, and part of the coding to parsers in wide use.
    for (let at = to; bytes[at] === byte.space || bytes[at] === byte.tab; at += 1) {
      if (bytes[at] === byte.tab) return ambiguous('unknown transfer coding');
    }
    for (const member of bytes.toString('latin1', from, to).toLowerCase().split(',')) {
      const coding = member.replace(blanks, '');
      if (this.chunked) return ambiguous('a coding after chunked');
      if (coding === 'chunked') this.chunked = true;
      else if (!codings.has(coding)) return coding === '' ? ambiguous('empty transfer coding') : ambiguous('unknown transfer coding');
    }
    return null;
  }
}

/** Optional whitespace is space and tab only; `trim` would also take what other parsers do not. */
const blanks = /^[ \t]+|[ \t]+$/g;

/** The field names of a head in lower case, for policy. The head was parsed before: every line has its colon. */
export function fieldNames(bytes: Buffer, from: number, to: number): Set<string> {
  const names = new Set<string>();
  for (let line = from; line < to - 2;) {
    const colon = bytes.indexOf(byte.colon, line);
    const end = bytes.indexOf(byte.lf, line);
    if (colon < 0 || end < 0) break;
    names.add(bytes.toString('latin1', line, colon).toLowerCase());
    line = end + 1;
  }
  return names;
}

/** Where the field lines called `name` (lower case) are, as pairs of offsets. */
export function fieldLines(bytes: Buffer, from: number, to: number, name: string): [number, number][] {
  const lines: [number, number][] = [];
  for (let line = from; line < to - 2;) {
    const end = bytes.indexOf(byte.lf, line) + 1;
    if (end === 0) break;
    if (bytes[line + name.length] === byte.colon && isNamed(bytes, line, name)) lines.push([line, end]);
    line = end;
  }
  return lines;
}
