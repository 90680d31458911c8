// Reads the extensions of an X.509 certificate (RFC 5280 section 4.2) as far as verification needs them: which there are, which are
// critical, and a path length. Node offers none of this. It answers null for DER it cannot follow and never throws.

import { Cursor } from '../core/bytes.ts';

/** One extension: its OID in hex (DER content octets), whether it is critical, and its value. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

/** OIDs as DER content octets in hex. */
export const extensionOids = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  crlDistributionPoints: '551d1f',
  certificatePolicies: '551d20',
  extKeyUsage: '551d25',
  /** RFC 7633; feature 5 (status_request) is "must staple". */
  tlsFeature: '2b06010505070118',
} as const;

const tag = { boolean: 0x01, integer: 0x02, octets: 0x04, oid: 0x06, sequence: 0x30, version: 0xa0, extensions: 0xa3 } as const;
/** Certificates seen in the wild carry about a dozen. */
const extensionsMax = 64;

/** The extensions of a certificate in DER, null when the DER cannot be followed. A v1 certificate has none. */
export function extensionsOf(certificate: Buffer): readonly Extension[] | null {
  const outer = element(new Cursor(certificate), tag.sequence);
  const body = outer === null ? null : element(outer, tag.sequence);
  if (body === null) return null;
  while (body.left > 0) {
    const next = anyElement(body);
    if (next === null) return null;
    if (next.tag === tag.extensions) return readExtensions(next.content);
  }
  return [];
}

/** The path length of a basicConstraints value; null when it names none or cannot be read. */
export function pathLengthOf(basicConstraints: Buffer): number | null {
  const body = element(new Cursor(basicConstraints), tag.sequence);
  if (body === null) return null;
  while (body.left > 0) {
    const next = anyElement(body);
    if (next === null) return null;
    if (next.tag === tag.integer) return next.content.left === 1 ? (next.content.u8() ?? null) : null;
  }
  return null;
}

function readExtensions(content: Cursor): readonly Extension[] | null {
  const list = element(content, tag.sequence);
  if (list === null) return null;
  const found: Extension[] = [];
  while (list.left > 0) {
    if (found.length === extensionsMax) return null;
    const one = element(list, tag.sequence);
    const oid = one === null ? null : element(one, tag.oid);
    if (one === null || oid === null) return null;
    let next = anyElement(one);
    const critical = next?.tag === tag.boolean && next.content.u8() !== 0;
    if (next?.tag === tag.boolean) next = anyElement(one);
    if (next === null || next.tag !== tag.octets) return null;
    found.push({ oid: (oid.slice(oid.left) ?? Buffer.alloc(0)).toString('hex'), critical, value: next.content.slice(next.content.left) ?? Buffer.alloc(0) });
  }
  return found;
}

function element(cursor: Cursor, wanted: number): Cursor | null {
  const found = anyElement(cursor);
  return found !== null && found.tag === wanted ? found.content : null;
}

/** The next element with a one-octet tag and a definite length of at most three octets. */
function anyElement(cursor: Cursor): { tag: number; content: Cursor } | null {
  const found = cursor.u8();
  const first = cursor.u8();
  if (found === undefined || first === undefined) return null;
  const length = first < 0x80 ? first : first === 0x81 ? cursor.u8() : first === 0x82 ? cursor.u16() : first === 0x83 ? cursor.u24() : undefined;
  const content = length === undefined ? undefined : cursor.sub(length);
  return content === undefined ? null : { tag: found, content };
}
