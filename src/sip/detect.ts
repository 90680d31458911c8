// Tells SIP by its first line, from either side (RFC 3261 section 7). OPTIONS and more are shared with HTTP and RTSP, so the
// version at the end of the line decides, never the method. Looser than the framer on purpose: what a server might read
// as SIP must not slip past SIP rules as unknown.

import type { Detect, Found } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { isBlank, startsWithVersion, tokenEnd } from './start-line.ts';

const cr = 13;
const lf = 10;
/** `SIP/2.0 200 ` decides; so do these bytes with a line end in place of the last blank. */
const statusLineBytes = 12;
/** Longer first words are no method: detection need not wait for the line. */
const methodBytesMax = 64;

/** Judges first bytes; the same at every split, decided within sipStartLineBytesMax and peekBytesMax. */
export const detectSip: Detect = (bytes: Buffer, _from, limits: Limits): Found => {
  const bound = Math.min(limits.sipStartLineBytesMax, limits.peekBytesMax);
  const end = Math.min(bytes.length, bound);
  let start = 0;
  while (start < end && (bytes[start] === cr || bytes[start] === lf)) start += 1;
  const found = firstLine(bytes, start, end);
  return found === 'more' && bytes.length >= bound ? 'no' : found;
};

function firstLine(bytes: Buffer, start: number, end: number): Found {
  const methodEnd = tokenEnd(bytes, start, Math.min(end, start + methodBytesMax + 1));
  if (methodEnd === end && methodEnd - start <= methodBytesMax) return 'more';
  // A slash ends the only token that may begin a status line.
  if (bytes[methodEnd] === 0x2f) return statusLine(bytes, start, end);
  if (methodEnd === start || methodEnd - start > methodBytesMax || !isBlank(bytes[methodEnd])) return 'no';
  const lineEnd = bytes.subarray(0, end).indexOf(lf, methodEnd);
  if (lineEnd < 0) return 'more';
  return requestLine(bytes, methodEnd, lineEnd) ? { facts: { kind: 'request', method: bytes.toString('latin1', start, methodEnd) } } : 'no';
}

function statusLine(bytes: Buffer, start: number, end: number): Found {
  const known = Math.min(end, start + statusLineBytes + 1);
  const text = bytes.toString('latin1', start, known).toUpperCase();
  const version = 'SIP/2.0 ';
  if (!version.startsWith(text.slice(0, version.length))) return 'no';
  if (!/^\d{0,3}$/.test(text.slice(version.length, version.length + 3))) return 'no';
  if (text.length < statusLineBytes) return 'more';
  return /[ \t\r\n]/.test(text[statusLineBytes - 1] ?? '') ? { facts: { kind: 'response' } } : 'no';
}

/** Whether the line from the method's end on closes with ` SIP/2.0` after something else. */
function requestLine(bytes: Buffer, methodEnd: number, lineEnd: number): boolean {
  let last = lineEnd;
  while (last > methodEnd && (isBlank(bytes[last - 1]) || bytes[last - 1] === cr)) last -= 1;
  let word = last;
  while (word > methodEnd && !isBlank(bytes[word - 1])) word -= 1;
  if (!startsWithVersion(bytes, word, last) || bytes.toString('latin1', word + 4, last) !== '2.0') return false;
  for (let at = methodEnd; at < word; at += 1) if (!isBlank(bytes[at])) return true;
  return false;
}
