// Address ranges for the filters `client` and `destination`: parses CIDR notation once and compares addresses without
// allocation for IPv4. IPv4-mapped IPv6 addresses count as the IPv4 address they carry. Never throws.

import { isIP } from 'node:net';

/** Whether an address text lies in the range. */
export type AddressMatch = (ip: string) => boolean;

/** A matcher for `10.0.0.0/8`, `2001:db8::/32` or a single address; null when the text is none of them. */
export function parseCidr(text: string): AddressMatch | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  if (family === 0 || address.includes('%')) return null;
  const groups = addressGroups(address);
  if (groups === null) return null;
  const width = groups.length * 16;
  const written = slash < 0 ? null : prefixLength(text.slice(slash + 1), family === 6 ? 128 : 32);
  if (slash >= 0 && written === null) return null;
  // A prefix written for a mapped address counts from the mapped address's first bit.
  const bits = written === null ? width : written - (family === 6 && width === 32 ? 96 : 0);
  if (bits < 0) return null;
  return (ip) => {
    const other = addressGroups(ip);
    return other !== null && other.length === groups.length && samePrefix(groups, other, bits);
  };
}

function prefixLength(text: string, max: number): number | null {
  if (!/^\d{1,3}$/.test(text)) return null;
  const bits = Number(text);
  return bits <= max ? bits : null;
}

function samePrefix(left: readonly number[], right: readonly number[], bits: number): boolean {
  let rest = bits;
  for (let index = 0; rest > 0; index += 1, rest -= 16) {
    const mask = rest >= 16 ? 0xffff : (0xffff << (16 - rest)) & 0xffff;
    if ((((left[index] ?? 0) ^ (right[index] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** Two 16-bit groups for IPv4 and IPv4-mapped addresses, eight for IPv6, null for anything else. */
function addressGroups(ip: string): number[] | null {
  if (!ip.includes(':')) return dottedGroups(ip);
  const zone = ip.indexOf('%');
  const groups = colonGroups(zone < 0 ? ip : ip.slice(0, zone));
  if (groups === null) return null;
  const [a, b, c, d, e, f] = groups;
  const mapped = a === 0 && b === 0 && c === 0 && d === 0 && e === 0 && f === 0xffff;
  return mapped ? groups.slice(6) : groups;
}

function dottedGroups(ip: string): number[] | null {
  let value = 0;
  let part = 0;
  let parts = 0;
  let digits = 0;
  for (let index = 0; index <= ip.length; index += 1) {
    const code = index === ip.length ? 46 : ip.charCodeAt(index);
    if (code === 46) {
      if (digits === 0 || part > 255) return null;
      value = value * 256 + part;
      parts += 1;
      part = 0;
      digits = 0;
    } else if (code >= 48 && code <= 57 && digits < 3) {
      part = part * 10 + code - 48;
      digits += 1;
    } else return null;
  }
  return parts === 4 ? [Math.floor(value / 65_536), value % 65_536] : null;
}

function colonGroups(ip: string): number[] | null {
  if (isIP(ip) !== 6) return null;
  const dot = ip.lastIndexOf('.');
  let text = ip;
  if (dot >= 0) {
    const colon = ip.lastIndexOf(':');
    const tail = dottedGroups(ip.slice(colon + 1));
    if (tail === null) return null;
    text = `${ip.slice(0, colon + 1)}${tail.map((group) => group.toString(16)).join(':')}`;
  }
  const gap = text.indexOf('::');
  const numbers = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  if (gap < 0) return numbers(text);
  const head = numbers(text.slice(0, gap));
  const tail = numbers(text.slice(gap + 2));
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}
