// Reads the body of a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) into plain data in one pass.
// It checks every length against the bytes that are there; it never judges whether the offer makes sense.

import { isIP } from 'node:net';
import type { TlsVersion } from '../core/certificates.ts';

/** What a client says in its first TLS message. Numbers are the code points on the wire, in the client's order, GREASE included. */
export interface ClientHello {
  /** `sslv2`: a version 2 CLIENT-HELLO (RFC 5246 appendix E.2), which has no extensions and so no names. */
  readonly format: 'tls' | 'sslv2';
  /** Version of the first record's header; the legacy version again for `sslv2`. */
  readonly recordVersion: number;
  readonly legacyVersion: number;
  /** The supported_versions extension as sent, null without it. */
  readonly supportedVersions: readonly number[] | null;
  /** TLS versions offered, in the client's order, or highest first when derived from the legacy version. SSL 3 is none. */
  readonly versions: readonly TlsVersion[];
  /** The highest of `versions`, null when there is none. */
  readonly maxVersion: TlsVersion | null;
  /** The server name: a valid host name in lower case without trailing dot. Null when absent, an IP literal or not a host name. */
  readonly sni: string | null;
  /** What was sent as server name when it is not a host name (latin1, at most 255 characters), else null. */
  readonly sniRaw: string | null;
  /** Whether `sniRaw` is an IP literal, which RFC 6066 section 3 does not allow as a server name. */
  readonly sniIsIp: boolean;
  /** ALPN names, each octet one character (latin1): names need not be text. */
  readonly alpn: readonly string[];
  /** Cipher suites; 24-bit cipher kinds in the `sslv2` format, where those below 0x10000 are cipher suites. */
  readonly ciphers: readonly number[];
  readonly extensions: readonly number[];
  readonly groups: readonly number[];
  /** Groups of the key shares. */
  readonly keyShares: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  readonly pointFormats: readonly number[];
  readonly sessionIdBytes: number;
  /** Whether encrypted_client_hello (0xfe0d) is there, real or GREASE. */
  readonly hasEch: boolean;
  /** Whether the session_ticket extension is there, empty or not. */
  readonly hasSessionTicket: boolean;
  /** False for hellos that end after the compression methods. */
  readonly hasExtensionsBlock: boolean;
  /** Whether a GREASE value (RFC 8701) is among ciphers, extensions, groups, versions or signature algorithms. */
  readonly greaseSeen: boolean;
  /** Bytes of the whole hello with its record headers; for a broken one, the bytes up to the broken record. */
  readonly length: number;
  /** Null when well formed. With a problem, the other fields hold what was read before it and prove nothing. */
  readonly problem: 'HELLO_MALFORMED' | 'HELLO_TOO_LARGE' | null;
}

/** A hello being read. */
export type HelloDraft = { -readonly [K in keyof ClientHello]: ClientHello[K] };

/** version, random, empty session id, one suite, one compression method: no ClientHello is shorter. */
export const helloBodyBytesMin = 2 + 32 + 1 + 2 + 2 + 1 + 1;

const sniRawMax = 255;
const extensionServerName = 0;
const extensionGroups = 10;
const extensionPointFormats = 11;
const extensionSignatureAlgorithms = 13;
const extensionAlpn = 16;
const extensionSessionTicket = 35;
const extensionSupportedVersions = 43;
const extensionKeyShare = 51;
const extensionEch = 0xfe0d;

const versionsByNumber: ReadonlyMap<number, TlsVersion> = new Map([[0x0304, 'TLSv1.3'], [0x0303, 'TLSv1.2'], [0x0302, 'TLSv1.1'], [0x0301, 'TLSv1']]);
const noNumbers: readonly number[] = [];

/** An empty hello to read into. */
export function helloDraft(format: ClientHello['format'], recordVersion: number): HelloDraft {
  return {
    format, recordVersion, legacyVersion: 0, supportedVersions: null, versions: [], maxVersion: null, sni: null, sniRaw: null, sniIsIp: false,
    alpn: [], ciphers: noNumbers, extensions: noNumbers, groups: noNumbers, keyShares: noNumbers, signatureAlgorithms: noNumbers,
    pointFormats: noNumbers, sessionIdBytes: 0, hasEch: false, hasSessionTicket: false, hasExtensionsBlock: false, greaseSeen: false,
    length: 0, problem: null,
  };
}

