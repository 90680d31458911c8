// The one place that knows node-forge's asn1: builders and an encoder for DER, and the reader of core/der.ts, which hands out slices of
// the bytes it was given (what must be copied byte for byte is never re-encoded). No keys and no signatures here; the reader never throws.

import forge from 'node-forge';
import { readElement } from '../core/der.ts';

// What reads DER needs no library and is shared with the upstream side.
export { readElement, readElements, readInside, readOid, readTime, tags } from '../core/der.ts';
export type { Element } from '../core/der.ts';

const { asn1 } = forge;
const universal = asn1.Class.UNIVERSAL;
const context = asn1.Class.CONTEXT_SPECIFIC;
const constructed = 0x20;

/** A value to be encoded; opaque outside this file. */
export type Der = forge.asn1.Asn1;

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

const binary = (content: Buffer | string): string => (typeof content === 'string' ? content : content.toString('latin1'));

/** YYYYMMDDhhmmss in UTC. */
const stamp = (date: Date): string => date.toISOString().replace(/[-:T]/g, '').slice(0, 14);
