// Tells MS-TURN, libjingle's ssltcp and standard TURN by their first bytes, the same at every split of them.
// It never looks at ports, names or ALPN, and asks for more only while the bytes match so far.

import type { Found, Side } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { msClientHello, ssltcpClientHello, startsLike } from './hello.ts';
import { msTypes, rfcCookie } from './names.ts';

/** What the handlers need to know of how a stream begins. */
export interface TurnStart {
  /** The client's pseudo-TLS hello comes first. */
  readonly hello: boolean;
}

const bare: Found = { facts: { hello: false } satisfies TurnStart };
const helloFirst: Found = { facts: { hello: true } satisfies TurnStart };

/**
 * MS-TURN: the 50-byte pseudo hello by its exact template (MS-TURN 2.1.1), a bare framed Allocate with the cookie at stream
 * offset 24 (2.1.4), or multiplexed TURN (2.2.3). 'suspect' for another old hello without extensions and session id: its
 * server's answer decides (hello.ts, judgePseudoAnswer).
 */
export function detectMsTurn(bytes: Buffer, from: Side, limits: Limits): Found {
  if (from !== 'client') return 'no';
  if (bytes.length === 0) return 'more';
  if (bytes[0] === 0x16) return pseudoHello(bytes, limits);
  if (bytes[0] === 0x02) return bareFramed(bytes);
  return bytes[0] === 0xff ? multiplexed(bytes) : 'no';
}

/** libjingle's 72 fixed bytes; any other SSLv2-style hello is not ours. */
export function detectSsltcp(bytes: Buffer, from: Side): Found {
  if (from !== 'client' || !startsLike(bytes, ssltcpClientHello)) return 'no';
  return bytes.length < ssltcpClientHello.fixed.length ? 'more' : helloFirst;
}

/** STUN or TURN over TCP (RFC 5389 section 6, RFC 8656): two zero bits, a length in fours, the cookie at offset 4. */
export function detectTurn(bytes: Buffer, from: Side): Found {
  if (from !== 'client') return 'no';
  for (let at = 0; at < 8; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) return 'more';
    if (at === 0 && byte > 0x3f) return 'no';
    if (at === 3 && byte % 4 !== 0) return 'no';
    if (at >= 4 && byte !== cookieBytes[at - 4]) return 'no';
  }
  return bare;
}

/** Whether a stream of which only the handler is known (a suspect that was judged) begins with a pseudo hello. */
export function startOf(facts: unknown, firstBytes: Buffer): TurnStart {
  if (typeof facts === 'object' && facts !== null && 'hello' in facts) return { hello: facts.hello === true };
  return { hello: firstBytes[0] === 0x16 || firstBytes[0] === 0x80 };
}

const cookieBytes = [(rfcCookie >>> 24) & 0xff, (rfcCookie >>> 16) & 0xff, (rfcCookie >>> 8) & 0xff, rfcCookie & 0xff];

function pseudoHello(bytes: Buffer, limits: Limits): Found {
  const { length } = msClientHello.fixed;
  if (startsLike(bytes, msClientHello)) return bytes.length < length ? 'more' : helloFirst;
  return oldHello(bytes, limits);
}

/** An SSL 3.0 to TLS 1.1 ClientHello in one record with no session id and no extensions block. */
function oldHello(bytes: Buffer, limits: Limits): Found {
  if (!between(bytes, 1, 3, 3) || !between(bytes, 2, 0, 3) || !between(bytes, 5, 1, 1) || !between(bytes, 6, 0, 0)) return 'no';
  if (bytes.length < 11) return bytes.length >= 10 && bytes[9] !== 3 ? 'no' : lengthsAgree(bytes);
  if (lengthsAgree(bytes) === 'no' || bytes[9] !== 3 || !between(bytes, 10, 0, 2) || !between(bytes, 43, 0, 0)) return 'no';
  const recordEnd = 5 + bytes.readUInt16BE(3);
  if (recordEnd > limits.peekBytesMax) return 'no';
  if (bytes.length < 46) return 'more';
  const compressionAt = 46 + bytes.readUInt16BE(44);
  const compressionBytes = recordEnd - compressionAt - 1;
  if (bytes.readUInt16BE(44) % 2 !== 0 || compressionAt === 46 || compressionBytes < 1 || compressionBytes > 255) return 'no';
  if (!between(bytes, compressionAt, compressionBytes, compressionBytes)) return 'no';
  return bytes.length < recordEnd ? 'more' : 'suspect';
}

/** The handshake message must fill its record: body length = record length - 4. */
function lengthsAgree(bytes: Buffer): Found {
  if (bytes.length < 5) return 'more';
  const body = bytes.readUInt16BE(3) - 4;
  if (body < 38) return 'no';
  return between(bytes, 7, body >> 8, body >> 8) && between(bytes, 8, body & 0xff, body & 0xff) ? 'more' : 'no';
}

/** True when the byte is not there yet or within bounds. */
function between(bytes: Buffer, at: number, low: number, high: number): boolean {
  const byte = bytes[at];
  return byte === undefined || (byte >= low && byte <= high);
}

/** `02 00 LL LL`, then an Allocate of exactly that length whose first attribute is the cookie. */
function bareFramed(bytes: Buffer): Found {
  if (!between(bytes, 1, 0, 0) || !between(bytes, 4, 0, 0) || !between(bytes, 5, msTypes.allocate, msTypes.allocate)) return 'no';
  if (bytes.length >= 8 && bytes.readUInt16BE(2) !== bytes.readUInt16BE(6) + 20) return 'no';
  if (!cookieSoFar(bytes, 24)) return 'no';
  return bytes.length < 32 ? 'more' : bare;
}

/** `ff 10 LL LL`, 8 bytes of session id, then a TURN message, a STUN message or RTP: two bytes alone would prove too little. */
function multiplexed(bytes: Buffer): Found {
  if (!between(bytes, 1, 0x10, 0x10)) return 'no';
  if (bytes.length >= 4 && bytes.readUInt16BE(2) < 8 + 12) return 'no';
  const first = bytes[12];
  if (first === undefined) return 'more';
  if (first >= 0x80 && first <= 0xbf) return bare;
  if (first > 0x3f) return 'no';
  if (bytes.length < 20) return 'more';
  if (bytes.readUInt32BE(16) === rfcCookie) return bare;
  if (!cookieSoFar(bytes, 32)) return 'no';
  return bytes.length < 40 ? 'more' : bare;
}

const cookieAttribute = Buffer.from('000f000472c64bc6', 'hex');

function cookieSoFar(bytes: Buffer, at: number): boolean {
  const there = bytes.subarray(at, at + cookieAttribute.length);
  return there.equals(cookieAttribute.subarray(0, there.length));
}
