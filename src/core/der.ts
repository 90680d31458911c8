// Reads DER without a library: elements as views of the bytes given, OIDs, times; and wraps bytes into one element. It follows only one-octet
// tags and definite lengths, answers null for anything else, and never throws on input.

import { Cursor } from './bytes.ts';

/** Identifier octets that readers compare with. */
export const tags = {
  boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, null: 0x05, oid: 0x06, enumerated: 0x0a, sequence: 0x30, set: 0x31, utcTime: 0x17, generalizedTime: 0x18,
  /** Context-specific, primitive and constructed. */
  primitive: (number: number): number => 0x80 | number,
  constructed: (number: number): number => 0xa0 | number,
} as const;

/** One element: its identifier octet, its content, and all its bytes (views, not copies). */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

/** The first element of some bytes (one-octet tag, definite length); null when there is none or it does not fit. */
export function readElement(bytes: Buffer): Element | null {
  return next(new Cursor(bytes));
}

/** The elements inside some content, all of them; null when the bytes do not divide into at most `max` elements. */
export function readElements(content: Buffer, max: number): readonly Element[] | null {
  const cursor = new Cursor(content);
  const found: Element[] = [];
  while (cursor.left > 0) {
    const element = found.length < max ? next(cursor) : null;
    if (element === null) return null;
    found.push(element);
  }
  return found;
}

/** The elements inside one constructed element with this tag, which must be all of `bytes`; null otherwise. */
export function readInside(bytes: Buffer, tag: number, max: number): readonly Element[] | null {
  const outer = readElement(bytes);
  return outer === null || outer.tag !== tag || outer.whole.length !== bytes.length ? null : readElements(outer.content, max);
}

const oidBytesMax = 32;

/** A dotted OID from its content octets, null when they are none. */
export function readOid(content: Buffer): string | null {
  if (content.length === 0 || content.length > oidBytesMax || ((content.at(-1) ?? 0) & 0x80) !== 0) return null;
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const octet of content) {
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    if ((octet & 0x80) !== 0) continue;
    // The first number holds two arcs (X.690 section 8.19.4).
    if (arcs.length === 0) arcs.push(arc < 80n ? arc / 40n : 2n, arc < 80n ? arc % 40n : arc - 80n);
    else arcs.push(arc);
    arc = 0n;
  }
  return arcs.join('.');
}

/** Milliseconds since the epoch from UTCTime or GeneralizedTime in the forms RFC 5280 allows; null otherwise. */
export function readTime(element: Element): number | null {
  const text = element.content.toString('latin1');
  const match = element.tag === tags.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
    : element.tag === tags.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) : null;
  if (match === null) return null;
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const [day = 0, hour = 0, minute = 0, second = 0] = rest;
  const century = element.tag === tags.utcTime ? (year < 50 ? 2000 : 1900) : 0;
  const at = new Date(0);
  at.setUTCFullYear(century + year, month - 1, day);
  at.setUTCHours(hour, minute, second);
  return at.getTime();
}

/** One element around some bytes. */
export function wrap(tag: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), ...parts]);
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(length);
  const short = octets.subarray(Math.floor(Math.clz32(length) / 8));
  return Buffer.concat([Buffer.from([tag, 0x80 | short.length]), short, ...parts]);
}

function next(cursor: Cursor): Element | null {
  const start = cursor.offset;
  const tag = cursor.u8();
  const first = cursor.u8();
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null;
  const length = first < 0x80 ? first : first === 0x81 ? cursor.u8() : first === 0x82 ? cursor.u16() : first === 0x83 ? cursor.u24() : first === 0x84 ? cursor.u32() : undefined;
  const content = length === undefined ? undefined : cursor.slice(length);
  return content === undefined ? null : { tag, content, whole: cursor.bytes.subarray(start, cursor.offset) };
}
