// A TCP socket whose own address is the client's, for `source: client`: servers then see whom they serve. Node 24 has no public way to set
// an option before connect, so socket, IP_TRANSPARENT and bind are libc calls through koffi; Node connects and owns the socket from then on.

import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { parseAddress } from '../core/addresses.ts';
import type { Address } from '../core/addresses.ts';

// <bits/socket.h>, <linux/in.h>, <linux/in6.h>
const familyIpv4 = 2;
const familyIpv6 = 10;
/** SOCK_STREAM, non-blocking, closed on exec. */
const streamSocket = 0o4001 | 0o2000000;
const levelIpv4 = 0;
const levelIpv6 = 41;
const optionIpv4Transparent = 19;
const optionIpv6Transparent = 75;
/** The port is chosen at connect: the same one serves several destinations, so that a busy client does not run out of them. */
const optionBindAddressNoPort = 24;
/** sockaddr_in and sockaddr_in6: length, and where the address stands. */
const layout = { 4: { bytes: 16, at: 4 }, 6: { bytes: 28, at: 8 } } as const;

const libc = koffi.load(null);
const openSocket = libc.func('int socket(int domain, int type, int protocol)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int option, const void *value, uint32_t length)');
const bindSocket = libc.func('int bind(int fd, const void *address, uint32_t length)');
const closeSocket = libc.func('int close(int fd)');

const on = Buffer.alloc(4);
on.writeInt32LE(1);

/**
 * An unconnected socket bound to a client's address and any port; `connect` must be called in the same turn of the event loop, before
 * Node asks the kernel about the descriptor. Throws with the system's word (EPERM without CAP_NET_ADMIN).
 */
export function socketFrom(ip: string): Socket {
  const address = parseAddress(ip);
  if (address === undefined) throw new Error(`${ip} is no address`);
  const family = address.family === 6 ? 6 : 4;
  const fd = transparentSocket(family);
  const place = sockaddr(address, family);
  must(fd, setsockopt(fd, levelIpv4, optionBindAddressNoPort, on, on.length), 'IP_BIND_ADDRESS_NO_PORT');
  must(fd, bindSocket(fd, place, place.length), `bind to ${ip}`);
  return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
}

/** Throws, with what to do, where this process may not take clients' addresses. */
export function checkClientSource(): void {
  try {
    closeSocket(transparentSocket(4));
  } catch (caught) {
    throw new Error(`source: client needs CAP_NET_ADMIN (${caught instanceof Error ? caught.message : String(caught)})`, { cause: caught });
  }
}

/** Family in the machine's order, port 0, and the address as on the wire. */
function sockaddr(address: Address, family: 4 | 6): Buffer {
  const { bytes, at } = layout[family];
  const place = Buffer.alloc(bytes);
  place.writeUInt16LE(family === 4 ? familyIpv4 : familyIpv6, 0);
  for (const [index, word] of address.words.subarray(0, family === 4 ? 1 : 4).entries()) place.writeUInt32BE(word, at + index * 4);
  return place;
}

function transparentSocket(family: 4 | 6): number {
  const fd: unknown = openSocket(family === 4 ? familyIpv4 : familyIpv6, streamSocket, 0);
  if (typeof fd !== 'number' || fd < 0) throw new Error(`socket: ${lastError()}`);
  const [level, option, name] = family === 4 ? [levelIpv4, optionIpv4Transparent, 'IP_TRANSPARENT'] as const : [levelIpv6, optionIpv6Transparent, 'IPV6_TRANSPARENT'] as const;
  must(fd, setsockopt(fd, level, option, on, on.length), name);
  return fd;
}

function must(fd: number, result: unknown, what: string): void {
  if (result === 0) return;
  const error = lastError();
  closeSocket(fd);
  throw new Error(`${what}: ${error}`);
}

function lastError(): string {
  return getSystemErrorName(-koffi.errno());
}
