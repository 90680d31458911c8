// Tells HTTP/1 by its request line and HTTP/2 by its preface. A line is judged by the version at its end, since SIP and
// RTSP share methods with HTTP. It never looks at what follows the first line, and never asks whether the line is well formed.

import type { Detect, Found, Side } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { byte, isVersion1, tokenBytes } from './grammar.ts';
import { isMethod } from './methods.ts';

/** The HTTP/2 client connection preface (RFC 9113 section 3.4). */
export const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Longest method that is waited for; the longest registered ones have 17 letters. */
const methodBytesMax = 32;
/** Empty lines before a request that servers skip (RFC 9112 section 2.2 asks for one); the handler refuses more than one. */
const blankBytesMax = 8;

/**
 * A line of the client that begins with a method and ends in `HTTP/1.x`. Broken lines of HTTP are found too, so that the handler
 * refuses them instead of a relay passing them to a lenient server. A line longer than the peek bound is judged by its method
 * and the form of its target.
 */
export const detectHttp: Detect = (bytes: Buffer, from: Side, limits: Limits): Found => {
  if (from !== 'client') return 'no';
  const end = Math.min(bytes.length, limits.peekBytesMax);
  const start = skipBlank(bytes, end);
  const methodEnd = skipToken(bytes, start, end);
  if (methodEnd - start > methodBytesMax || start > blankBytesMax) return 'no';
  if (methodEnd === end) return end < limits.peekBytesMax ? 'more' : 'no';
  const separator = bytes[methodEnd];
  if (methodEnd === start || (separator !== byte.space && separator !== byte.tab)) return 'no';
  const lineFeed = bytes.subarray(0, end).indexOf(byte.lf, methodEnd);
  if (lineFeed >= 0) return endsInVersion1(bytes, methodEnd, lineFeed) ? { facts: null } : 'no';
  if (!isTargetStart(bytes, methodEnd + 1, end)) return 'no';
  return end < limits.peekBytesMax ? 'more' : judgeLongLine(bytes, start, methodEnd);
};

/** The client connection preface, whole; or, from a server that speaks first, its preface: a SETTINGS frame (RFC 9113 section 3.4). */
export const detectH2: Detect = (bytes: Buffer, from: Side): Found => {
  if (from === 'upstream') return isServerPreface(bytes);
  const length = Math.min(bytes.length, http2Preface.length);
  if (bytes.compare(http2Preface, 0, length, 0, length) !== 0) return 'no';
  return length === http2Preface.length ? { facts: null } : 'more';
};

/** Length, type 4, no ACK, stream 0. Each setting is six octets, and no server sends more of them than fit one default frame. */
function isServerPreface(bytes: Buffer): Found {
  for (let at = 3; at < Math.min(bytes.length, frameHeadBytes); at += 1) if (bytes[at] !== (at === 3 ? settingsType : 0)) return 'no';
  if ((bytes[0] ?? 0) > 0) return 'no';
  if (bytes.length < frameHeadBytes) return 'more';
  const length = bytes.readUIntBE(0, 3);
  return length <= frameBytesDefault && length % settingBytes === 0 ? { facts: null } : 'no';
}

const frameHeadBytes = 9;
const settingsType = 4;
const settingBytes = 6;
const frameBytesDefault = 16_384;

function skipBlank(bytes: Buffer, end: number): number {
  let at = 0;
  while (at < end && (bytes[at] === byte.cr || bytes[at] === byte.lf)) at += 1;
  return at;
}

function skipToken(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && tokenBytes[bytes[at] ?? 0] === 1) at += 1;
  return at;
}

/** Trailing blanks and the CR are the handler's concern. */
function endsInVersion1(bytes: Buffer, from: number, lineFeed: number): boolean {
  let end = lineFeed;
  while (end > from && isBlank(bytes[end - 1])) end -= 1;
  return end - versionBytes > from && isVersion1(bytes, end - versionBytes, end);
}

const versionBytes = 8;

function isBlank(value: number | undefined): boolean {
  return value === byte.cr || value === byte.space || value === byte.tab;
}

/** While the line goes on: its target must be able to begin one of HTTP (`sip:` and `rtsp:` are told apart at once). */
function isTargetStart(bytes: Buffer, from: number, end: number): boolean {
  const first = bytes[from];
  if (from >= end || first === undefined) return true;
  const text = bytes.toString('latin1', from, Math.min(end, from + 8)).toLowerCase();
  return !otherSchemes.some((scheme) => text.startsWith(scheme));
}

const otherSchemes = ['sip:', 'sips:', 'tel:', 'im:', 'rtsp://', 'rtsps://'] as const;

/** No end of line within the peek bound: a method of HTTP alone and a target of HTTP decide. */
function judgeLongLine(bytes: Buffer, start: number, methodEnd: number): Found {
  const target = bytes.toString('latin1', methodEnd + 1, methodEnd + 9).toLowerCase();
  const plausible = target.startsWith('/') || target.startsWith('http://') || target.startsWith('https://');
  return plausible && isMethod(bytes.toString('latin1', start, methodEnd)) ? { facts: null } : 'no';
}
