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
 * Walks record headers until the handshake message is whole. The cost of a call is one step for each record, not each byte:
 * a hello in one record that comes byte by byte costs a few comparisons a call.
 */
function readRecords(bytes: Buffer, bytesMax: number): ClientHello | 'no' | 'more' {
  /** Handshake octets in the records before this one. */
  let have = 0;
  let bodyBytes = 0;
  for (let at = 0; ;) {
    const header = recordHeader(bytes, at);
    if (header === 'more') return 'more';
    if (header === 'broken') return at === 0 ? 'no' : broken(bytes, at, 'HELLO_MALFORMED');
    const payload = at + recordHeaderBytes;
    const end = payload + header;
    for (let index = have; index < handshakeHeaderBytes && payload + index - have < end; index += 1) {
      const octet = bytes[payload + index - have];
      if (octet === undefined) return 'more';
      if (index > 0) bodyBytes = bodyBytes * 256 + octet;
      else if (octet !== clientHelloType) return 'no';
    }
    const haveAfter = have + header;
    if (haveAfter >= handshakeHeaderBytes) {
      const whole = handshakeHeaderBytes + bodyBytes;
      if (bodyBytes < helloBodyBytesMin) return broken(bytes, at, 'HELLO_MALFORMED');
      if (at + recordHeaderBytes + whole - have > bytesMax) return broken(bytes, at, 'HELLO_TOO_LARGE');
      // A ClientHello ends its record: what follows belongs to other keys (RFC 8446 section 5.1).
      if (haveAfter > whole) return broken(bytes, at, 'HELLO_MALFORMED');
      if (haveAfter === whole) return bytes.length < end ? 'more' : readWhole(bytes, at === 0, bodyBytes, end);
    }
    if (end > bytesMax) return broken(bytes, at, 'HELLO_TOO_LARGE');
    have = haveAfter;
    at = end;
    if (at > bytes.length) return 'more';
  }
}

/** The payload length of the record at `at`; 'broken' as soon as one byte of the header cannot be a handshake record's. */
function recordHeader(bytes: Buffer, at: number): number | 'more' | 'broken' {
  const type = bytes[at];
  const major = bytes[at + 1];
  if (type === undefined) return 'more';
  if (type !== handshakeRecord) return 'broken';
  if (major === undefined) return 'more';
  // The minor version is to be ignored (RFC 8446 section 5.1).
  if (major !== 3) return 'broken';
  const high = bytes[at + 3];
  const low = bytes[at + 4];
  if (high === undefined || low === undefined) return 'more';
  const length = (high << 8) | low;
  return length === 0 || length > recordBytesMax ? 'broken' : length;
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
    filled += bytes.copy(message, filled, payload, at);
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
