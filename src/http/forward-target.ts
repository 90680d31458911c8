// What a proxy request asks for and what of its head goes on: the absolute target taken apart, hop-by-hop fields left out
// (RFC 9110 section 7.6.1, RFC 9112 section 3.2.2). Pure: it reads bytes and answers texts.

import { isIP } from 'node:net';
import { byte, valueBytes } from './grammar.ts';
import type { Head } from './head.ts';
import { hostName } from './judge.ts';

/** Where a proxy request goes. */
export interface Target {
  /** In lower case, without brackets. */
  readonly host: string;
  readonly port: number;
  /** As it was written: what Host will say. */
  readonly authority: string;
  /** Path and query; empty only for OPTIONS without a path, which asks about the server itself. */
  readonly path: string;
}

const defaultPort = 80;
const portMax = 65_535;
const absoluteHttp = /^http:\/\/([^/?#]+)([^#]*)/i;
const nameForm = /^[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?$/;

/** The parts of an absolute http target, or null when it is none that may be dialled. */
export function httpTarget(method: string, target: string): Target | null {
  const [, authority = '', rest = ''] = absoluteHttp.exec(target) ?? [];
  const place = hostAndPort(authority, defaultPort);
  if (place === null) return null;
  const path = rest === '' && method === 'OPTIONS' ? '' : rest.startsWith('/') ? rest : `/${rest}`;
  return { ...place, authority: authority.replace(/:$/, ''), path };
}

/** Host and port of an authority; `port` null makes it necessary. Null when the host is neither a name nor an address. */
export function hostAndPort(authority: string, port: number | null): Pick<Target, 'host' | 'port'> | null {
  const host = hostName(authority);
  const [, digits = ''] = /:(\d{0,5})$/.exec(authority.replace(/^\[[^\]]*\]/, '')) ?? [];
  const number = digits === '' ? port : Number(digits);
  if (number === null || number < 1 || number > portMax) return null;
  const bracketed = authority.startsWith('[');
  if (bracketed ? isIP(host) !== 6 : !nameForm.test(host)) return null;
  return { host, port: number };
}

/** Fields that speak to the next hop alone, whether Connection names them or not. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'proxy-authenticate', 'proxy-authentication-info', 'te',
  'transfer-encoding', 'upgrade',
]);

/** Fields of requests that undici writes itself, or must not see: it sends no trailers, and the wait for 100 ends here. */
const ownOfRequests: ReadonlySet<string> = new Set(['host', 'content-length', 'expect', 'trailer']);

/** The field lines of a request's head that go on, as name, value, name, value; in their order and case. */
export function forwardedFields(head: Head, bytes: Buffer): string[] {
  const fields: [string, string][] = [];
  for (let line = head.fieldsStart; line < head.lengthBytes - 2;) {
    const colon = bytes.indexOf(byte.colon, line);
    const end = bytes.indexOf(byte.lf, line);
    if (colon < 0 || end < 0) break;
    fields.push([bytes.toString('latin1', line, colon), blanksOff(bytes.toString('latin1', colon + 1, end))]);
    line = end + 1;
  }
  const named = namedByConnection(fields);
  return fields.flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    return hopByHop.has(lower) || named.has(lower) || ownOfRequests.has(lower) ? [] : [name, value];
  });
}

/** The fields of a response that go on to the client, or null when one holds what no field may, or a coding that cannot be taken off. */
export function returnedFields(raw: readonly Buffer[]): [string, string][] | null {
  const fields: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index];
    const value = raw[index + 1];
    if (name === undefined || value === undefined || !value.every((octet) => valueBytes[octet] === 1)) return null;
    fields.push([name.toString('latin1'), value.toString('latin1')]);
  }
  if ((fieldValue(fields, 'transfer-encoding') ?? 'chunked').toLowerCase() !== 'chunked') return null;
  const named = namedByConnection(fields);
  return fields.filter(([name]) => !hopByHop.has(name.toLowerCase()) && !named.has(name.toLowerCase()));
}

/** Hops that a request may still go, null where it does not say. */
export function maxForwards(fields: readonly string[]): number | null {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field.toLowerCase() === 'max-forwards');
  const value = at < 0 ? undefined : fields[at + 1];
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : null;
}

/** One hop less, where the method counts hops (RFC 9110 section 7.6.2). */
export function lessForwards(fields: string[], method: string): void {
  if (method !== 'OPTIONS' && method !== 'TRACE') return;
  const left = maxForwards(fields);
  const at = fields.findIndex((field, index) => index % 2 === 0 && field.toLowerCase() === 'max-forwards');
  if (left !== null) fields[at + 1] = String(left - 1);
}

/** The first value of a field whose name is given in lower case, null without it. */
export function fieldValue(fields: readonly [string, string][], name: string): string | null {
  return fields.find(([known]) => known.toLowerCase() === name)?.[1] ?? null;
}

/** Options of Connection are names of fields, but for those that frame or route the message. */
function namedByConnection(fields: readonly [string, string][]): Set<string> {
  const named = new Set<string>();
  for (const [name, value] of fields) {
    if (name.toLowerCase() !== 'connection' && name.toLowerCase() !== 'proxy-connection') continue;
    for (const option of value.toLowerCase().split(',')) named.add(option.trim());
  }
  for (const kept of ['host', 'content-length', 'content-type', 'cache-control']) named.delete(kept);
  return named;
}

function blanksOff(text: string): string {
  return text.replace(/^[ \t]+|[ \t\r]+$/g, '');
}
