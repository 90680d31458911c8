// Makes roots, intermediates and server certificates for tests, good ones and every kind of bad one, with a DER writer of its own
// (not the gateway's, so that the gateway's certificates are never checked against themselves). Never used outside tests.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Key kinds a test certificate may have; the weak ones are there to be refused. */
export type TestKey = 'ec' | 'ec384' | 'ec521' | 'rsa' | 'rsa1024' | 'rsa512' | 'rsa3072' | 'ed25519';

/** Everything about a certificate; what is absent is made right. */
export interface CertSpec {
  /** Common name; null for an empty subject. Default: the first name or address. */
  readonly cn?: string | null;
  /** Organisation, put before the common name. */
  readonly organisation?: string;
  /** dNSName entries, written as given. */
  readonly names?: readonly string[];
  /** iPAddress entries, IPv4 or IPv6 text. */
  readonly ips?: readonly string[];
  readonly emails?: readonly string[];
  readonly key?: TestKey;
  /** Use this key pair instead of a new one. */
  readonly keyPair?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  /** Days valid from notBefore; default 30. */
  readonly days?: number;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly hash?: 'sha256' | 'sha384' | 'sha512' | 'sha1' | 'md5';
  readonly serial?: Buffer;
  /** True: CA certificate; null: no basicConstraints at all. */
  readonly ca?: boolean | null;
  readonly pathLength?: number | null;
  /** keyUsage bit names; null: no extension. */
  readonly keyUsage?: readonly KeyUsageName[] | null;
  /** extKeyUsage OIDs; null: no extension. */
  readonly extKeyUsage?: readonly string[] | null;
  readonly crlUrls?: readonly string[];
  readonly ocspUrls?: readonly string[];
  readonly caIssuersUrls?: readonly string[];
  /** permitted dNSName subtrees. */
  readonly permittedNames?: readonly string[];
  readonly excludedNames?: readonly string[];
  readonly mustStaple?: boolean;
  /** Leave out subjectAltName, authority key id, subject key id. */
  readonly noSan?: boolean;
  readonly noAuthorityKeyId?: boolean;
  readonly noSubjectKeyId?: boolean;
  readonly sanCritical?: boolean;
  /** Raw value of subjectAltName (GeneralNames DER) instead of names, ips and emails. */
  readonly sanDer?: Buffer;
  /** Raw subject Name DER instead of cn and organisation. */
  readonly subjectDer?: Buffer;
  /** More extensions, value as raw DER. */
  readonly extensions?: readonly { readonly oid: string; readonly critical?: boolean; readonly value: Buffer }[];
  /** Break the signature after signing. */
  readonly badSignature?: boolean;
  /** 0 makes a v1 certificate without extensions. */
  readonly version?: 0 | 2;
}

/** A certificate with its key and the certificates above it. */
export interface TestCert {
  readonly certPem: string;
  readonly keyPem: string;
  readonly der: Buffer;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly subjectDer: Buffer;
  /** Value of the subject key identifier. */
  readonly keyId: Buffer;
  readonly serial: Buffer;
  /** This certificate and those above it, the root left out (a root's own chain is itself). */
  readonly chainPem: string;
  readonly parent: TestCert | null;
}

/** A self-signed root CA (P-256 unless told otherwise). */
export function makeRoot(name: string, spec: CertSpec = {}): TestCert {
  return issue(null, { cn: name, ca: true, days: 3650, keyUsage: ['keyCertSign', 'cRLSign'], extKeyUsage: null, noSan: true, ...spec });
}

/** A CA certificate below `parent`. */
export function makeIntermediate(parent: TestCert, name: string, spec: CertSpec = {}): TestCert {
  return issue(parent, { cn: name, ca: true, pathLength: 0, days: 1825, keyUsage: ['keyCertSign', 'cRLSign'], extKeyUsage: null, noSan: true, ...spec });
}

/** A server certificate for `names` and `ips` below `parent`; `null` makes it self-signed. */
export function issueServer(parent: TestCert | null, spec: CertSpec = {}): TestCert {
  return issue(parent, spec);
}

/** An empty CRL of a CA, valid for a week around now. */
export function makeCrl(ca: TestCert): Buffer {
  const algorithm = signatureAlgorithm(ca.privateKey, 'sha256');
  const extensions = [
    der.sequence(der.oid('2.5.29.35'), der.octets(der.sequence(der.tlv(0x80, ca.keyId)))),
    der.sequence(der.oid('2.5.29.20'), der.octets(der.integer(Buffer.from([1])))),
  ];
  const tbs = der.sequence(
    der.integer(Buffer.from([1])), algorithm, ca.subjectDer, der.time(new Date(Date.now() - 3_600_000)), der.time(new Date(Date.now() + 604_800_000)),
    der.tlv(0xa0, der.sequence(...extensions)),
  );
  return der.sequence(tbs, algorithm, der.bits(sign('sha256', tbs, ca.privateKey)));
}

