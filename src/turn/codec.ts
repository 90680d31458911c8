// Reads and writes TURN and STUN messages of both dialects, one message already framed and bounded at a time.
// It never throws on input, never copies a payload while reading, and knows no sockets.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { SocketAddress, isIPv6 } from 'node:net';
import { crc32 } from 'node:zlib';
import { parseAddress } from '../core/addresses.ts';
import { messageName, msAttributes, msCookie, msTypes, rfcAttributes, rfcClass, rfcCookie } from './names.ts';
import type { Dialect, TurnMessageName } from './names.ts';

/** Type, length and transaction id, the same 20 bytes in both dialects. */
export const headerBytes = 20;
const attributeHeaderBytes = 4;
const sha1Bytes = 20;
const sha256Bytes = 32;

export interface TurnAttribute {
  readonly type: number;
  /** A view of the message. */
  readonly value: Buffer;
}

export interface TurnMessage {
  readonly dialect: Dialect;
  readonly type: number;
  readonly name: TurnMessageName;
  /** The 16 bytes after type and length: MS transaction id, or the RFC's cookie and transaction id. */
  readonly transaction: Buffer;
  readonly attributes: readonly TurnAttribute[];
  /** False when the bytes end before the message does, or an attribute overruns it. */
  readonly whole: boolean;
}

export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** Whether bytes start like a message of this dialect (RFC 5389 section 6; MS-TURN 2.2.2.1: the cookie attribute comes first). */
export function looksLike(dialect: Dialect, bytes: Buffer, offset = 0): boolean {
  if (bytes.length - offset < headerBytes || bytes.readUInt8(offset) > 0x3f) return false;
  if (dialect === 'rfc') return bytes.readUInt32BE(offset + 4) === rfcCookie;
  if (bytes.length - offset < headerBytes + 8) return false;
  return bytes.readUInt32BE(offset + headerBytes) === 0x000f0004 && bytes.readUInt32BE(offset + headerBytes + 4) === msCookie;
}

/** Decodes one message; null when it is none of this dialect. Of a cut or broken one it tells what can be told. */
export function decodeMessage(bytes: Buffer, dialect: Dialect): TurnMessage | null {
  if (!looksLike(dialect, bytes)) return null;
  const type = bytes.readUInt16BE(0);
  const attributes: TurnAttribute[] = [];
  const whole = walkAttributes(bytes, dialect, (attribute, at, length) => {
    attributes.push({ type: attribute, value: bytes.subarray(at, at + length) });
  });
  return { dialect, type, name: messageName(dialect, type), transaction: bytes.subarray(4, headerBytes), attributes, whole };
}

/**
 * Shows each attribute's type, and its value's offset and length. False when the message is cut or an attribute overruns.
 * MS-TURN does not pad attributes; the RFCs pad to 4 bytes.
 */
export function walkAttributes(bytes: Buffer, dialect: Dialect, visit: (type: number, at: number, length: number) => void): boolean {
  const messageEnd = headerBytes + bytes.readUInt16BE(2);
  const end = Math.min(messageEnd, bytes.length);
  let at = headerBytes;
  while (at + attributeHeaderBytes <= end) {
    const length = bytes.readUInt16BE(at + 2);
    const value = at + attributeHeaderBytes;
    if (value + length > end) return false;
    visit(bytes.readUInt16BE(at), value, length);
    at = value + (dialect === 'ms' ? length : (length + 3) & ~3);
  }
  return at === messageEnd && messageEnd === bytes.length;
}

/** The first attribute of a type, or null. */
export function attributeOf(message: TurnMessage, type: number): Buffer | null {
  return message.attributes.find((attribute) => attribute.type === type)?.value ?? null;
}

/** A 4-byte number attribute (lifetime in seconds, bandwidth, MS-Version), or null. */
export function numberOf(message: TurnMessage, type: number): number | null {
  const value = attributeOf(message, type);
  return value?.length === 4 ? value.readUInt32BE(0) : null;
}

/** ERROR-CODE: class in the third byte, number in the fourth (RFC 5389 15.6). */
export function errorOf(message: TurnMessage): { readonly code: number; readonly reason: string } | null {
  const value = attributeOf(message, rfcAttributes['error-code']);
  if (value === null || value.length < 4) return null;
  return { code: (value.readUInt8(2) & 0x07) * 100 + value.readUInt8(3), reason: value.toString('utf8', 4) };
}

