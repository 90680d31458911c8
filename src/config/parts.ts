// The small schemas that the config is made of: addresses, durations, names, words. Each says in plain words what it wants;
// none reads files or resolves names.

import { isIP } from 'node:net';
import { z } from 'zod';
import { parseNetwork } from '../core/addresses.ts';
import { errorCodes, tunnelOnErrorAllowed } from '../core/errors.ts';
import { protocolStates, protocolWords } from '../core/protocols.ts';

/** A value, or a list of at least one; read as a list. */
export function oneOrMany<T extends z.ZodType>(item: T) {
  return z.union([item, z.array(item).min(1, 'an empty list matches nothing: leave the key out')]).transform((value): z.output<T>[] => (Array.isArray(value) ? value : [value]));
}

const durationUnitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const durationPattern = /^(\d{1,9})(ms|s|m|h|d)$/;

function durationMs(text: string): number {
  const [, amount = '0', unit = 'ms'] = durationPattern.exec(text) ?? [];
  return Number(amount) * (unit in durationUnitsMs ? durationUnitsMs[unit as keyof typeof durationUnitsMs] : 1);
}

/** Milliseconds, or text such as `10m` (ms, s, m, h, d); read as milliseconds between `minMs` and `maxMs`. */
export function duration(minMs: number, maxMs: number) {
  const wanted = `expected milliseconds or text such as 500ms, 30s, 10m, 12h, 7d, from ${minMs} ms to ${maxMs} ms`;
  return z
    .union([z.int().min(0), z.string().regex(durationPattern, wanted)], { error: wanted })
    .transform((value) => (typeof value === 'number' ? value : durationMs(value)))
    .refine((value) => value >= minMs && value <= maxMs, { error: (issue) => `${String(issue.input)} ms is out of bounds: ${wanted}` })
    .meta({ title: 'duration' });
}

/** An address and port as a listener or dialler wants them. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const hostPortPattern = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/;

function readHostPort(text: string): HostPort | undefined {
  const [, bracketed, plain, port] = hostPortPattern.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535 || (bracketed !== undefined) !== (isIP(host) === 6)) return undefined;
  return { host, port: Number(port) };
}

/** A well-formed `host:port` text as its parts; only for text that a schema here has checked. */
function hostPortParts(text: string): HostPort {
  return readHostPort(text) ?? { host: text, port: 0 };
}

/** `ADDRESS:PORT` to listen on; IPv6 in brackets, `[::]` is dual stack. Read as { host, port }. */
export const listenAddress = z
  .string()
  .refine((text) => isIP(readHostPort(text)?.host ?? '') !== 0, 'expected ADDRESS:PORT, such as 0.0.0.0:8443 or "[::]:8443"')
  .transform(hostPortParts)
  .meta({ title: 'ADDRESS:PORT' });

/** `HOST:PORT` of a server, an address or a name. Read as { host, port }. */
export const serverAddress = z
  .string()
  .refine((text) => isHost(readHostPort(text)?.host ?? '') && readHostPort(text)?.port !== 0, 'expected HOST:PORT, such as lync.example:5061 or "[2001:db8::1]:5061"')
  .transform(hostPortParts)
  .meta({ title: 'HOST:PORT' });

/** A name server, `ADDRESS` or `ADDRESS:PORT`. */
export const dnsServer = z.string().refine((text) => isIP(text) !== 0 || isIP(readHostPort(text)?.host ?? '') !== 0, 'expected an address with or without a port, such as 10.0.0.53 or "[2001:db8::53]:53"').meta({ title: 'ADDRESS or ADDRESS:PORT' });

/** `HOST` or `HOST:PORT` to be put into a URL: no scheme, no path. */
export const bareHost = z
  .string()
  .refine((text) => isHost(text) || isHost(readHostPort(text)?.host ?? ''), 'expected a host name or address with or without a port; no scheme (http://) and no path')
  .meta({ title: 'HOST or HOST:PORT' });

/** An address or a network in CIDR form. */
export const network = z.string().refine((text) => parseNetwork(text) !== undefined, 'expected an address or a network such as 10.0.0.0/8 or 2001:db8::/32').meta({ title: 'network' });

