// SOCKS on the wire: reads greetings, logins and requests, writes replies (SOCKS 4 and 4a, RFC 1928, RFC 1929). Pure; never throws.

import { isIP } from 'node:net';
import { Cursor } from '../core/bytes.ts';

export interface SocksRequest {
  readonly kind: 'request';
  readonly version: 4 | 5;
  readonly command: 'connect' | 'other';
  readonly host: string | null;
  readonly ip: string | null;
  readonly port: number;
  readonly user: string | null;
  /** Bytes of the message. */
  readonly length: number;
}

export type SocksMessage =
  | SocksRequest
  | { readonly kind: 'methods'; readonly methods: readonly number[]; readonly length: number }
  | { readonly kind: 'login'; readonly user: string; readonly password: string; readonly length: number };

const noAuth = 0;
const userPassword = 2;
const textBytesMax = 255;

/** Reads the message that is due. A greeting is a version 5 method list or a whole version 4 request. */
export function readSocks(bytes: Buffer, due: 'greeting' | 'password' | 'request'): SocksMessage | 'more' | 'no' {
  const [first] = bytes;
  if (first === undefined) return 'more';
  if (due === 'password') return first === 1 ? readLogin(bytes) : 'no';
  if (due === 'request') return first === 5 ? readRequest5(bytes) : 'no';
  if (first === 4) return readRequest4(bytes);
  return first === 5 ? readMethods(bytes) : 'no';
}

/** The method to take of those offered: user and password when the service wants them, else none. */
export function chooseMethod(methods: readonly number[], needsLogin: boolean): number | null {
  const wanted = needsLogin ? userPassword : noAuth;
  return methods.includes(wanted) ? wanted : null;
}

const replies = {
  succeeded: 0, failure: 1, 'not-allowed': 2, 'network-unreachable': 3, 'host-unreachable': 4, refused: 5, 'ttl-expired': 6,
  'command-not-supported': 7,
} as const;

/** A version 5 reply; the bound address is left unspecified. */
export function answerSocks5(reply: keyof typeof replies): Buffer {
  return Buffer.from([5, replies[reply], 0, 1, 0, 0, 0, 0, 0, 0]);
}

/** A version 4 reply: 90 granted, 91 refused. */
export function answerSocks4(granted: boolean): Buffer {
  return Buffer.from([0, granted ? 90 : 91, 0, 0, 0, 0, 0, 0]);
}

/** The answer to a login (RFC 1929). */
export function passwordAnswer(right: boolean): Buffer {
  return Buffer.from([1, right ? 0 : 1]);
}

function readMethods(bytes: Buffer): SocksMessage | 'more' {
  const cursor = new Cursor(bytes, 1);
  const methods = cursor.slice(cursor.u8() ?? 0);
  return methods === undefined || cursor.offset < 2 ? 'more' : { kind: 'methods', methods: [...methods], length: cursor.offset };
}

function readLogin(bytes: Buffer): SocksMessage | 'more' {
  const cursor = new Cursor(bytes, 1);
  const user = text(cursor);
  const password = user === undefined ? undefined : text(cursor);
  return user === undefined || password === undefined ? 'more' : { kind: 'login', user, password, length: cursor.offset };
}

function text(cursor: Cursor): string | undefined {
  const length = cursor.u8();
  return length === undefined ? undefined : cursor.slice(length)?.toString('utf8');
}

function readRequest5(bytes: Buffer): SocksMessage | 'more' | 'no' {
  const cursor = new Cursor(bytes, 1);
  const command = cursor.u8();
  const reserved = cursor.u8();
  const type = cursor.u8();
  if (command === undefined || reserved === undefined || type === undefined) return 'more';
  if (type !== 1 && type !== 3 && type !== 4) return 'no';
  const nameBytes = type === 3 ? cursor.u8() : type === 1 ? 4 : 16;
  const address = nameBytes === undefined ? undefined : cursor.slice(nameBytes);
  const port = cursor.u16();
  if (address === undefined || port === undefined) return 'more';
  const name = type === 3 ? hostName(address) : null;
  if (name === '') return 'no';
  const ip = type === 1 ? address.join('.') : type === 4 ? ip6(address) : null;
  return destination({ version: 5, command: command === 1 ? 'connect' : 'other', name, ip, port, user: null, length: cursor.offset });
}

function readRequest4(bytes: Buffer): SocksMessage | 'more' | 'no' {
  const cursor = new Cursor(bytes, 1);
  const command = cursor.u8();
  const port = cursor.u16();
  const address = cursor.slice(4);
  if (command === undefined || port === undefined || address === undefined) return 'more';
  const user = untilNull(cursor);
  if (typeof user === 'string') return user;
  // 4a: 0.0.0.x means that a name follows.
  const named = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0;
  const host = named ? untilNull(cursor) : null;
  if (typeof host === 'string') return host;
  const name = host === null ? null : hostName(host.bytes);
  if (name === '') return 'no';
  return destination({
    // The user id of version 4 proves nothing and so is nobody's name here.
    version: 4, command: command === 1 ? 'connect' : 'other', name, ip: named ? null : address.join('.'), port, user: null, length: cursor.offset,
  });
}

function destination(found: Omit<SocksRequest, 'kind' | 'host'> & { name: string | null }): SocksRequest | 'no' {
  const { name, ...rest } = found;
  if (rest.port === 0) return 'no';
  return name !== null && isIP(name) !== 0 ? { ...rest, kind: 'request', host: null, ip: name } : { ...rest, kind: 'request', host: name };
}

function untilNull(cursor: Cursor): { bytes: Buffer } | 'more' | 'no' {
  const end = cursor.bytes.indexOf(0, cursor.offset);
  if (end < 0) return cursor.left > textBytesMax ? 'no' : 'more';
  const bytes = cursor.slice(end - cursor.offset);
  cursor.u8();
  return bytes === undefined || bytes.length > textBytesMax ? 'no' : { bytes };
}

/** A name of host-name characters in lower case, or an address as text; empty when it is neither. */
function hostName(bytes: Buffer): string {
  const name = bytes.toString('latin1').toLowerCase().replace(/\.$/, '');
  if (isIP(name) !== 0) return name;
  return /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/.test(name) ? name : '';
}

/** In the usual short form. */
function ip6(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_unused, index) => address.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
