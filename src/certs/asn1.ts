// The one place that knows node-forge's asn1: builders and an encoder for DER, and a reader that hands out slices of the bytes it
// was given (what must be copied byte for byte is never re-encoded). No keys and no signatures here; the reader never throws.

import forge from 'node-forge';
import { Cursor } from '../core/bytes.ts';

const { asn1 } = forge;
const universal = asn1.Class.UNIVERSAL;
const context = asn1.Class.CONTEXT_SPECIFIC;
const constructed = 0x20;

/** A value to be encoded; opaque outside this file. */
export type Der = forge.asn1.Asn1;

/** Identifier octets that readers compare with. */
export const tags = {
  boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, null: 0x05, oid: 0x06, enumerated: 0x0a, sequence: 0x30, set: 0x31, utcTime: 0x17, generalizedTime: 0x18,
  /** Context-specific, primitive and constructed. */
  primitive: (number: number): number => 0x80 | number,
  constructed: (number: number): number => 0xa0 | number,
} as const;

export const sequence = (...parts: Der[]): Der => asn1.create(universal, asn1.Type.SEQUENCE, true, parts);
export const set = (...parts: Der[]): Der => asn1.create(universal, asn1.Type.SET, true, parts);
/** [number] around other values, constructed: EXPLICIT, or IMPLICIT over a SEQUENCE or SET. */
export const tagged = (number: number, ...parts: Der[]): Der => asn1.create(context, number, true, parts);
/** [number] IMPLICIT over a primitive. */
export const taggedBytes = (number: number, content: Buffer | string): Der => asn1.create(context, number, false, binary(content));
export const oid = (dotted: string): Der => asn1.create(universal, asn1.Type.OID, false, asn1.oidToDer(dotted).getBytes());
export const octets = (content: Buffer | Der): Der =>
  asn1.create(universal, asn1.Type.OCTETSTRING, false, Buffer.isBuffer(content) ? binary(content) : asn1.toDer(content).getBytes());
export const bits = (content: Buffer, unused = 0): Der => asn1.create(universal, asn1.Type.BITSTRING, false, String.fromCharCode(unused) + binary(content));
export const boolean = (value: boolean): Der => asn1.create(universal, asn1.Type.BOOLEAN, false, value ? '\xff' : '\0');
export const nothing = (): Der => asn1.create(universal, asn1.Type.NULL, false, '');
export const utf8 = (text: string): Der => asn1.create(universal, asn1.Type.UTF8, false, binary(Buffer.from(text)));
export const enumerated = (value: number): Der => asn1.create(universal, asn1.Type.ENUMERATED, false, String.fromCharCode(value));

/** A non-negative INTEGER: a number, or the octets of one (big-endian). */
export function integer(value: number | Buffer): Der {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value.toString(16).padStart(value.toString(16).length + (value.toString(16).length % 2), '0'), 'hex');
  let first = 0;
  while (first < bytes.length - 1 && bytes[first] === 0) first += 1;
  const short = bytes.subarray(first);
  return asn1.create(universal, asn1.Type.INTEGER, false, ((short[0] ?? 0) & 0x80 ? '\0' : '') + binary(short));
}

/** Time by RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime after (forge's own UTCTime silently wraps). `at` in ms. */
export function time(at: number): Der {
  const date = new Date(at);
  return date.getUTCFullYear() < 2050
    ? asn1.create(universal, asn1.Type.UTCTIME, false, `${stamp(date).slice(2)}Z`)
    : generalizedTime(at);
}

/** GeneralizedTime without fractions, as OCSP wants it. */
export const generalizedTime = (at: number): Der => asn1.create(universal, asn1.Type.GENERALIZEDTIME, false, `${stamp(new Date(at))}Z`);

/** One element that is already DER, spliced in: its content is copied byte for byte. Throws when it is not one element. */
export function raw(element: Buffer): Der {
  const found = readElement(element);
  if (found === null || found.whole.length !== element.length) throw new TypeError('not one DER element');
  // forge joins class and type into the first octet, so the constructed bit may travel in the type and the content stay bytes.
  const tag = found.tag;
  return asn1.create((tag & 0xc0) as forge.asn1.Class, (tag & 0x1f) | (tag & constructed), false, binary(found.content));
}

/** The DER encoding. */
export const encode = (value: Der): Buffer => Buffer.from(asn1.toDer(value).getBytes(), 'latin1');

// ---- Reading

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

/** A dotted OID from its content octets, null when they are none. */
export function readOid(content: Buffer): string | null {
  if (content.length === 0 || content.length > 32 || ((content.at(-1) ?? 0) & 0x80) !== 0) return null;
  return asn1.derToOid(binary(content));
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

function next(cursor: Cursor): Element | null {
  const start = cursor.offset;
  const tag = cursor.u8();
  const first = cursor.u8();
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null;
  const length = first < 0x80 ? first : first === 0x81 ? cursor.u8() : first === 0x82 ? cursor.u16() : first === 0x83 ? cursor.u24() : first === 0x84 ? cursor.u32() : undefined;
  const content = length === undefined ? undefined : cursor.slice(length);
  return content === undefined ? null : { tag, content, whole: cursor.bytes.subarray(start, cursor.offset) };
}

const binary = (content: Buffer | string): string => (typeof content === 'string' ? content : content.toString('latin1'));

/** YYYYMMDDhhmmss in UTC. */
const stamp = (date: Date): string => date.toISOString().replace(/[-:T]/g, '').slice(0, 14);