// ---- DER

export const der = {
  tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
    const body = Buffer.concat(parts);
    const length = body.length;
    if (length < 128) return Buffer.concat([Buffer.from([tag, length]), body]);
    const octets = Buffer.from(length.toString(16).padStart(length > 0xffffff ? 8 : length > 0xffff ? 6 : length > 0xff ? 4 : 2, '0'), 'hex');
    return Buffer.concat([Buffer.from([tag, 0x80 | octets.length]), octets, body]);
  },
  sequence: (...parts: readonly Buffer[]): Buffer => der.tlv(0x30, ...parts),
  set: (...parts: readonly Buffer[]): Buffer => der.tlv(0x31, ...parts),
  octets: (...parts: readonly Buffer[]): Buffer => der.tlv(0x04, ...parts),
  bits: (bytes: Buffer, unused = 0): Buffer => der.tlv(0x03, Buffer.from([unused]), bytes),
  integer: (bytes: Buffer): Buffer => der.tlv(0x02, bytes),
  boolean: (value: boolean): Buffer => der.tlv(0x01, Buffer.from([value ? 0xff : 0])),
  utf8: (text: string): Buffer => der.tlv(0x0c, Buffer.from(text)),
  ia5: (tag: number, text: string): Buffer => der.tlv(tag, Buffer.from(text, 'latin1')),
  oid(text: string): Buffer {
    const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
    const octets = [first * 40 + second, ...rest].flatMap((arc) => {
      const septets = [arc & 0x7f];
      for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) septets.unshift((left & 0x7f) | 0x80);
      return septets;
    });
    return der.tlv(0x06, Buffer.from(octets));
  },
  time(date: Date): Buffer {
    const text = `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
    return date.getUTCFullYear() < 2050 ? der.ia5(0x17, text.slice(2)) : der.ia5(0x18, text);
  },
} as const;

const usageBits = [
  'digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign',
] as const;
export type KeyUsageName = (typeof usageBits)[number];

/** OIDs that tests name. */
export const oids = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  anyExtendedKeyUsage: '2.5.29.37.0',
} as const;

/** A Name of an optional organisation and a common name, UTF8String. */
export function nameDer(cn: string | null, organisation?: string): Buffer {
  const attribute = (oid: string, text: string): Buffer => der.set(der.sequence(der.oid(oid), der.utf8(text)));
  return der.sequence(
    ...(organisation === undefined ? [] : [attribute('2.5.4.10', organisation)]),
    ...(cn === null ? [] : [attribute('2.5.4.3', cn)]),
  );
}

export function toPem(label: string, bytes: Buffer): string {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END ${label}-----\n`;
}

/** A new key pair of a kind. */
export function makeKey(kind: TestKey): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (kind) {
    case 'ec': return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ec384': return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'ec521': return generateKeyPairSync('ec', { namedCurve: 'P-521' });
    case 'ed25519': return generateKeyPairSync('ed25519');
    case 'rsa': return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'rsa512': return generateKeyPairSync('rsa', { modulusLength: 512 });
    case 'rsa1024': return generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'rsa3072': return generateKeyPairSync('rsa', { modulusLength: 3072 });
  }
}

/** Any certificate: what makeRoot, makeIntermediate and issueServer build on. */
export function issue(parent: TestCert | null, spec: CertSpec): TestCert {
  const { privateKey, publicKey } = spec.keyPair ?? makeKey(spec.key ?? 'ec');
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha1').update(spki).digest();
  const serial = spec.serial ?? Buffer.concat([Buffer.from([0x4a]), randomBytes(15)]);
  const subjectDer = spec.subjectDer ?? nameDer(spec.cn === undefined ? (spec.names?.[0] ?? spec.ips?.[0] ?? 'test') : spec.cn, spec.organisation);
  const notBefore = spec.notBefore ?? new Date(Date.now() - 3_600_000);
  const notAfter = spec.notAfter ?? new Date(notBefore.getTime() + (spec.days ?? 30) * 86_400_000);
  const signer = parent?.privateKey ?? privateKey;
  const algorithm = signatureAlgorithm(signer, spec.hash ?? 'sha256');
  const extensions = spec.version === 0 ? [] : extensionsOf(spec, keyId, parent);
  const tbs = der.sequence(
    ...(spec.version === 0 ? [] : [der.tlv(0xa0, der.integer(Buffer.from([2])))]),
    der.integer(serial), algorithm, parent?.subjectDer ?? subjectDer,
    der.sequence(der.time(notBefore), der.time(notAfter)), subjectDer, spki,
    ...(extensions.length === 0 ? [] : [der.tlv(0xa3, der.sequence(...extensions))]),
  );
  const signature = sign(signer.asymmetricKeyType === 'ed25519' ? null : (spec.hash ?? 'sha256'), tbs, signer);
  if (spec.badSignature === true) signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1;
  const bytes = der.sequence(tbs, algorithm, der.bits(signature));
  const certPem = toPem('CERTIFICATE', bytes);
  return {
    certPem, keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), der: bytes, privateKey, publicKey, subjectDer, keyId, serial,
    chainPem: certPem + (parent === null || parent.parent === null ? '' : parent.chainPem), parent,
  };
}

