import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readInside, tags } from '../../../src/certs/asn1.ts';
import type { Issuer } from '../../../src/certs/authority.ts';
import { draftLeaf, leafPublicKey, signLeaf } from '../../../src/certs/emulate.ts';
import type { EmulateContext } from '../../../src/certs/emulate.ts';
import { installAuthority, openAuthority } from '../../../src/certs/authority.ts';
import { oids, readCertificate } from '../../../src/certs/parts.ts';
import type { CertificateParts } from '../../../src/certs/parts.ts';
import type { LeafRequest } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { issueServer, makeRoot, nameDer } from '../../support/certs.ts';
import type { CertSpec } from '../../support/certs.ts';
import { makeIssuer, requestFor, temporaryFolder } from './helpers.ts';

const hour = 3_600_000;
const day = 24 * hour;
const root = makeRoot('R');
const keys = {
  ec: leafPublicKey('ec', generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' })),
  rsa: leafPublicKey('rsa', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'der', type: 'spki' })),
};
const addresses = { crl: ['http://one.test/c.crl', 'http://two.test/c.crl'], ocsp: ['http://one.test/ocsp'], caIssuers: ['http://one.test/ca.crt'] };
const issuer = await sharedIssuer();

async function sharedIssuer(): Promise<Issuer> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-emulate-'));
  try {
    return await openAuthority({ name: 'default', certFile: join(folder, 'ca.pem'), keyFile: join(folder, 'ca.key'), passphrase: null, now: Date.now(), create: { key: 'ec', label: 'Test CA', permitted: [] } });
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function leafOf(spec: CertSpec | null, request: Partial<LeafRequest> = {}, context: Partial<EmulateContext> = {}): Promise<{ x509: X509Certificate; parts: CertificateParts }> {
  const made = { issuer, addresses, key: keys.ec, limits: limitsWith(), now: Date.now(), ...context };
  const draft = draftLeaf(requestFor(spec === null ? null : issueServer(root, spec).der, request), made);
  const der = await signLeaf(draft, made.issuer);
  const parts = readCertificate(der);
  if (parts === null) throw new Error('the leaf cannot be read');
  return { x509: new X509Certificate(der), parts };
}
const extension = (parts: CertificateParts, oid: string): string => `${parts.extensions.get(oid)?.critical === true ? 'critical ' : ''}${parts.extensions.get(oid)?.value.toString('hex') ?? 'absent'}`;

describe('what every leaf states', () => {
  it('the issuer\'s name and key identifier as the issuer\'s certificate has them', async () => {
    const { x509, parts } = await leafOf({ names: ['a.example'] });
    expect(parts.issuer).toEqual(issuer.subject);
    expect(extension(parts, oids.authorityKeyId)).toBe(`30168014${issuer.keyIdHex}`);
    expect(x509.verify(issuer.certificate.publicKey)).toBe(true);
    expect(x509.checkIssued(issuer.certificate)).toBe(true);
    expect(issuer.isOwnSerial(parts.serial)).toBe(true);
  });

  it('AKI follows the issuer\'s extension even where that is no hash of its key', async () => {
    const folder = await temporaryFolder();
    const odd = makeRoot('Odd', { noSubjectKeyId: true, extensions: [{ oid: oids.subjectKeyId, value: Buffer.from('040411223344', 'hex') }] });
    const files = { certFile: join(folder, 'c'), keyFile: join(folder, 'k') };
    await installAuthority(files, { keyPem: odd.keyPem, passphrase: null, chain: [odd.der] }, Date.now());
    const other = await openAuthority({ name: 'x', ...files, passphrase: null, create: null, now: Date.now() });
    expect(extension((await leafOf({ names: ['a.example'] }, {}, { issuer: other })).parts, oids.authorityKeyId)).toBe('3006800411223344');
  });

  it('no CA, server purpose, and key usage by key type', async () => {
    const ec = (await leafOf({ names: ['a.example'] })).parts;
    const rsa = (await leafOf({ names: ['a.example'], keyUsage: ['keyAgreement'] }, { key: 'rsa' }, { key: keys.rsa })).parts;
    expect(extension(ec, oids.basicConstraints)).toBe('critical 3000');
    expect(extension(ec, oids.extKeyUsage)).toBe('300a06082b06010505070301');
    expect(extension(ec, oids.keyUsage)).toBe('critical 03020780');
    expect(extension(rsa, oids.keyUsage)).toBe('critical 030205a0');
    expect(extension(ec, oids.subjectKeyId)).toBe(`0414${keys.ec.keyId.toString('hex')}`);
    expect(keys.ec.keyId).not.toEqual(issuer.keyId);
  });

  it('one distribution point with all addresses, OCSP and CA issuer; none when there are no addresses', async () => {
    const { x509, parts } = await leafOf({ names: ['a.example'] });
    const points = parts.extensions.get(oids.crlDistributionPoints)?.value ?? Buffer.alloc(0);
    for (const url of addresses.crl) expect(points.includes(url)).toBe(true);
    expect(readInside(points, tags.sequence, 8)).toHaveLength(1);
    expect(x509.infoAccess).toBe('OCSP - URI:http://one.test/ocsp\nCA Issuers - URI:http://one.test/ca.crt');
    const bare = (await leafOf({ names: ['a.example'] }, {}, { addresses: { crl: [], ocsp: [], caIssuers: [] } })).parts;
    expect(bare.extensions.has(oids.crlDistributionPoints)).toBe(false);
    expect(bare.extensions.has(oids.authorityInfoAccess)).toBe(false);
  });

  it('nothing else of the server\'s certificate', async () => {
    const { parts, x509 } = await leafOf({
      names: ['a.example'], mustStaple: true, crlUrls: ['http://upstream.test/x'], ocspUrls: ['http://upstream.test/o'], caIssuersUrls: ['http://upstream.test/i'], key: 'rsa', extKeyUsage: [oids.serverAuth, '1.3.6.1.5.5.7.3.2'],
      extensions: [
        { oid: '1.3.6.1.4.1.11129.2.4.2', value: Buffer.from('0400', 'hex') }, { oid: '2.5.29.32', value: Buffer.from('3000', 'hex') },
        { oid: oids.nameConstraints, critical: true, value: Buffer.from('3000', 'hex') }, { oid: '1.2.3.4', critical: true, value: Buffer.from('0500', 'hex') },
      ],
    });
    expect([...parts.extensions.keys()].sort()).toEqual([oids.basicConstraints, oids.keyUsage, oids.extKeyUsage, oids.subjectKeyId, oids.authorityKeyId, oids.subjectAltName, oids.crlDistributionPoints, oids.authorityInfoAccess].sort());
    expect(x509.toString()).not.toContain('upstream.test');
  });
});

describe('names', () => {
  it('subject and alternative names are mirrored byte for byte', async () => {
    const { parts } = await leafOf({ names: ['A.example', '*.b.example'], ips: ['192.0.2.1'], organisation: 'Ö' });
    const server = issueServer(root, { names: ['A.example', '*.b.example'], ips: ['192.0.2.1'], organisation: 'Ö' });
    expect(parts.subject).toEqual(server.subjectDer);
    expect(parts.extensions.get(oids.subjectAltName)).toEqual({ critical: false, value: readCertificate(server.der)?.extensions.get(oids.subjectAltName)?.value });
  });

  it('alternative names are critical exactly when the subject is empty', async () => {
    expect((await leafOf({ cn: null, names: ['a.example'] })).parts).toMatchObject({ subject: Buffer.from('3000', 'hex') });
    expect((await leafOf({ cn: null, names: ['a.example'] })).parts.extensions.get(oids.subjectAltName)?.critical).toBe(true);
    expect((await leafOf({ cn: 'a'.repeat(65), names: ['a.example'] })).parts.extensions.get(oids.subjectAltName)?.critical).toBe(true);
    expect((await leafOf({ names: ['a.example'], sanCritical: true })).parts.extensions.get(oids.subjectAltName)?.critical).toBe(false);
  });

  it('names the host asked for where there is no certificate', async () => {
    const { x509 } = await leafOf(null, { host: 'B.example.' });
    expect([x509.subject, x509.subjectAltName]).toEqual(['CN=b.example', 'DNS:b.example']);
  });
});

describe('validity', () => {
  const now = Date.UTC(2026, 5, 15, 12, 34, 56);
  const dates = async (spec: CertSpec | null, request: Partial<LeafRequest> = {}, more: Partial<EmulateContext> = {}): Promise<[number, number]> => {
    const { parts } = await leafOf(spec, request, { now, issuer: { ...issuer, notBefore: Date.UTC(2026, 0, 1) }, ...more });
    return [parts.notBefore, parts.notAfter];
  };
  const backDated = Date.UTC(2026, 5, 13, 12);
  const from = { notBefore: new Date(now - 30 * day) };

  it('begins 48 hours ago at a full hour and ends after leafDaysMax', async () => {
    expect(await dates(null)).toEqual([backDated, now + 90 * day]);
    expect(await dates(null, {}, { limits: limitsWith({ leafDaysMax: 30 }) })).toEqual([backDated, now + 30 * day]);
  });

  it('ends with the server\'s certificate, and with the issuer', async () => {
    expect(await dates({ names: ['a.example'], ...from, notAfter: new Date(now + 5 * day) })).toEqual([backDated, now + 5 * day]);
    expect((await dates(null, {}, { issuer: { ...issuer, notBefore: 0, notAfter: now + day } }))[1]).toBe(now + day);
    expect((await dates({ names: ['a.example'], ...from, days: 3000 }))[1]).toBe(now + 90 * day);
  });

  it('does not begin before an issuer that is younger than that', async () => {
    expect((await dates(null, {}, { issuer: { ...issuer, notBefore: now - hour } }))[0]).toBe(Math.floor((now - hour) / 1000) * 1000);
  });

  it('an accepted expired certificate gets a short valid leaf; under the untrusted issuer the dates are shown', async () => {
    const expired = { names: ['a.example'], notBefore: new Date(now - 60 * day), notAfter: new Date(now - 30 * day) };
    const future = { names: ['a.example'], notBefore: new Date(now + 30 * day), notAfter: new Date(now + 60 * day) };
    expect(await dates(expired)).toEqual([backDated, now + day]);
    expect(await dates(expired, { trust: 'untrusted' })).toEqual([now - 60 * day, now - 30 * day]);
    expect(await dates(future)).toEqual([backDated, now + 60 * day]);
    expect(await dates(future, { trust: 'untrusted' })).toEqual([now + 30 * day, now + 60 * day]);
    expect(await dates({ names: ['a.example'], ...from, notAfter: new Date(now + 9 * day) }, { trust: 'untrusted' })).toEqual([backDated, now + 9 * day]);
  });

  it('survives 2050', async () => {
    const at = Date.UTC(2050, 3, 1);
    const { parts } = await leafOf(null, {}, { now: at, issuer: { ...issuer, notAfter: Date.UTC(2060, 0, 1) } });
    expect([parts.notBefore, parts.notAfter]).toEqual([at - 48 * hour, at + 90 * day]);
  });
});

describe('refusals', () => {
  it.each<[string, () => unknown, string]>([
    ['an expired issuer', () => draftLeaf(requestFor(null), context({ now: issuer.notAfter + 1 })), 'CA_EXPIRED'],
    ['garbage', () => draftLeaf(requestFor(Buffer.from('3003020101', 'hex')), context()), 'MINT_FAILED'],
    ['a certificate over the limit', () => draftLeaf(requestFor(issueServer(root, { names: ['a.example'], organisation: 'x'.repeat(5000) }).der), context({ limits: limitsWith({ upstreamCertBytesMax: 4096 }) })), 'MINT_FAILED'],
    ['nothing to name', () => draftLeaf(requestFor(null, { host: null }), context()), 'MINT_FAILED'],
  ])('%s', (_label, work, code) => {
    expect(work).toThrow(expect.objectContaining({ code }));
  });

  function context(more: Partial<EmulateContext> = {}): EmulateContext {
    return { issuer, addresses, key: keys.ec, limits: limitsWith(), now: Date.now(), ...more };
  }

  it('an issuer with an unusual name is copied as it is', async () => {
    const folder = await temporaryFolder();
    const odd = makeRoot('x', { subjectDer: Buffer.concat([nameDer('Zoë', 'Ünit')]) });
    const files = { certFile: join(folder, 'c'), keyFile: join(folder, 'k') };
    await installAuthority(files, { keyPem: odd.keyPem, passphrase: null, chain: [odd.der] }, Date.now());
    const other = await openAuthority({ name: 'x', ...files, passphrase: null, create: null, now: Date.now() });
    expect((await leafOf({ names: ['a.example'] }, {}, { issuer: other })).parts.issuer).toEqual(odd.subjectDer);
  });

  it('signs with RSA issuers too', async () => {
    const rsa = await makeIssuer('rsa');
    const { x509 } = await leafOf({ names: ['a.example'] }, {}, { issuer: rsa });
    expect(x509.verify(rsa.certificate.publicKey)).toBe(true);
    expect(x509.signatureAlgorithm).toBe('sha256WithRSAEncryption');
  });
});
