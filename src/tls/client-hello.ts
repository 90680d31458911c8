// Finds a ClientHello in a client's first bytes: over any TCP segments and any TLS records, or in the SSL version 2 format.
// Each decision hangs on a prefix of the bytes alone, so more bytes never change an answer. It never opens TLS.

import type { Detect } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { helloBodyBytesMin, helloDraft, readHelloBody, settleVersions } from './hello-body.ts';
import type { ClientHello } from './hello-body.ts';

export type { ClientHello } from './hello-body.ts';

const handshakeRecord = 0x16;
const clientHelloType = 1;
const recordHeaderBytes = 5;
const needMore = -1;
const notARecord = -2;
const handshakeHeaderBytes = 4;
/** RFC 8446 section 5.1; longer plaintext records are refused by every stack. */
const recordBytesMax = 16_384;
/** Version 2 records are not taken for longer than this: their 15-bit length alone would match too much. */
const sslv2BytesMax = 4_095;
const sslv2HeaderBytes = 11;

/** The detector of the row `tls`. Its facts are a ClientHello, which may carry a problem. Only clients open TLS. */
export const detectTls: Detect = (bytes, from, limits) => {
  if (from !== 'client') return 'no';
  const found = readClientHello(bytes, limits);
  return typeof found === 'string' ? found : { facts: found };
};

/**
 * The hello at the start of a client's bytes. 'no': not TLS. 'more': it may become one. A hello with `problem` began as
 * a handshake record with a ClientHello, but is broken or longer than `helloBytesMax`. Never throws.
 */
export function readClientHello(bytes: Buffer, limits: Pick<Limits, 'helloBytesMax'>): ClientHello | 'no' | 'more' {
  const first = bytes[0];
  if (first === undefined) return 'more';
  if (first === handshakeRecord) return readRecords(bytes, limits.helloBytesMax);
  return (first & 0x80) !== 0 ? readSslv2(bytes, limits.helloBytesMax) : 'no';
}

/** Whether a detector's facts are a ClientHello. */
export function isClientHello(facts: unknown): facts is ClientHello {
  return typeof facts === 'object' && facts !== null && 'format' in facts && (facts.format === 'tls' || facts.format === 'sslv2')
    && 'ciphers' in facts && Array.isArray(facts.ciphers) && 'problem' in facts;
}

/**
 * Walks record headers until the handshake message is whole. A call costs one step (about 10 ns) for each record, not each byte:
 * a hello in one record that comes byte by byte costs a few comparisons a call. The worst, 64 KiB of records of one byte in
 * segments of one byte, costs some 50 microseconds a segment, which helloBytesMax bounds.
 */
function readRecords(bytes: Buffer, bytesMax: number): ClientHello | 'no' | 'more' {
  let at = 0;
  /** Handshake octets in the records before `at`. */
  let have = 0;
  let bodyBytes = 0;
  for (;;) {
    const length = recordHeader(bytes, at);
    if (length === needMore) return 'more';
    if (length === notARecord) return at === 0 ? 'no' : broken(bytes, at, 'HELLO_MALFORMED');
    const payload = at + recordHeaderBytes;
    const octets = Math.min(length, handshakeHeaderBytes - have);
    for (let index = 0; index < octets; index += 1) {
      const octet = bytes[payload + index];
      if (octet === undefined) return 'more';
      if (have + index > 0) bodyBytes = bodyBytes * 256 + octet;
      else if (octet !== clientHelloType) return 'no';
    }
    if (have + octets === handshakeHeaderBytes) break;
    have += length;
    at = payload + length;
  }
  if (bodyBytes < helloBodyBytesMin) return broken(bytes, at, 'HELLO_MALFORMED');
  const whole = handshakeHeaderBytes + bodyBytes;
  for (;;) {
    const length = recordHeader(bytes, at);
    if (length === needMore) return 'more';
    if (length === notARecord) return broken(bytes, at, 'HELLO_MALFORMED');
    const end = at + recordHeaderBytes + length;
    if (end + whole - have - length > bytesMax) return broken(bytes, at, 'HELLO_TOO_LARGE');
    have += length;
    // A ClientHello ends its record: what follows belongs to other keys (RFC 8446 section 5.1).
    if (have > whole) return broken(bytes, at, 'HELLO_MALFORMED');
    if (have === whole) return bytes.length < end ? 'more' : readWhole(bytes, at === 0, bodyBytes, end);
    at = end;
  }
}

