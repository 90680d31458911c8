// The way through an upstream proxy: HTTP CONNECT (RFC 9110 section 9.3.6) or SOCKS 5 (RFC 1928, RFC 1929), with a login where it wants one.
// It gets a connection to the proxy and makes it one to the destination; names are for the proxy to resolve.

import { isIP, isIPv6 } from 'node:net';
import type { Socket } from 'node:net';
import { FlowError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { HeadReader, isFault } from '../http/head-reader.ts';
import { takeMessage } from '../listener/take.ts';

/** A proxy as the config names it. */
export interface UpstreamProxy {
  readonly kind: 'http' | 'socks5';
  readonly host: string;
  readonly port: number;
  readonly login: { readonly user: string; readonly password: string } | null;
}

export interface ProxyTarget {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const httpPort = 80;

/** The parts of `http://USER:PASSWORD@HOST:PORT` or `socks5://...`, which the config's schema has checked. */
export function readProxyUrl(url: string): UpstreamProxy {
  const { protocol, hostname, port, username, password } = new URL(url);
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  const login = username === '' ? null : { user: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { kind: protocol === 'http:' ? 'http' : 'socks5', host, port: port === '' ? httpPort : Number(port), login };
}

/**
 * Asks the proxy for the destination over a connection to it. Resolves once bytes go through; those of the destination that came along are
 * in the socket. Rejects with UPSTREAM_PROXY_FAILED; the socket is destroyed then.
 */
export async function openThrough(socket: Socket, proxy: UpstreamProxy, target: ProxyTarget, limits: Limits): Promise<void> {
  try {
    if (proxy.kind === 'http') await openByConnect(socket, proxy, target, limits);
    else await openBySocks(socket, proxy, target, limits);
  } catch (caught) {
    socket.destroy();
    throw caught;
  }
}

async function openByConnect(socket: Socket, { login }: UpstreamProxy, target: ProxyTarget, limits: Limits): Promise<void> {
  const authority = `${isIPv6(target.host) ? `[${target.host}]` : target.host}:${String(target.port)}`;
  const credentials = login === null ? '' : `Proxy-Authorization: Basic ${Buffer.from(`${login.user}:${login.password}`, 'utf8').toString('base64')}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
  const until = Date.now() + limits.upstreamProxyMs;
  for (;;) {
    const reader = new HeadReader('response', limits);
    const head = await answer(socket, (bytes) => {
      const read = reader.read(bytes, 0);
      return read === 'more' ? read : isFault(read) ? 'no' : { status: read.status, lengthBytes: read.lengthBytes };
    }, Math.max(1, until - Date.now()));
    if (head.status >= 200 && head.status < 300) return;
    if (head.status >= 200) throw failed(head.status === 407 ? 'the proxy wants a login (407)' : `the proxy answered ${String(head.status)}`);
  }
}

const version5 = 5;
const methods = { none: 0, login: 2 } as const;
/** Lengths are one octet on the wire. */
const textBytesMax = 255;

async function openBySocks(socket: Socket, { login }: UpstreamProxy, target: ProxyTarget, limits: Limits): Promise<void> {
  const until = Date.now() + limits.upstreamProxyMs;
  const left = (): number => Math.max(1, until - Date.now());
  socket.write(Buffer.from(login === null ? [version5, 1, methods.none] : [version5, 2, methods.none, methods.login]));
  const { second: method } = await answer(socket, (bytes) => pair(bytes, version5), left());
  if (method === methods.login && login !== null) {
    socket.write(Buffer.concat([Buffer.from([1]), counted(login.user), counted(login.password)]));
    const { second: refused } = await answer(socket, (bytes) => pair(bytes, 1), left());
    if (refused !== 0) throw failed('the proxy refuses the login');
  } else if (method !== methods.none) throw failed('the proxy wants another login');
  socket.write(socksRequest(target));
  const { reply } = await answer(socket, socksReply, left());
  if (reply !== 0) throw failed(`the proxy says: ${replyTexts[reply] ?? `failure ${String(reply)}`}`);
}

const replyTexts: Readonly<Record<number, string>> = {
  1: 'general failure', 2: 'not allowed', 3: 'network unreachable', 4: 'host unreachable', 5: 'connection refused', 6: 'TTL expired', 7: 'command not supported',
  8: 'address type not supported',
};

/** Two octets of which the first is known. */
function pair(bytes: Buffer, first: number): { second: number; lengthBytes: number } | 'more' | 'no' {
  if (bytes[0] !== first) return 'no';
  const second = bytes[1];
  return second === undefined ? 'more' : { second, lengthBytes: 2 };
}

function socksReply(bytes: Buffer): { reply: number; lengthBytes: number } | 'more' | 'no' {
  if (bytes[0] !== version5) return 'no';
  const [, reply, , type, nameBytes] = bytes;
  if (reply === undefined || type === undefined || nameBytes === undefined) return 'more';
  const addressBytes = type === 1 ? 4 : type === 4 ? 16 : type === 3 ? 1 + nameBytes : null;
  if (addressBytes === null) return 'no';
  const lengthBytes = 4 + addressBytes + 2;
  return bytes.length < lengthBytes ? 'more' : { reply, lengthBytes };
}

function socksRequest({ host, port }: ProxyTarget): Buffer {
  const family = isIP(host);
  const address = family === 0 ? Buffer.concat([Buffer.from([3]), counted(host)])
    : family === 4 ? Buffer.from([1, ...host.split('.').map(Number)])
    : Buffer.concat([Buffer.from([4]), ip6Bytes(host)]);
  return Buffer.concat([Buffer.from([version5, 1, 0]), address, Buffer.from([port >> 8, port & 0xff])]);
}

function ip6Bytes(host: string): Buffer {
  // The URL parser knows every spelling and answers the short one without dotted parts.
  const [head = '', tail] = new URL(`http://[${host.replace(/%.*$/, '')}]`).hostname.slice(1, -1).split('::');
  const words = (text: string): number[] => (text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16)));
  const [first, last] = [words(head), words(tail ?? '')];
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

function counted(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length > textBytesMax) throw failed('a name, user or password is longer than 255 octets');
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

async function answer<T extends { readonly lengthBytes: number }>(socket: Socket, read: (bytes: Buffer) => T | 'more' | 'no', waitMs: number): Promise<T> {
  const taken = await takeMessage(socket, read, waitMs);
  switch (taken.kind) {
    case 'message': return taken.message;
    case 'late': throw failed('no answer within upstreamProxyMs');
    case 'error': throw failed('the proxy reset the connection', taken.error);
    case 'ended': case 'cut': throw failed('the proxy closed the connection');
    case 'no': throw failed('the answer is not that of such a proxy');
  }
}

function failed(detail: string, cause?: unknown): FlowError {
  return new FlowError('UPSTREAM_PROXY_FAILED', detail, cause);
}