/** A plain address attribute: reserved, family, port, address. IPv4 mapped into IPv6 is shown as IPv4, so that rules meet it. */
export function readAddress(value: Buffer): Address | null {
  if (value.length === 8 && value.readUInt8(1) === 1) return { ip: value.subarray(4).join('.'), port: value.readUInt16BE(2) };
  if (value.length !== 20 || value.readUInt8(1) !== 2) return null;
  const ip = value.subarray(4);
  if (mappedPrefix.equals(ip.subarray(0, 12))) return { ip: ip.subarray(12).join('.'), port: value.readUInt16BE(2) };
  const text = ip.toString('hex').replace(/(.{4})(?!$)/g, '$1:');
  return { ip: new SocketAddress({ address: text, family: 'ipv6' }).address, port: value.readUInt16BE(2) };
}

/** An XORed address attribute. Both dialects XOR with the 16 bytes after the header's length: cookie and id, or the MS id. */
export function readXorAddress(value: Buffer, transaction: Buffer): Address | null {
  return readAddress(xored(value, transaction));
}

/** `ip:port`, IPv6 in brackets. */
export function addressText(address: Address): string {
  return isIPv6(address.ip) ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** The long-term key: MD5 of user, realm and password (RFC 5389 15.4; in MS-TURN user and password are octets). */
export function longTermKey(user: Buffer | string, realm: Buffer | string, password: Buffer | string): Buffer {
  return createHash('md5').update(user).update(':').update(realm).update(':').update(password).digest();
}

/**
 * Checks MESSAGE-INTEGRITY (SHA-1; SHA-256 where its length says so, MS-TURN 2.2.2.4) or MESSAGE-INTEGRITY-SHA256 (RFC 8489).
 * The text's length field covers the attribute itself; MS-TURN pads the text with zeros to 64 bytes.
 */
export function checkIntegrity(bytes: Buffer, dialect: Dialect, key: Buffer): 'match' | 'mismatch' | 'absent' {
  if (!looksLike(dialect, bytes)) return 'absent';
  let found: 'match' | 'mismatch' | 'absent' = 'absent';
  const whole = walkAttributes(bytes, dialect, (type, at, length) => {
    const sha256 = dialect === 'rfc' && type === rfcAttributes['message-integrity-sha256'];
    if (found !== 'absent' || (!sha256 && type !== msAttributes['message-integrity'])) return;
    const hash = sha256 || length === sha256Bytes ? 'sha256' : 'sha1';
    const right = integrity(bytes, at - attributeHeaderBytes, length, dialect, key, hash).subarray(0, length);
    const given = bytes.subarray(at, at + length);
    found = length >= 16 && right.length === given.length && timingSafeEqual(right, given) ? 'match' : 'mismatch';
  });
  // The length field is computed, not read, for the text: a wrong one must not pass.
  return whole || found === 'absent' ? found : 'mismatch';
}

/** Checks FINGERPRINT: CRC-32 of the message before it, XORed with 0x5354554e (RFC 5389 15.5). */
export function checkFingerprint(bytes: Buffer): 'match' | 'mismatch' | 'absent' {
  let found: 'match' | 'mismatch' | 'absent' = 'absent';
  if (!looksLike('rfc', bytes)) return found;
  walkAttributes(bytes, 'rfc', (type, at, length) => {
    if (type !== rfcAttributes.fingerprint || length !== 4) return;
    const right = (crc32(bytes.subarray(0, at - attributeHeaderBytes)) ^ 0x5354554e) >>> 0;
    found = right === bytes.readUInt32BE(at) ? 'match' : 'mismatch';
  });
  return found;
}

export interface OutgoingMessage {
  readonly dialect: Dialect;
  readonly type: number;
  /** 16 bytes, see TurnMessage; a fresh one when absent. */
  readonly transaction?: Buffer;
  /** In order; the MS cookie is put first by the encoder. */
  readonly attributes: readonly TurnAttribute[];
  /** Signs the message with MESSAGE-INTEGRITY. */
  readonly key?: Buffer;
}

/** Encodes one message, without any stream framing. */
export function encodeMessage(message: OutgoingMessage): Buffer {
  const { dialect, key } = message;
  const parts: Buffer[] = [Buffer.alloc(4), message.transaction ?? newTransaction(dialect)];
  if (dialect === 'ms') parts.push(attributeBytes(dialect, msAttributes['magic-cookie'], uint32(msCookie)));
  for (const { type, value } of message.attributes) parts.push(attributeBytes(dialect, type, value));
  const bytes = Buffer.concat(parts);
  bytes.writeUInt16BE(message.type, 0);
  bytes.writeUInt16BE(bytes.length - headerBytes, 2);
  if (key === undefined) return bytes;
  const code = integrity(bytes, bytes.length, sha1Bytes, dialect, key, 'sha1');
  const signed = Buffer.concat([bytes, attributeBytes(dialect, msAttributes['message-integrity'], code)]);
  signed.writeUInt16BE(signed.length - headerBytes, 2);
  return signed;
}

/** A fresh transaction: random, after the cookie in the RFC's dialect. */
export function newTransaction(dialect: Dialect): Buffer {
  return dialect === 'ms' ? randomBytes(16) : Buffer.concat([uint32(rfcCookie), randomBytes(12)]);
}

/**
 * The error response to a request, given its first 20 bytes or more; null when its kind is never answered (indications,
 * responses, MS Send). It carries no MESSAGE-INTEGRITY: the key is the server's.
 */
export function encodeErrorResponse(request: Buffer, dialect: Dialect, code: number, reason: string): Buffer | null {
  if (request.length < headerBytes) return null;
  const type = errorType(dialect, request.readUInt16BE(0));
  if (type === null) return null;
  return encodeMessage({ dialect, type, transaction: request.subarray(4, headerBytes), attributes: [{ type: rfcAttributes['error-code'], value: errorValue(code, reason) }] });
}

export function errorValue(code: number, reason: string): Buffer {
  return Buffer.concat([Buffer.from([0, 0, Math.floor(code / 100), code % 100]), Buffer.from(reason, 'utf8')]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The value of a plain address attribute; 0.0.0.0 for a text that is no address. */
export function addressValue(address: Address): Buffer {
  const parsed = parseAddress(address.ip);
  const isIpv6 = parsed?.family === 6;
  const value = Buffer.alloc(isIpv6 ? 20 : 8);
  value.writeUInt8(isIpv6 ? 2 : 1, 1);
  value.writeUInt16BE(address.port, 2);
  for (let word = 0; word < (isIpv6 ? 4 : 1); word += 1) value.writeUInt32BE(parsed?.words[word] ?? 0, 4 + word * 4);
  return value;
}

/** The value of an XORed address attribute. */
export function xorAddressValue(address: Address, transaction: Buffer): Buffer {
  return xored(addressValue(address), transaction);
}

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

function errorType(dialect: Dialect, type: number): number | null {
  if (dialect === 'rfc') return (type & rfcClass.mask) === rfcClass.request ? type | rfcClass.error : null;
  if (type === msTypes.allocate) return msTypes['allocate-error'];
  return type === msTypes['set-active-destination'] ? msTypes['set-active-destination-error'] : null;
}

function integrity(bytes: Buffer, at: number, length: number, dialect: Dialect, key: Buffer, hash: 'sha1' | 'sha256'): Buffer {
  const text = Buffer.from(bytes.subarray(0, at));
  text.writeUInt16BE(at + attributeHeaderBytes + length - headerBytes, 2);
  const hmac = createHmac(hash, key).update(text);
  if (dialect === 'ms') hmac.update(Buffer.alloc((64 - (at % 64)) % 64));
  return hmac.digest();
}

function attributeBytes(dialect: Dialect, type: number, value: Buffer): Buffer {
  const padding = dialect === 'ms' ? 0 : (4 - (value.length % 4)) % 4;
  const bytes = Buffer.alloc(attributeHeaderBytes + value.length + padding);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, attributeHeaderBytes);
  return bytes;
}

/** XORs port and address; a value of another length stays as it is and is refused by readAddress. */
function xored(value: Buffer, transaction: Buffer): Buffer {
  const bytes = Buffer.from(value);
  if (value.length !== 8 && value.length !== 20) return bytes;
  for (let i = 2; i < bytes.length; i += 1) {
    const mask = transaction[i < 4 ? i - 2 : i - 4] ?? 0;
    bytes[i] = (bytes[i] ?? 0) ^ mask;
  }
  return bytes;
}