const hostPatternText = /^[\p{L}\p{N}*?._-]{1,253}$/u;

/** A host name or pattern: `*` is any text, `?` one character, a leading dot the name and all below it. */
export const hostPattern = z
  .string()
  .refine((text) => isIP(text) !== 0 || (hostPatternText.test(text) && !/^[\d.]+$/.test(text)), 'expected a host name or pattern such as www.example.com, "*.example.com" or .example.com (no scheme, port or path)')
  .meta({ title: 'host pattern' });

/** A destination: address, network or host pattern. */
export const destination = z
  .string()
  .refine((text) => parseNetwork(text) !== undefined || hostPattern.safeParse(text).success, 'expected an address, a network such as 10.0.0.0/8, or a host pattern such as "*.example.com"')
  .meta({ title: 'network or host pattern' });

/** Any text with `*` and `?`. */
export const pattern = z.string().min(1).max(1024).meta({ title: 'pattern' });

const portRangePattern = /^\d{1,5}-\d{1,5}$/;

/** A port, or a range `low-high`. */
export const port = z.union([
  z.int().min(1).max(65_535),
  z.string().refine((text) => isPortRange(text), 'expected a port from 1 to 65535, or a range such as "5060-5070"'),
]).meta({ title: 'port or range' });

function isPortRange(text: string): boolean {
  const [low = '', high = ''] = text.split('-');
  return portRangePattern.test(text) && Number(low) >= 1 && Number(low) <= Number(high) && Number(high) <= 65_535;
}

/** Words of core/protocols.ts: names and groups. */
export const protocolWord = z.enum([...protocolWords.keys()]).meta({ title: 'protocol word' });

/** Words of core/protocols.ts that detection can find: names and groups, no states. */
export const detectWord = z.enum([...protocolWords.keys()].filter((word) => !Object.hasOwn(protocolStates, word))).meta({ title: 'protocol word' });

/** A file name; relative ones are resolved by the loader. */
export const fileName = z.string().min(1).meta({ title: 'file' });

const day = '(?:mon|tue|wed|thu|fri|sat|sun)';
const days = `${day}(?:-${day})?(?:,${day}(?:-${day})?)*`;
const clock = '(?:(?:[01]\\d|2[0-3]):[0-5]\\d|24:00)';
const timePattern = new RegExp(`^(?:${days}|(?:${days} )?${clock}-${clock})$`);

/** Days, hours, or both, in local time. */
export const timeWindow = z.string().regex(timePattern, 'expected days, hours or both, such as mon-fri, "22:00-06:00" or "mon-fri 08:00-18:00"').meta({ title: 'time window' });

export const tlsVersion = z.enum(['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']);

const listable = z.enum([...tunnelOnErrorAllowed], { error: (issue) => notListable(issue.input) }).meta({ title: 'codes' });

function notListable(input: unknown): string {
  if (input === 'HTTP_AMBIGUOUS') return 'HTTP_AMBIGUOUS cannot be listed: two parties could read such a message differently, so it is always refused';
  const known: readonly string[] = errorCodes;
  const reason = typeof input === 'string' && input.startsWith('UPSTREAM_CERT_') ? `${input} cannot be listed: only the certificate stage decides it`
    : typeof input === 'string' && known.includes(input) ? `${input} never becomes a tunnel`
    : `unknown code ${JSON.stringify(input)}`;
  return `${reason}; codes that may be listed: ${tunnelOnErrorAllowed.join(', ')}`;
}

/** true, false, or the codes that turn into a tunnel. */
export const tunnelOnError = z.union([z.boolean(), z.array(listable)]);

/** A rule's or service's name. */
export const shortName = z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u, 'expected a name of at most 64 letters, digits, spaces, dots, dashes and underscores').meta({ title: 'name' });

function isHost(text: string): boolean {
  return isIP(text) !== 0 || (/^(?!-)[\p{L}\p{N}_-]{1,63}(?:\.(?!-)[\p{L}\p{N}_-]{1,63})*\.?$/u.test(text) && !/^[\d.]+$/.test(text) && text.length <= 253);
}
