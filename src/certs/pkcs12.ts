// Opens PKCS#12 files (RFC 7292) as CAs export them: key and certificates, modern and legacy encryption, RSA and EC. node-forge takes the
// container apart; it never interprets the key or the certificates, which node:crypto then does.

import { X509Certificate, createPrivateKey } from 'node:crypto';
import forge from 'node-forge';
import { IssuerError } from './issuer-error.ts';

/** What a file held. */
export interface Pkcs12Content {
  /** Unencrypted PKCS#8, PEM. */
  readonly keyPem: string;
  /** The key's certificate first, then those above it as far as the file goes; DER. */
  readonly chain: readonly Buffer[];
}

const { oids } = forge.pki;

/** Opens a file with its password (empty for none). Throws IssuerError that says what is wrong with it. */
export function openPkcs12(bytes: Buffer, password: string): Pkcs12Content {
  const container = open(bytes, password);
  const keys = [oids['pkcs8ShroudedKeyBag'], oids['keyBag']].flatMap((type) => (type === undefined ? [] : bagsOf(container, type))).map(keyDer);
  const certificates = bagsOf(container, oids['certBag'] ?? '').map(certificateDer);
  const [key, another] = keys;
  if (key === undefined) throw new IssuerError('the PKCS#12 file holds no private key');
  if (another !== undefined) throw new IssuerError('the PKCS#12 file holds more than one private key');
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  const own = certificates.find((der) => new X509Certificate(der).checkPrivateKey(privateKey));
  if (own === undefined) throw new IssuerError('the PKCS#12 file holds no certificate for its key');
  return { keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), chain: chainFrom(own, certificates) };
}

function open(bytes: Buffer, password: string): forge.pkcs12.Pkcs12Pfx {
  try {
    return forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(bytes.toString('latin1')), false, password);
  } catch (error) {
    const wrong = error instanceof Error && /MAC|password/i.test(error.message);
    throw new IssuerError(wrong ? 'the password does not open the PKCS#12 file' : 'the file is not PKCS#12, or of a kind that cannot be read', { cause: error });
  }
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

function chainFrom(own: Buffer, certificates: readonly Buffer[]): Buffer[] {
  const chain = [own];
  for (let below = new X509Certificate(own); chain.length <= certificates.length;) {
    const above = certificates.find((der) => !chain.includes(der) && below.checkIssued(new X509Certificate(der)));
    if (above === undefined) break;
    chain.push(above);
    below = new X509Certificate(above);
  }
  return chain;
}
