// Where a client meant to go: SO_ORIGINAL_DST for REDIRECT, IP_TRANSPARENT for TPROXY. Node 24 has neither, so this file calls
// libc through koffi on the socket's file descriptor. It never changes where a connection goes.

import type { Server, Socket } from 'node:net';
import koffi from 'koffi';
import type { Endpoint } from '../core/session.ts';

// <linux/in.h>, <linux/in6.h>, <linux/netfilter_ipv4.h>, <linux/netfilter_ipv6/ip6_tables.h>
const levelIpv4 = 0;
const levelIpv6 = 41;
const optionOriginalDst = 80;
const optionIpv4Transparent = 19;
const optionIpv6Transparent = 75;
const familyIpv4 = 2;
const familyIpv6 = 10;

// sockaddr_in6 is the larger of the two: family (host order), port (network order), then the address at 4 or 8.
const addressBytes = 28;
const portAt = 2;
const ipv4At = 4;
const ipv6At = 8;
const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

const libc = koffi.load(null);
const getsockopt = libc.func('int getsockopt(int fd, int level, int option, void *value, void *length)');
const getsockname = libc.func('int getsockname(int fd, void *address, void *length)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int option, void *value, uint32_t length)');

// One call at a time: the calls are synchronous, and what they wrote is read before the next.
const value = Buffer.alloc(addressBytes);
const local = Buffer.alloc(addressBytes);
const length = Buffer.alloc(4);

/**
 * The destination before REDIRECT or DNAT, from the kernel's connection tracking; about 5 microseconds. IPv4 clients of a
 * dual-stack listener are asked for as IPv4. Null when the connection was not redirected, or the kernel does not know.
 */
export function originalDestination(socket: Socket): Endpoint | null {
  const fd = descriptor(socket);
  if (fd === null || !askLocal(fd)) return null;
  const version = local.readUInt16LE(0) === familyIpv6 && !isMapped() ? 6 : 4;
  if (!askOriginal(fd, version === 6 ? levelIpv6 : levelIpv4)) return null;
  // Tracked but not redirected: the client dialled the listener itself.
  return isLocal(version) ? null : endpoint();
}

/**
 * Lets a listening server take TPROXY connections to any address; an accepted socket's local address is then the destination.
 * Call it once the server listens. Throws when the kernel refuses: it needs CAP_NET_ADMIN.
 */
export function setTransparent(server: Server): void {
  const fd = descriptor(server);
  const address = server.address();
  if (fd === null || address === null || typeof address === 'string') throw new Error('only a listening TCP server can be made transparent');
  const on = Buffer.alloc(4);
  on.writeInt32LE(1);
  // A dual-stack socket needs both: the IPv4 option alone is looked at for IPv4 clients.
  const options = address.family === 'IPv6' ? [[levelIpv6, optionIpv6Transparent], [levelIpv4, optionIpv4Transparent]] : [[levelIpv4, optionIpv4Transparent]];
  for (const [level, option] of options) {
    if (setsockopt(fd, level, option, on, on.length) !== 0) {
      throw new Error(`the kernel refuses a transparent listener on port ${address.port} (errno ${koffi.errno()}): TPROXY needs CAP_NET_ADMIN`);
    }
  }
}

/** Whether whoever opened the socket has made it transparent already (`Transparent=yes` of a socket unit). */
export function isTransparent(server: Server): boolean {
  const fd = descriptor(server);
  const address = server.address();
  if (fd === null || address === null || typeof address === 'string') return false;
  const set = (level: number, option: number): boolean => {
    length.writeUInt32LE(4);
    return getsockopt(fd, level, option, value, length) === 0 && value.readInt32LE(0) !== 0;
  };
  // systemd sets one option; the kernel keeps both in one bit of the socket.
  return set(levelIpv4, optionIpv4Transparent) || (address.family === 'IPv6' && set(levelIpv6, optionIpv6Transparent));
}

function askOriginal(fd: number, level: number): boolean {
  length.writeUInt32LE(addressBytes);
  return getsockopt(fd, level, optionOriginalDst, value, length) === 0;
}

/** The accepted end's address, as octets: Node would make an object of texts of it. */
function askLocal(fd: number): boolean {
  length.writeUInt32LE(addressBytes);
  return getsockname(fd, local, length) === 0;
}

/** An IPv4 client of a dual-stack listener: the local address is `::ffff:a.b.c.d`. */
function isMapped(): boolean {
  return local.compare(mappedPrefix, 0, mappedPrefix.length, ipv6At, ipv6At + mappedPrefix.length) === 0;
}

/** Whether what the kernel answered is the accepted end's own address. */
function isLocal(version: 4 | 6): boolean {
  if (value.readUInt16BE(portAt) !== local.readUInt16BE(portAt)) return false;
  if (version === 6) return value.compare(local, ipv6At, ipv6At + 16, ipv6At, ipv6At + 16) === 0;
  const at = local.readUInt16LE(0) === familyIpv6 ? ipv6At + mappedPrefix.length : ipv4At;
  return value.readUInt32BE(ipv4At) === local.readUInt32BE(at);
}

function endpoint(): Endpoint | null {
  const port = value.readUInt16BE(portAt);
  switch (value.readUInt16LE(0)) {
    case familyIpv4:
      return { ip: `${value[ipv4At] ?? 0}.${value[ipv4At + 1] ?? 0}.${value[ipv4At + 2] ?? 0}.${value[ipv4At + 3] ?? 0}`, port };
    case familyIpv6:
      return { ip: ipv6Text(value, ipv6At), port };
    default:
      return null;
  }
}

/** RFC 5952 text of 16 octets, as Node writes addresses. */
export function ipv6Text(bytes: Buffer, offset: number): string {
  const groups: string[] = [];
  let gapAt = -1;
  let gapLength = 1;
  for (let group = 0, zeros = 0; group < 8; group += 1) {
    const word = bytes.readUInt16BE(offset + group * 2);
    groups.push(word.toString(16));
    zeros = word === 0 ? zeros + 1 : 0;
    if (zeros > gapLength) [gapAt, gapLength] = [group - zeros + 1, zeros];
  }
  if (gapAt < 0) return groups.join(':');
  return `${groups.slice(0, gapAt).join(':')}::${groups.slice(gapAt + gapLength).join(':')}`;
}

/**
 * Node 24: the descriptor is on the handle, which is not a public property. Null for closed sockets, for clustered servers
 * (whose shared handle has none) and wherever Node no longer has it.
 */
function descriptor(owner: object): number | null {
  if (!('_handle' in owner)) return null;
  const handle = owner._handle;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : null;
}
