// The pseudo-TLS hellos of MS-TURN (2.1.1) and of libjingle's ssltcp: templates, makers, and the judge of a server's answer.
// No TLS happens here: the hellos only look like it to a firewall, and nothing after them is encrypted.

import { randomBytes } from 'node:crypto';

/** A hello's bytes: `fixed` wherever `mask` is not 0, anything elsewhere. */
export interface Template {
  readonly fixed: Buffer;
  readonly mask: Buffer;
}

/** 50 bytes: TLS 1.0, time and random free, no session id, TLS_DH_anon_WITH_RC4_128_MD5 alone, no extensions. */
export const msClientHello = template('160301002d010000290301', 32, '00000200180100');
/** 83 bytes: ServerHello and ServerHelloDone in one record; random and session id free. */
export const msServerHello = template('160301004e020000460301', 32, '20', 32, '0018000e000000');
/** 72 bytes, all fixed: an SSLv2-style hello (libjingle, Chromium, libnice in its Google mode). */
export const ssltcpClientHello = template(
  '8046010301002d000000100100800300800700c006004002008004008000000400feff00000a00fefe0000090000640000620000030000061f170ca62f0078fc46552eb18339f1ea',
);
/** 79 bytes, all fixed: the answer to it. */
export const ssltcpServerHello = template(
  '160301004a020000460301428545a727a95da0b3c5e753da482b3fc65aca89c15852a1783c5b174600853f20' +
    '0ed306725b5b1b5f15ac13f988539d9be83d7b0c30326e384da27557416c345c000400',
);

/** Compares as far as both reach: false when a byte differs. */
export function startsLike(bytes: Buffer, { fixed, mask }: Template): boolean {
  const end = Math.min(bytes.length, fixed.length);
  for (let i = 0; i < end; i += 1) {
    if (mask[i] !== 0 && bytes[i] !== fixed[i]) return false;
  }
  return true;
}

/** A hello from its template, the free bytes random. */
export function makeHello({ fixed, mask }: Template): Buffer {
  const bytes = randomBytes(fixed.length);
  for (let i = 0; i < bytes.length; i += 1) {
    if (mask[i] !== 0) bytes[i] = fixed[i] ?? 0;
  }
  return bytes;
}

/** What a server's first bytes are: 'more' while they may still be a pseudo hello, its whole length once they are one, else 'no'. */
export type HelloAnswer = 'no' | 'more' | { readonly bytes: number };

/**
 * ServerHello and ServerHelloDone in ONE record and nothing between them (MS-TURN 2.1.1 MUST). A real server of those days
 * sends Certificate or ServerKeyExchange there, or an alert.
 */
export function readMsServerHello(bytes: Buffer): HelloAnswer {
  for (let at = 0; at < recordStart.length; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) return 'more';
    const [low, high] = recordStart[at] ?? [0, 255];
    if (byte < low || byte > high) return 'no';
  }
  const recordEnd = 5 + bytes.readUInt16BE(3);
  const doneAt = 9 + bytes.readUIntBE(6, 3);
  // No extensions: version, random, session id, suite, compression are all there is, 38 bytes and the session id.
  if (doneAt + doneMessage.length !== recordEnd || doneAt < sessionIdAt + 4 || doneAt > sessionIdAt + 36) return 'no';
  const sessionIdBytes = bytes[sessionIdAt];
  if (sessionIdBytes === undefined) return 'more';
  if (sessionIdAt + 1 + sessionIdBytes + 3 !== doneAt) return 'no';
  const done = bytes.subarray(doneAt, recordEnd);
  if (!done.equals(doneMessage.subarray(0, done.length))) return 'no';
  return done.length < doneMessage.length ? 'more' : { bytes: recordEnd };
}

/** Judges the answer to a suspect hello that was forwarded: MS-TURN by its pseudo hello, 'no' for real TLS and all else. */
export function judgePseudoAnswer(bytes: Buffer): 'ms-turn' | 'more' | 'no' {
  const answer = readMsServerHello(bytes);
  return typeof answer === 'string' ? answer : 'ms-turn';
}

/** libjingle's answer is 79 fixed bytes. */
export function readSsltcpServerHello(bytes: Buffer): HelloAnswer {
  if (!startsLike(bytes, ssltcpServerHello)) return 'no';
  const length = ssltcpServerHello.fixed.length;
  return bytes.length < length ? 'more' : { bytes: length };
}

/** Lowest and highest value of the first 11 bytes: handshake record, SSL 3.0 to TLS 1.2, ServerHello, at most 64 KiB. */
const recordStart: readonly (readonly [number, number])[] = [
  [0x16, 0x16], [3, 3], [0, 3], [0, 0], [0, 255], [2, 2], [0, 0], [0, 0], [0, 255], [3, 3], [0, 3],
];
const sessionIdAt = 43;
const doneMessage = Buffer.from('0e000000', 'hex');

/** Alternates fixed bytes (hex) and counts of free ones. */
function template(...parts: readonly (string | number)[]): Template {
  const fixed = parts.map((part) => (typeof part === 'number' ? Buffer.alloc(part) : Buffer.from(part, 'hex')));
  const mask = parts.map((part) => (typeof part === 'number' ? Buffer.alloc(part) : Buffer.alloc(part.length / 2, 0xff)));
  return { fixed: Buffer.concat(fixed), mask: Buffer.concat(mask) };
}
