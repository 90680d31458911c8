// JA3 and JA4 fingerprints of a ClientHello, remembered for the hellos of late. They name client software; they prove nothing.

import { hash } from 'node:crypto';
import type { Limits } from '../core/limits.ts';
import { isGrease } from './hello-body.ts';
import type { ClientHello } from './hello-body.ts';

const extensionServerName = 0;
const extensionAlpn = 16;

/**
 * JA3: `version,ciphers,extensions,groups,pointFormats` in decimal and the client's order without GREASE, and its MD5 in hex.
 * MD5 is part of the format, not a protection.
 */
export function ja3(hello: ClientHello): { hash: string; text: string } {
  const lists = [hello.ciphers, hello.extensions, hello.groups].map((list) => list.filter(notGrease).join('-'));
  const text = `${hello.legacyVersion},${lists.join(',')},${hello.pointFormats.join('-')}`;
  return { hash: hash('md5', text), text };
}

/** JA4 (FoxIO, TLS client): `t13d1516h2_<ciphers>_<extensions and signature algorithms>`; indifferent to extension order. */
export function ja4(hello: ClientHello): string {
  const ciphers = hello.ciphers.filter(notGrease);
  const extensions = hello.extensions.filter(notGrease);
  const names = hello.extensions.includes(extensionServerName) ? 'd' : 'i';
  const head = `t${versionCode(hello)}${names}${twoDigits(ciphers.length)}${twoDigits(extensions.length)}${alpnCode(hello.alpn[0])}`;
  const sorted = extensions.filter((type) => type !== extensionServerName && type !== extensionAlpn).map(hex).sort();
  const algorithms = hello.signatureAlgorithms.filter(notGrease).map(hex);
  const tail = algorithms.length === 0 ? sorted.join(',') : `${sorted.join(',')}_${algorithms.join(',')}`;
  return `${head}_${shortHash(ciphers.map(hex).sort().join(','))}_${sorted.length === 0 && algorithms.length === 0 ? noHash : shortHash(tail)}`;
}

export interface Fingerprints {
  readonly ja3: string;
  readonly ja4: string;
}

interface Known extends Fingerprints {
  /** What the fingerprints are made of, and no more of the hello. */
  readonly lists: readonly (readonly (number | string)[])[];
}

/** By a hash of what fingerprints are made of: the same software says the same each time. A later hello takes the place of an earlier one. */
const places = new Map<number, Known>();

/** Both fingerprints; those of at most fingerprintsMax hellos of at most fingerprintBytesMax are remembered. */
export function fingerprints(hello: ClientHello, { fingerprintsMax, fingerprintBytesMax }: Pick<Limits, 'fingerprintsMax' | 'fingerprintBytesMax'>): Fingerprints {
  const lists = [
    hello.ciphers, hello.extensions, hello.groups, hello.pointFormats, hello.signatureAlgorithms, hello.supportedVersions ?? [-1], [hello.legacyVersion], hello.alpn.slice(0, 1),
  ];
  if (bytesOf(lists) > fingerprintBytesMax) return { ja3: ja3(hello).hash, ja4: ja4(hello) };
  const place = placeOf(lists) % fingerprintsMax;
  const known = places.get(place);
  if (known !== undefined && known.lists.every((list, index) => isSame(list, lists[index]))) return known;
  const made: Known = { ja3: ja3(hello).hash, ja4: ja4(hello), lists };
  places.set(place, made);
  return made;
}

/** What V8 keeps for lists: 8 bytes a number, one a character. */
function bytesOf(lists: Known['lists']): number {
  let sum = 0;
  for (const list of lists) {
    sum += list.length * 8;
    for (const item of list) if (typeof item === 'string') sum += item.length;
  }
  return sum;
}

/** FNV-1a over the numbers; texts count by their length alone. */
function placeOf(lists: Known['lists']): number {
  let sum = 0x811c9dc5;
  for (const list of lists) {
    for (const item of list) sum = Math.imul(sum ^ (typeof item === 'number' ? item : item.length), 0x01000193);
    sum = Math.imul(sum ^ list.length, 0x01000193);
  }
  return sum >>> 0;
}

function isSame(one: readonly (number | string)[], other: readonly (number | string)[] | undefined): boolean {
  if (other === undefined || one.length !== other.length) return false;
  for (let index = 0; index < one.length; index += 1) if (one[index] !== other[index]) return false;
  return true;
}

const noHash = '000000000000';

function shortHash(text: string): string {
  return text === '' ? noHash : hash('sha256', text).slice(0, 12);
}

function notGrease(value: number): boolean {
  return !isGrease(value);
}

function hex(value: number): string {
  return value.toString(16).padStart(4, '0');
}

function twoDigits(count: number): string {
  return Math.min(count, 99).toString().padStart(2, '0');
}

const versionCodes: ReadonlyMap<number, string> = new Map([
  [0x0304, '13'], [0x0303, '12'], [0x0302, '11'], [0x0301, '10'], [0x0300, 's3'], [0x0002, 's2'],
]);

/** The highest version on the wire, known or not: JA4 writes 00 for unknown ones. */
function versionCode(hello: ClientHello): string {
  const highest = hello.supportedVersions === null ? hello.legacyVersion : Math.max(0, ...hello.supportedVersions.filter(notGrease));
  return versionCodes.get(highest) ?? '00';
}

/** First and last character of the first ALPN name, or of its hex when either is not a letter or digit. */
function alpnCode(name: string | undefined): string {
  if (name === undefined || name === '') return '00';
  const ends = `${name.at(0)}${name.at(-1)}`;
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends;
  const digits = Buffer.from(name, 'latin1').toString('hex');
  return `${digits.at(0)}${digits.at(-1)}`;
}
