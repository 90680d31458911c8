// The names of a leaf: subject and alternative names of the server's certificate, byte for byte or not at all, or the name asked for
// where there is no certificate. It never adds a name to those a server has, because that would hide that it is the wrong server.

import { X509Certificate } from 'node:crypto';
import { FlowError } from '../core/errors.ts';
import type { LeafRequest } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { encode, readInside, sequence, taggedBytes, tags } from './asn1.ts';
import { addressBytes } from './ca-certificate.ts';
import { name, oids, readName } from './parts.ts';
import type { CertificateParts } from './parts.ts';

/** What a leaf is called. */
export interface LeafNames {
  /** Name; null: empty, and the alternative names are critical. */
  readonly subject: Buffer | null;
  /** GeneralNames; null: the server has none, and that is to stay visible. */
  readonly alternatives: Buffer | null;
  /** It carries the name asked for instead of all the server's names, and so serves this host only. */
  readonly forHostOnly: boolean;
}

/** ub-common-name of RFC 5280. */
const commonNameMax = 64;
/** Real subjects are below 500 octets. */
const subjectBytesMax = 4096;
const generalNamesMax = 8192;
const dnsName = 0x82;
const ipAddress = 0x87;

/** The names for a request; `upstream` is the server's certificate taken apart, null when there is none. Throws FlowError MINT_FAILED. */
export function leafNames(request: LeafRequest, upstream: CertificateParts | null, limits: Limits): LeafNames {
  if (upstream === null) return askedNames(request);
  const subject = mirroredSubject(upstream.subject);
  const value = upstream.extensions.get(oids.subjectAltName)?.value ?? null;
  if (value !== null && value.length > limits.mirroredSanBytesMax) return { subject, alternatives: askedIfCovered(request), forHostOnly: true };
  const alternatives = value === null ? null : checkedAlternatives(value, request.trust === 'trusted');
  if (alternatives !== null) return { subject, alternatives, forHostOnly: false };
  // Common name alone. Its lack of alternative names stays visible under the untrusted issuer, unless nothing at all would be left.
  if (request.trust === 'untrusted' && subject !== null) return { subject, alternatives: null, forHostOnly: false };
  return { subject, alternatives: fromCommonName(upstream.subject), forHostOnly: false };
}

/** The dNSName entries of GeneralNames, lower case. */
export function hostNamesIn(alternatives: Buffer | null): readonly string[] {
  const entries = alternatives === null ? null : readInside(alternatives, tags.sequence, generalNamesMax);
  return (entries ?? []).flatMap(({ tag, content }) => (tag === dnsName ? [content.toString('latin1').toLowerCase()] : []));
}

/** A host as a certificate names it: lower case, without the trailing dot; null when it is no host name. */
export function hostForName(host: string): string | null {
  const plain = (host.endsWith('.') ? host.slice(0, -1) : host).toLowerCase();
  return plain.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*$/.test(plain) && !/^[\d.]+$/.test(plain) ? plain : null;
}

/** No certificate to follow: the host asked for, else the address. */
function askedNames(request: LeafRequest): LeafNames {
  const asked = request.host ?? request.ip ?? '';
  const host = hostForName(asked);
  const text = host ?? bare(asked);
  return { subject: text.length > commonNameMax ? null : name(text), alternatives: oneName(host, text), forHostOnly: true };
}

function oneName(host: string | null, text: string): Buffer {
  if (host !== null) return encode(sequence(taggedBytes(2, host)));
  const address = addressBytes(text);
  if (address === null) throw new FlowError('MINT_FAILED', 'there is neither a host name nor an address to name');
  return encode(sequence(taggedBytes(7, address)));
}

/** The server's own list is too long to copy: the name asked for, if the server has it. */
function askedIfCovered(request: LeafRequest): Buffer {
  const host = request.host === null ? null : hostForName(request.host);
  const text = bare(request.host ?? '');
  if (!covers(request.upstreamDer, host, text)) throw new FlowError('MINT_FAILED', 'the server names more than mirroredSanBytesMax allows, and not the name asked for');
  return oneName(host, text);
}

function covers(certificate: Buffer | null, host: string | null, address: string): boolean {
  if (certificate === null) return false;
  try {
    const parsed = new X509Certificate(certificate);
    return host === null ? parsed.checkIP(address) !== undefined : parsed.checkHost(host, { subject: 'never', partialWildcards: false }) !== undefined;
  } catch {
    return false;
  }
}

/** The subject as it is; null (empty) when it is empty, has a common name over 64 characters, or is absurdly long. */
function mirroredSubject(subject: Buffer): Buffer | null {
  const attributes = readName(subject);
  if (attributes === null) throw new FlowError('MINT_FAILED', 'the subject of the server\'s certificate cannot be read');
  const tooLong = attributes.some(({ type, value }) => type === oids.commonName && characters(value.tag, value.content) > commonNameMax);
  return attributes.length === 0 || tooLong || subject.length > subjectBytesMax ? null : subject;
}

const utf8String = 0x0c;
const bmpString = 0x1e;

function characters(tag: number, content: Buffer): number {
  if (tag === utf8String) return content.toString('utf8').length;
  return tag === bmpString ? content.length / 2 : content.length;
}

/** GeneralNames as they are; null when the list is empty. A trusted leaf takes over no dNSName that clients could read in two ways. */
function checkedAlternatives(value: Buffer, strict: boolean): Buffer | null {
  const entries = readInside(value, tags.sequence, generalNamesMax);
  const sound = entries?.every(({ tag, content }) => {
    if ((tag & 0xc0) !== 0x80 || (tag & 0x1f) > 8) return false;
    if (tag === ipAddress) return content.length === 4 || content.length === 16;
    return !strict || tag !== dnsName || (content.length > 0 && content.every((octet) => octet > 0x20 && octet !== 0x7f));
  });
  if (entries === null || sound !== true) throw new FlowError('MINT_FAILED', 'the alternative names of the server\'s certificate cannot be taken over');
  return entries.length === 0 ? null : value;
}

/** The common name as clients of old would compare it: a host name (also a wildcard) or an address. */
function fromCommonName(subject: Buffer): Buffer {
  const found = readName(subject)?.findLast(({ type }) => type === oids.commonName);
  const text = found === undefined || found.value.tag === bmpString ? '' : found.value.content.toString('latin1');
  const suffix = text.startsWith('*.') ? hostForName(text.slice(2)) : null;
  return oneName(suffix === null ? hostForName(text) : `*.${suffix}`, text);
}

/** An address without the brackets URLs put around it. */
function bare(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}
