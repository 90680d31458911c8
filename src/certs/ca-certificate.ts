// Makes the certificate of a new CA: what goes into it, not who keeps its key (authority.ts does, and signs).

import { createHash, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIP, isIPv6 } from 'node:net';
import { boolean, encode, integer, octets, raw, sequence, tagged, taggedBytes, time } from './asn1.ts';
import type { Der } from './asn1.ts';
import { IssuerError } from './issuer-error.ts';
import { extension, keyUsage, name, oids, publicKeyBits, usage } from './parts.ts';

/** What the operator may say about a CA to be made. */
export interface NewCa {
  readonly key: 'rsa' | 'ec';
  /** Common name without the part that makes it unique. */
  readonly label: string;
  /** DNS suffixes and networks (CIDR) it is confined to; empty for none. */
  readonly permitted: readonly string[];
}

const dayMs = 86_400_000;
/** Back-dated so that leaves, which are back-dated too, lie inside it, and slow client clocks do no harm. */
const backDatedMs = 7 * dayMs;
const validMs = 3650 * dayMs;

/** 16 octets, positive and never shorter: the first is 0x40 to 0x7f. */
export function randomSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

/** The part of a self-signed CA certificate that is signed: pathlen 0, keyCertSign and cRLSign, ten years, a name of its own. */
export function caToBeSigned(ca: NewCa, publicKey: KeyObject, algorithm: Buffer, now: number): Buffer {
  const publicKeyInfo = publicKey.export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha1').update(publicKeyBits(publicKeyInfo)).digest();
  // Clients index roots by name: two installations must never share one.
  const subject = name(`${ca.label} ${keyId.toString('hex', 0, 4)}`, 'Sallyport');
  const extensions = [
    extension(oids.basicConstraints, true, sequence(boolean(true), integer(0))),
    extension(oids.keyUsage, true, keyUsage(usage.keyCertSign, usage.cRLSign)),
    extension(oids.subjectKeyId, false, octets(keyId)),
    ...(ca.permitted.length === 0 ? [] : [extension(oids.nameConstraints, true, nameConstraints(ca.permitted))]),
  ];
  return encode(sequence(
    tagged(0, integer(2)), integer(randomSerial()), raw(algorithm), raw(subject),
    sequence(time(now - backDatedMs), time(now - backDatedMs + validMs)), raw(subject), raw(publicKeyInfo), tagged(3, sequence(...extensions)),
  ));
}

/** nameConstraints that permit only these; a kind of name with no entry of its own is excluded whole. Throws IssuerError on a bad entry. */
function nameConstraints(permitted: readonly string[]): Der {
  const subtree = (entry: Der): Der => sequence(entry);
  const networks = permitted.filter((entry) => entry.includes('/')).map(networkBytes);
  const names = permitted.filter((entry) => !entry.includes('/'));
  const bad = names.find((entry) => !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(entry));
  if (bad !== undefined) throw new IssuerError(`not a DNS name or network: ${bad}`);
  const allowed = [...names.map((entry) => subtree(taggedBytes(2, entry.toLowerCase()))), ...networks.map((bytes) => subtree(taggedBytes(7, bytes)))];
  const missing = [8, 32].filter((length) => !networks.some((bytes) => bytes.length === length)).map((length) => subtree(taggedBytes(7, Buffer.alloc(length))));
  // With networks only, "no DNS name at all" is an excluded empty name.
  if (names.length === 0) missing.push(subtree(taggedBytes(2, '')));
  return sequence(tagged(0, ...allowed), ...(missing.length === 0 ? [] : [tagged(1, ...missing)]));
}

function networkBytes(entry: string): Buffer {
  const [address = '', prefix = ''] = entry.split('/');
  const bytes = addressBytes(address);
  const length = Number(prefix);
  if (bytes === null || !/^\d+$/.test(prefix) || length > bytes.length * 8) throw new IssuerError(`not a network: ${entry}`);
  const mask = Buffer.alloc(bytes.length);
  for (let bit = 0; bit < length; bit += 1) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return Buffer.concat([bytes.map((octet, at) => octet & (mask[at] ?? 0)), mask]);
}

/** An IP address as the 4 or 16 octets of an iPAddress name; null when it is none. */
export function addressBytes(text: string): Buffer | null {
  if (isIP(text) === 0) return null;
  if (!isIPv6(text)) return Buffer.from(text.split('.').map(Number));
  const [withoutZone = ''] = text.split('%');
  // An IPv4 tail (::ffff:192.0.2.1) is two groups.
  const plain = withoutZone.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a: string, b: string, c: string, d: string) =>
    `${((Number(a) << 8) | Number(b)).toString(16)}:${((Number(c) << 8) | Number(d)).toString(16)}`);
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