function signatureAlgorithm(key: KeyObject, hash: NonNullable<CertSpec['hash']>): Buffer {
  if (key.asymmetricKeyType === 'ed25519') return der.sequence(der.oid('1.3.101.112'));
  if (key.asymmetricKeyType === 'rsa') {
    const arc = { sha256: 11, sha384: 12, sha512: 13, sha1: 5, md5: 4 }[hash];
    return der.sequence(der.oid(`1.2.840.113549.1.1.${arc}`), der.tlv(0x05));
  }
  const arc = { sha256: '3.2', sha384: '3.3', sha512: '3.4', sha1: '1', md5: '3.2' }[hash];
  return der.sequence(der.oid(`1.2.840.10045.4.${arc}`));
}

function extensionsOf(spec: CertSpec, keyId: Buffer, parent: TestCert | null): Buffer[] {
  const list: Buffer[] = [];
  const add = (oid: string, value: Buffer, critical = false): void => {
    list.push(der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octets(value)));
  };
  const ca = spec.ca === undefined ? false : spec.ca;
  if (ca !== null) {
    const pathLength = spec.pathLength ?? null;
    add('2.5.29.19', der.sequence(...(ca ? [der.boolean(true)] : []), ...(pathLength === null ? [] : [der.integer(Buffer.from([pathLength]))])), true);
  }
  const usage = spec.keyUsage === undefined ? (['digitalSignature', 'keyEncipherment'] as const) : spec.keyUsage;
  if (usage !== null) add('2.5.29.15', keyUsageBits(usage), true);
  const purposes = spec.extKeyUsage === undefined ? [oids.serverAuth] : spec.extKeyUsage;
  if (purposes !== null) add('2.5.29.37', der.sequence(...purposes.map(der.oid)));
  if (spec.noSubjectKeyId !== true) add('2.5.29.14', der.octets(keyId));
  if (spec.noAuthorityKeyId !== true) add('2.5.29.35', der.sequence(der.tlv(0x80, parent?.keyId ?? keyId)));
  const names = spec.sanDer ?? der.sequence(
    ...(spec.names ?? []).map((name) => der.ia5(0x82, name)),
    ...(spec.ips ?? []).map((ip) => der.tlv(0x87, ipBytes(ip))),
    ...(spec.emails ?? []).map((mail) => der.ia5(0x81, mail)),
  );
  if (spec.noSan !== true && names.length > 2) add('2.5.29.17', names, spec.sanCritical ?? spec.cn === null);
  if (spec.crlUrls !== undefined) {
    add('2.5.29.31', der.sequence(...spec.crlUrls.map((url) => der.sequence(der.tlv(0xa0, der.tlv(0xa0, der.ia5(0x86, url)))))));
  }
  const access = [
    ...(spec.ocspUrls ?? []).map((url) => der.sequence(der.oid('1.3.6.1.5.5.7.48.1'), der.ia5(0x86, url))),
    ...(spec.caIssuersUrls ?? []).map((url) => der.sequence(der.oid('1.3.6.1.5.5.7.48.2'), der.ia5(0x86, url))),
  ];
  if (access.length > 0) add('1.3.6.1.5.5.7.1.1', der.sequence(...access));
  if (spec.permittedNames !== undefined || spec.excludedNames !== undefined) {
    const subtree = (name: string): Buffer => der.sequence(der.ia5(0x82, name));
    add('2.5.29.30', der.sequence(
      ...(spec.permittedNames === undefined ? [] : [der.tlv(0xa0, ...spec.permittedNames.map(subtree))]),
      ...(spec.excludedNames === undefined ? [] : [der.tlv(0xa1, ...spec.excludedNames.map(subtree))]),
    ), true);
  }
  if (spec.mustStaple === true) add('1.3.6.1.5.5.7.1.24', der.sequence(der.integer(Buffer.from([5]))));
  for (const extension of spec.extensions ?? []) add(extension.oid, extension.value, extension.critical ?? false);
  return list;
}

function keyUsageBits(names: readonly KeyUsageName[]): Buffer {
  let octet = 0;
  for (const name of names) octet |= 0x80 >> usageBits.indexOf(name);
  let unused = 0;
  while (unused < 7 && ((octet >> unused) & 1) === 0) unused += 1;
  return der.bits(Buffer.from([octet]), unused);
}

/** An address as 4 or 16 octets. */
export function ipBytes(ip: string): Buffer {
  if (!ip.includes(':')) return Buffer.from(ip.split('.').map(Number));
  const [head = '', tail] = ip.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const middle = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...middle, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}
