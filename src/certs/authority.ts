// The only place that reads the CA's key: makes it on first run, loads it, and lets it out as signatures (and the marks in serial
// numbers) alone. It decides nothing about what is signed.

import { X509Certificate, createHmac, createPrivateKey, generateKeyPair, hkdfSync, randomBytes, sign, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { LeafKeyType } from '../core/certificates.ts';
import { encode, nothing, oid, sequence } from './asn1.ts';
import { caToBeSigned } from './ca-certificate.ts';
import type { NewCa } from './ca-certificate.ts';
import { createFile, foreignBits, makeFolder, moveAside, readIfThere, replaceFile } from './files.ts';
import { judgeIssuer } from './issuer-checks.ts';
import type { IssuerJudgement } from './issuer-checks.ts';
import { IssuerError } from './issuer-error.ts';
import { certificatesInPem, oids, pem, readCertificate, signed } from './parts.ts';

/** Where an issuer is kept, and how it is made when it is not there. */
export interface AuthorityOptions {
  readonly name: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** For an encrypted key file. */
  readonly passphrase: string | null;
  /** Null: it must exist. */
  readonly create: NewCa | null;
  readonly now: number;
}

/** An issuer ready to sign. */
export interface Issuer {
  readonly name: string;
  readonly certificate: X509Certificate;
  readonly certDer: Buffer;
  /** Its certificate and those above it, without a root unless it is one itself: what a server sends after the leaf. */
  readonly chainPem: string;
  /** Its Name, byte for byte. */
  readonly subject: Buffer;
  readonly publicKeyInfo: Buffer;
  /** Value of its subject key identifier. */
  readonly keyId: Buffer;
  readonly keyIdHex: string;
  readonly keyType: LeafKeyType;
  /** EC, or RSA of up to 2,048 bits: a signature takes no longer than the way to the thread pool and back. */
  readonly signsQuickly: boolean;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly signsCrls: boolean;
  readonly isRoot: boolean;
  /** AlgorithmIdentifier of its signatures. */
  readonly algorithm: Buffer;
  readonly warnings: readonly string[];
  sign(toBeSigned: Buffer): Buffer;
  /** The same in the thread pool. An RSA signature takes half a millisecond, which a storm of new names must not take from the event loop. */
  signLater(toBeSigned: Buffer): Promise<Buffer>;
  /** A new serial number: 8 random octets and 8 that only holders of this key can compute. */
  newSerial(): Buffer;
  /** Whether a serial number was made with this key, by whichever gateway. */
  isOwnSerial(serial: Buffer): boolean;
}

const rsaBits = 2048;
const generate = promisify(generateKeyPair);
const algorithms: Record<LeafKeyType, Buffer> = {
  rsa: encode(sequence(oid(oids.rsaSha256), nothing())),
  ec: encode(sequence(oid(oids.ecdsaSha256))),
};

/** Opens an issuer, making it first when there is none and `create` says how. Throws IssuerError with what to do. */
export async function openAuthority(options: AuthorityOptions): Promise<Issuer> {
  let keyPem = await readIfThere(options.keyFile);
  if (keyPem === null) {
    if (options.create === null) throw new IssuerError(`${options.keyFile}: no such key file; import one with \`sallyport ca import\``);
    if ((await readIfThere(options.certFile)) !== null) throw new IssuerError(`${options.keyFile}: the key of ${options.certFile} is missing; restore it, or move the certificate away to have a new CA made`);
    await createAuthority(options, options.create);
    keyPem = await readIfThere(options.keyFile);
  }
  if (keyPem === null) throw new IssuerError(`${options.keyFile}: the key vanished while it was read; start again`);
  if ((await foreignBits(options.keyFile)) !== 0) throw new IssuerError(`${options.keyFile}: others than its owner may read or write the CA key; run \`chmod 600 ${options.keyFile}\`, and make a new CA if it was exposed`);
  const key = readKey(keyPem, options.passphrase, options.keyFile);
  const chain = await readChain(options, keyPem);
  return issuerOf(options, key, chain);
}

/** Key and certificates from outside. */
export interface IssuerMaterial {
  /** PEM, possibly encrypted. */
  readonly keyPem: Buffer | string;
  readonly passphrase: string | null;
  /** The issuing certificate first, DER. */
  readonly chain: readonly Buffer[];
}

/**
 * Puts an issuer from outside in place after every check, the key unencrypted with mode 0600; files that were there are kept under another
 * name. Answers the warnings. Rejects with IssuerError, and has changed nothing then.
 */
export async function installAuthority(files: { readonly certFile: string; readonly keyFile: string }, material: IssuerMaterial, now: number): Promise<readonly string[]> {
  const key = readKey(material.keyPem, material.passphrase, 'the key');
  const judgement = judgeIssuer(material.chain, now);
  const faults = [...judgement.faults, ...(judgement.outOfTime === null ? [] : [judgement.outOfTime])];
  if (faults.length === 0 && !keyFits(material.chain, key)) faults.push('the key is not that of the certificate');
  if (faults.length > 0) throw new IssuerError(`this certificate cannot be the issuer: ${faults.join('; ')}`);
  await retireAuthority(files, now);
  await makeFolder(dirname(files.keyFile));
  await makeFolder(dirname(files.certFile));
  await replaceFile(files.keyFile, key.export({ format: 'pem', type: 'pkcs8' }).toString());
  await replaceFile(files.certFile, material.chain.map((bytes) => pem('CERTIFICATE', bytes)).join(''), 0o644);
  return judgement.warnings;
}

/** Moves an issuer's files aside (never deletes them); answers whether there were any. */
export async function retireAuthority(files: { readonly certFile: string; readonly keyFile: string }, now: number): Promise<boolean> {
  const mark = new Date(now).toISOString().replace(/[-:]/g, '').slice(0, 15);
  // The key first: a certificate without a key has nothing made in its place.
  const moved = [await moveAside(files.keyFile, `${files.keyFile}.${mark}.old`), await moveAside(files.certFile, `${files.certFile}.${mark}.old`)];
  return moved.includes(true);
}

/**
 * Makes key and certificate. Both go into the key file in one step, and the certificate file is written from there: whoever is
 * first wins, everybody else takes what the winner made, and a crash in between leaves nothing that cannot be carried on.
 */
async function createAuthority(options: AuthorityOptions, ca: NewCa): Promise<void> {
  await makeFolder(dirname(options.keyFile));
  const { privateKey, publicKey } = ca.key === 'rsa' ? await generate('rsa', { modulusLength: rsaBits }) : await generate('ec', { namedCurve: 'P-256' });
  const algorithm = algorithms[ca.key];
  const toBeSigned = caToBeSigned(ca, publicKey, algorithm, options.now);
  const certificate = signed(toBeSigned, algorithm, sign('sha256', toBeSigned, privateKey));
  await createFile(options.keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() + pem('CERTIFICATE', certificate));
}

async function readChain(options: AuthorityOptions, keyPem: Buffer): Promise<Buffer[]> {
  let text = await readIfThere(options.certFile);
  if (text === null) {
    const [own] = certificatesInPem(keyPem.toString('latin1'));
    if (own === undefined) throw new IssuerError(`${options.certFile}: no such certificate file, but its key exists; restore it, or move the key away to have a new CA made`);
    await makeFolder(dirname(options.certFile));
    await createFile(options.certFile, pem('CERTIFICATE', own), 0o644);
    text = await readIfThere(options.certFile);
  }
  const chain = certificatesInPem(text?.toString('latin1') ?? '');
  if (chain.length === 0) throw new IssuerError(`${options.certFile}: holds no certificate in PEM form`);
  return chain;
}

function readKey(keyPem: Buffer | string, passphrase: string | null, file: string): KeyObject {
  try {
    return createPrivateKey({ key: keyPem, format: 'pem', ...(passphrase === null ? {} : { passphrase }) });
  } catch (error) {
    const encrypted = /ENCRYPTED/.test(keyPem.toString());
    if (encrypted && passphrase === null) throw new IssuerError(`${file}: the key is encrypted; give its passphrase (passphraseFile in the config, --passphrase-file of \`ca import\`)`);
    if (encrypted) throw new IssuerError(`${file}: the passphrase does not open the key`);
    throw new IssuerError(`${file}: holds no private key in PEM form`, { cause: error });
  }
}

function keyFits(chain: readonly Buffer[], key: KeyObject): boolean {
  const [first] = chain;
  return first !== undefined && new X509Certificate(first).checkPrivateKey(key);
}

function issuerOf(options: AuthorityOptions, key: KeyObject, chain: readonly Buffer[]): Issuer {
  const [certDer = Buffer.alloc(0)] = chain;
  const judgement = judgeIssuer(chain, options.now);
  const [fault] = judgement.faults;
  if (fault !== undefined) throw new IssuerError(`${options.certFile}: ${fault}`);
  if (!keyFits(chain, key)) throw new IssuerError(`${options.keyFile}: is not the key of ${options.certFile}`);
  const parts = readCertificate(certDer);
  if (parts === null) throw new IssuerError(`${options.certFile}: is not a certificate`);
  const keyType = key.asymmetricKeyType === 'rsa' ? 'rsa' : 'ec';
  const sent = judgement.isRoot ? [certDer] : chain.filter((bytes) => !isRoot(bytes));
  return {
    name: options.name, certificate: new X509Certificate(certDer), certDer, chainPem: sent.map((bytes) => pem('CERTIFICATE', bytes)).join(''),
    subject: parts.subject, publicKeyInfo: parts.publicKeyInfo, keyId: judgement.keyId, keyIdHex: judgement.keyId.toString('hex'), keyType,
    signsQuickly: keyType === 'ec' || (key.asymmetricKeyDetails?.modulusLength ?? Infinity) <= rsaBits,
    notBefore: parts.notBefore, notAfter: parts.notAfter, signsCrls: judgement.signsCrls, isRoot: judgement.isRoot, algorithm: algorithms[keyType],
    warnings: warningsOf(judgement),
    sign: (toBeSigned) => sign('sha256', toBeSigned, key),
    signLater: (toBeSigned) => new Promise((resolve, reject) => {
      sign('sha256', toBeSigned, key, (error, signature) => (error === null ? resolve(signature) : reject(error)));
    }),
    ...serialsOf(key),
  };
}

function warningsOf(judgement: IssuerJudgement): readonly string[] {
  return judgement.outOfTime === null ? judgement.warnings : [judgement.outOfTime, ...judgement.warnings];
}

const serialHalf = 8;

/** Serial numbers with a mark from a secret that every holder of the key can derive, and nobody else. */
function serialsOf(key: KeyObject): Pick<Issuer, 'newSerial' | 'isOwnSerial'> {
  const secret = Buffer.from(hkdfSync('sha256', key.export({ format: 'der', type: 'pkcs8' }), '', 'sallyport serial numbers', 32));
  const mark = (random: Buffer): Buffer => createHmac('sha256', secret).update(random).digest().subarray(0, serialHalf);
  return {
    newSerial() {
      const random = randomBytes(serialHalf);
      random[0] = 0x40 | ((random[0] ?? 0) & 0x3f);
      return Buffer.concat([random, mark(random)]);
    },
    isOwnSerial: (serial) => serial.length === 2 * serialHalf && timingSafeEqual(mark(serial.subarray(0, serialHalf)), serial.subarray(serialHalf)),
  };
}

function isRoot(bytes: Buffer): boolean {
  const parts = readCertificate(bytes);
  return parts?.issuer.equals(parts.subject) ?? false;
}