/** Whether a 16-bit code point is reserved by RFC 8701. */
export function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}

/** Reads a whole ClientHello body (without the handshake header) into the draft; false when its lengths lie or extensions repeat. */
export function readHelloBody(hello: HelloDraft, body: Buffer): boolean {
  const wellFormed = readFixedPart(hello, body);
  settleVersions(hello);
  hello.greaseSeen = hello.ciphers.some(isGrease) || hello.extensions.some(isGrease) || hello.groups.some(isGrease)
    || (hello.supportedVersions?.some(isGrease) ?? false) || hello.signatureAlgorithms.some(isGrease);
  return wellFormed;
}

/** Fills `versions` and `maxVersion` from supported_versions, or from the legacy version without it (RFC 8446 section 4.2.1). */
export function settleVersions(hello: HelloDraft): void {
  const versions: TlsVersion[] = [];
  for (const [number, version] of versionsByNumber) {
    if (hello.supportedVersions === null ? number < 0x0304 && number <= hello.legacyVersion : hello.supportedVersions.includes(number)) versions.push(version);
  }
  hello.maxVersion = versions[0] ?? null;
  if (hello.supportedVersions !== null && versions.length > 1) {
    const sent = hello.supportedVersions.map((number) => versionsByNumber.get(number)).filter((version) => version !== undefined);
    hello.versions = [...new Set(sent)];
  } else hello.versions = versions;
}

function readFixedPart(hello: HelloDraft, body: Buffer): boolean {
  const end = body.length;
  if (end < helloBodyBytesMin) return false;
  hello.legacyVersion = u16(body, 0);
  const sessionIdBytes = u8(body, 34);
  if (sessionIdBytes > 32) return false;
  hello.sessionIdBytes = sessionIdBytes;
  let at = 35 + sessionIdBytes;
  if (at + 2 > end) return false;
  const ciphersEnd = at + 2 + u16(body, at);
  if (ciphersEnd + 1 > end) return false;
  const ciphers = numbers16(body, at + 2, ciphersEnd);
  if (ciphers === null) return false;
  hello.ciphers = ciphers;
  const compressionBytes = u8(body, ciphersEnd);
  at = ciphersEnd + 1 + compressionBytes;
  if (compressionBytes === 0 || at > end) return false;
  if (at === end) return true;
  if (at + 2 > end || at + 2 + u16(body, at) !== end) return false;
  hello.hasExtensionsBlock = true;
  return readExtensions(hello, body, at + 2);
}

function readExtensions(hello: HelloDraft, body: Buffer, start: number): boolean {
  const extensions: number[] = [];
  const seen = new Set<number>();
  hello.extensions = extensions;
  for (let at = start; at < body.length;) {
    if (at + 4 > body.length) return false;
    const type = u16(body, at);
    const end = at + 4 + u16(body, at + 2);
    if (end > body.length || seen.has(type)) return false;
    seen.add(type);
    extensions.push(type);
    if (!readExtension(hello, type, body, at + 4, end)) return false;
    at = end;
  }
  return true;
}

/** One extension's data, `body[start, end)`. Unknown ones are only listed. */
function readExtension(hello: HelloDraft, type: number, body: Buffer, start: number, end: number): boolean {
  switch (type) {
    case extensionServerName:
      return readServerName(hello, body, start, end);
    case extensionAlpn:
      return readAlpn(hello, body, start, end);
    case extensionKeyShare:
      return readKeyShares(hello, body, start, end);
    case extensionGroups: {
      const groups = prefixed16(body, start, end);
      hello.groups = groups ?? noNumbers;
      return groups !== null;
    }
    case extensionSignatureAlgorithms: {
      const algorithms = prefixed16(body, start, end);
      hello.signatureAlgorithms = algorithms ?? noNumbers;
      return algorithms !== null;
    }
    case extensionSupportedVersions: {
      const versions = start < end && start + 1 + u8(body, start) === end ? numbers16(body, start + 1, end) : null;
      hello.supportedVersions = versions;
      return versions !== null;
    }
    case extensionPointFormats: {
      if (start + 2 > end || start + 1 + u8(body, start) !== end) return false;
      hello.pointFormats = [...body.subarray(start + 1, end)];
      return true;
    }
    case extensionSessionTicket:
      hello.hasSessionTicket = true;
      return true;
    case extensionEch:
      hello.hasEch = true;
      return true;
    default:
      return true;
  }
}

