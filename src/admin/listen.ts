// Addresses of the admin listener: takes `host:port` apart and tells loopback from the rest. Opens nothing.

import { BlockList, isIP } from 'node:net';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Parses `127.0.0.1:9090`, `[::]:9090` or `localhost:9090`; null when it is none. */
export function parseListen(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (match === null || host === undefined || port > 65_535) return null;
  if (match[1] !== undefined && isIP(match[1]) !== 6) return null;
  return { host, port };
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether a host (address or name, as in a URL or a listen address) can only be this machine. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  // BlockList judges an IPv4-mapped IPv6 address as the IPv4 address it carries.
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** The host of a Host header or origin, without port and brackets, in lower case; null when it is not well formed. */
export function hostOf(authority: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9a-z._-]+))(?::\d{1,5})?$/.exec(authority.toLowerCase());
  return match?.[1] ?? match?.[2] ?? null;
}
