// Opens PKCS#12 files (RFC 7292) as CAs export them: key and certificates, modern and legacy encryption, RSA and EC. node-forge takes the
// container apart; it never interprets the key or the certificates, which node:crypto then does.

import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { readInside, tags } from './asn1.ts';
import { IssuerError } from './issuer-error.ts';

/** What a file held. */
export interface Pkcs12Content {
  /** Unencrypted PKCS#8, PEM. */
  readonly keyPem: string;
  /** The key's certificate first, then those above it as far as the file goes; DER. */
  readonly chain: readonly Buffer[];
}

const { oids } = forge.pki;
/** Version 3, as in every PFX. */
const pfxVersion = Buffer.from('020103', 'hex');

/** Opens a file with its password (empty for none). Throws IssuerError that says what is wrong with it. */
export function openPkcs12(bytes: Buffer, password: string): Pkcs12Content {
  const container = open(bytes, password);
  const keys = [oids['pkcs8ShroudedKeyBag'], oids['keyBag']].flatMap((type) => (type === undefined ? [] : bagsOf(container, type))).map(keyDer);
  const certificates = bagsOf(container, oids['certBag'] ?? '').map(certificateDer);
  const [key, another] = keys;
  if (key === undefined) throw new IssuerError('the PKCS#12 file holds no private key');
  if (another !== undefined) throw new IssuerError('the PKCS#12 file holds more than one private key');
  const { privateKey, readable } = read(key, certificates);
  const own = readable.find((certificate) => certificate.checkPrivateKey(privateKey));
  if (own === undefined) throw new IssuerError('the PKCS#12 file holds no certificate for its key');
  return { keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), chain: chainFrom(own, readable) };
}

/** What OpenSSL makes of the parts: forge only took them out. */
function read(key: Buffer, certificates: readonly Buffer[]): { readonly privateKey: KeyObject; readonly readable: readonly X509Certificate[] } {
  try {
    return { privateKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }), readable: certificates.map((der) => new X509Certificate(der)) };
  } catch (error) {
    throw new IssuerError('the PKCS#12 file is damaged: its key or a certificate cannot be read', { cause: error });
  }
}

function open(bytes: Buffer, password: string): forge.pkcs12.Pkcs12Pfx {
  if (readInside(bytes, tags.sequence, 3)?.[0]?.whole.equals(pfxVersion) !== true) throw new IssuerError('the file is not PKCS#12');
  try {
    return parse(bytes, password, true);
  } catch {
    // Modern encryption (PBES2) takes the password in UTF-8, the MAC and old encryption in UTF-16; forge knows one form for both. With the
    // MAC left out, padding and form of what is decrypted still tell a wrong password.
  }
  try {
    return parse(bytes, Buffer.from(password).toString('latin1'), false);
  } catch (error) {
    throw new IssuerError('the password does not open the PKCS#12 file', { cause: error });
  }
}

function parse(bytes: Buffer, password: string, withMac: boolean): forge.pkcs12.Pkcs12Pfx {
  const file = forge.asn1.fromDer(bytes.toString('latin1'));
  if (!withMac && Array.isArray(file.value)) file.value = file.value.slice(0, 2);
  return forge.pkcs12.pkcs12FromAsn1(file, false, password);
}

function bagsOf(container: forge.pkcs12.Pkcs12Pfx, bagType: string): forge.pkcs12.Bag[] {
  return container.getBags({ bagType })[bagType] ?? [];
}

/** forge understands RSA keys and leaves others as they are. */
function keyDer(bag: forge.pkcs12.Bag): Buffer {
  const info = bag.key === undefined || bag.key === null ? bag.asn1 : forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key));
  return Buffer.from(forge.asn1.toDer(info).getBytes(), 'latin1');
}

/** A certificate that forge has parsed keeps the signed part it came with, so its bytes survive. */
function certificateDer(bag: forge.pkcs12.Bag): Buffer {
  const certificate = bag.cert === undefined || bag.cert === null ? bag.asn1 : forge.pki.certificateToAsn1(bag.cert);
  return Buffer.from(forge.asn1.toDer(certificate).getBytes(), 'latin1');
}

function chainFrom(own: X509Certificate, certificates: readonly X509Certificate[]): Buffer[] {
  const chain = [own];
  for (let below = own; chain.length <= certificates.length;) {
    const above = certificates.find((one) => !chain.some((held) => held.raw.equals(one.raw)) && below.checkIssued(one));
    if (above === undefined) break;
    chain.push(above);
    below = above;
  }
  return chain.map(({ raw }) => raw);
}