/** RFC 6066 section 3: a list of typed names, of which only one may be a host name. A second one could be read differently by two parties. */
function readServerName(hello: HelloDraft, body: Buffer, start: number, end: number): boolean {
  if (start + 5 > end || start + 2 + u16(body, start) !== end) return false;
  let names = 0;
  for (let at = start + 2; at < end;) {
    if (at + 3 > end) return false;
    const nameEnd = at + 3 + u16(body, at + 1);
    if (nameEnd > end || nameEnd === at + 3) return false;
    if (u8(body, at) === 0) {
      names += 1;
      if (names > 1) return false;
      settleServerName(hello, body.toString('latin1', at + 3, Math.min(nameEnd, at + 3 + sniRawMax)), nameEnd - at - 3);
    }
    at = nameEnd;
  }
  return true;
}

function settleServerName(hello: HelloDraft, text: string, bytes: number): void {
  const name = bytes === text.length ? hostName(text) : null;
  if (name !== null) hello.sni = name;
  else {
    hello.sniRaw = text;
    hello.sniIsIp = isIP(text) !== 0 || (text.startsWith('[') && text.endsWith(']') && isIP(text.slice(1, -1)) === 6);
  }
}

/** Letters, digits, `-` and `_` in labels of 1 to 63; a last label of digits alone makes it an address or nothing (RFC 1123 section 2.1). */
const hostPattern = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** A host name in lower case without its trailing dot, or null when the text is none (RFC 1123, with `_` as DNS has it). */
export function hostName(text: string): string | null {
  const lower = text.toLowerCase();
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  return hostPattern.test(name) ? name : null;
}

/** RFC 7301 section 3.1. */
function readAlpn(hello: HelloDraft, body: Buffer, start: number, end: number): boolean {
  if (start + 4 > end || start + 2 + u16(body, start) !== end) return false;
  const names: string[] = [];
  hello.alpn = names;
  for (let at = start + 2; at < end;) {
    const nameEnd = at + 1 + u8(body, at);
    if (nameEnd > end || nameEnd === at + 1) return false;
    names.push(body.toString('latin1', at + 1, nameEnd));
    at = nameEnd;
  }
  return true;
}

/** RFC 8446 section 4.2.8; the list may be empty. */
function readKeyShares(hello: HelloDraft, body: Buffer, start: number, end: number): boolean {
  if (start + 2 > end || start + 2 + u16(body, start) !== end) return false;
  const groups: number[] = [];
  hello.keyShares = groups;
  for (let at = start + 2; at < end;) {
    if (at + 4 > end) return false;
    const shareEnd = at + 4 + u16(body, at + 2);
    if (shareEnd > end || shareEnd === at + 4) return false;
    groups.push(u16(body, at));
    at = shareEnd;
  }
  return true;
}

/** A list of 16-bit numbers behind its 16-bit length that fills `[start, end)`; null when it does not, or is empty. */
function prefixed16(body: Buffer, start: number, end: number): number[] | null {
  return start + 2 <= end && start + 2 + u16(body, start) === end ? numbers16(body, start + 2, end) : null;
}

function numbers16(body: Buffer, start: number, end: number): number[] | null {
  if (end <= start || (end - start) % 2 !== 0) return null;
  const list: number[] = [];
  for (let at = start; at < end; at += 2) list.push(u16(body, at));
  return list;
}

// The callers have checked that the bytes are there.
function u8(body: Buffer, at: number): number {
  return body[at] ?? 0;
}

function u16(body: Buffer, at: number): number {
  return (u8(body, at) << 8) | u8(body, at + 1);
}