/** The payload length of the record at `at`: `needMore` short of its header, `notARecord` once a byte of it cannot be a handshake record's. */
function recordHeader(bytes: Buffer, at: number): number {
  if (at + recordHeaderBytes <= bytes.length) {
    const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    // The minor version is to be ignored (RFC 8446 section 5.1).
    return bytes[at] === handshakeRecord && bytes[at + 1] === 3 && length > 0 && length <= recordBytesMax ? length : notARecord;
  }
  return (bytes[at] ?? handshakeRecord) === handshakeRecord && (bytes[at + 1] ?? 3) === 3 ? needMore : notARecord;
}

function readWhole(bytes: Buffer, oneRecord: boolean, bodyBytes: number, end: number): ClientHello {
  const hello = helloDraft('tls', recordVersion(bytes));
  const start = recordHeaderBytes + handshakeHeaderBytes;
  const body = oneRecord ? bytes.subarray(start, start + bodyBytes) : joinRecords(bytes, bodyBytes, end);
  hello.length = end;
  if (!readHelloBody(hello, body)) hello.problem = 'HELLO_MALFORMED';
  return hello;
}

/** The body out of several records, whose headers have been checked. */
function joinRecords(bytes: Buffer, bodyBytes: number, end: number): Buffer {
  const message = Buffer.allocUnsafe(handshakeHeaderBytes + bodyBytes);
  let filled = 0;
  for (let at = 0; at < end;) {
    const payload = at + recordHeaderBytes;
    at = payload + (((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0));
    // Below this size a call into copy costs more than the bytes.
    if (at - payload > 32) filled += bytes.copy(message, filled, payload, at);
    else for (let from = payload; from < at; from += 1, filled += 1) message[filled] = bytes[from] ?? 0;
  }
  return message.subarray(handshakeHeaderBytes);
}

function broken(bytes: Buffer, length: number, problem: 'HELLO_MALFORMED' | 'HELLO_TOO_LARGE'): ClientHello {
  const hello = helloDraft('tls', recordVersion(bytes));
  hello.length = length;
  hello.problem = problem;
  return hello;
}

function recordVersion(bytes: Buffer): number {
  return ((bytes[1] ?? 0) << 8) | (bytes[2] ?? 0);
}

/**
 * RFC 5246 appendix E.2: msg_length | 0x8000, type 1, version, three lengths (cipher kinds of 3 octets, session id, challenge).
 * All of it must agree, else it is some other protocol: the form is too loose for anything else to be called broken TLS.
 */
function readSslv2(bytes: Buffer, bytesMax: number): ClientHello | 'no' | 'more' {
  const head = bytes.subarray(0, sslv2HeaderBytes);
  if (((head[0] ?? 0) & 0x7f) > sslv2BytesMax >> 8 || (head[2] ?? clientHelloType) !== clientHelloType) return 'no';
  const major = head[3] ?? 3;
  if (major !== 3 && (major !== 0 || (head[4] ?? 2) !== 2)) return 'no';
  if (head.length < sslv2HeaderBytes) return 'more';
  const length = head.readUInt16BE(0) & 0x7fff;
  const ciphersBytes = head.readUInt16BE(5);
  const sessionIdBytes = head.readUInt16BE(7);
  const challengeBytes = head.readUInt16BE(9);
  if (ciphersBytes === 0 || ciphersBytes % 3 !== 0 || (sessionIdBytes !== 0 && sessionIdBytes !== 16)) return 'no';
  if (challengeBytes < 16 || challengeBytes > 32 || 9 + ciphersBytes + sessionIdBytes + challengeBytes !== length) return 'no';
  const hello = helloDraft('sslv2', head.readUInt16BE(3));
  hello.legacyVersion = hello.recordVersion;
  hello.length = 2 + length;
  if (hello.length > bytesMax) {
    hello.problem = 'HELLO_TOO_LARGE';
    return hello;
  }
  if (bytes.length < hello.length) return 'more';
  hello.sessionIdBytes = sessionIdBytes;
  const ciphers: number[] = [];
  for (let at = sslv2HeaderBytes; at < sslv2HeaderBytes + ciphersBytes; at += 3) ciphers.push(bytes.readUIntBE(at, 3));
  hello.ciphers = ciphers;
  settleVersions(hello);
  return hello;
}
