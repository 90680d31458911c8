import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encode } from '../../../src/certs/asn1.ts';
import { certificatesInPem, hasUsage, keyUsage, name, oids, pem, publicKeyBits, readCertificate, readName, usage } from '../../../src/certs/parts.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';

const root = makeRoot('Root', { organisation: 'Örg' });

describe('readCertificate', () => {
  it('takes a certificate apart', () => {
    const notBefore = new Date('2026-01-02T03:04:05Z');
    const notAfter = new Date('2051-01-02T03:04:05Z');
    const leaf = issueServer(root, { names: ['a.example'], notBefore, notAfter, mustStaple: true });
    const parts = readCertificate(leaf.der);
    expect(parts?.issuer).toEqual(root.subjectDer);
    expect(parts?.subject).toEqual(leaf.subjectDer);
    expect(parts?.serial).toEqual(leaf.serial);
    expect([parts?.notBefore, parts?.notAfter]).toEqual([notBefore.getTime(), notAfter.getTime()]);
    expect(parts?.publicKeyInfo).toEqual(leaf.publicKey.export({ format: 'der', type: 'spki' }));
    expect(parts?.extensions.get(oids.basicConstraints)).toEqual({ critical: true, value: Buffer.from('3000', 'hex') });
    expect(parts?.extensions.get('1.3.6.1.5.5.7.1.24')?.critical).toBe(false);
  });

  it('reads version 1 certificates', () => {
    expect(readCertificate(issueServer(root, { names: ['a.example'], version: 0 }).der)?.extensions.size).toBe(0);
  });

  it('answers null for every truncation and for a repeated extension, and never throws', () => {
    const leaf = issueServer(root, { names: ['a.example'] }).der;
    for (let length = 0; length < leaf.length; length += 1) expect(readCertificate(leaf.subarray(0, length))).toBeNull();
    const twice = issueServer(root, { names: ['a.example'], extensions: [{ oid: oids.basicConstraints, value: Buffer.from('3000', 'hex') }] });
    expect(readCertificate(twice.der)).toBeNull();
  });
});

describe('readName', () => {
  it('lists attributes in order', () => {
    expect(readName(root.subjectDer)?.map(({ type, value }) => [type, value.content.toString()])).toEqual([['2.5.4.10', 'Örg'], ['2.5.4.3', 'Root']]);
    expect(readName(name('x', 'y'))).toHaveLength(2);
  });

  it('answers null for what is not a Name', () => {
    for (const text of ['3000ff', '30023000', '3006310430023000', '310030', '30023100']) expect(readName(Buffer.from(text, 'hex'))).toBeNull();
    expect(readName(Buffer.from('3000', 'hex'))).toEqual([]);
  });
});

describe('small pieces', () => {
  it('writes keyUsage without trailing zero bits', () => {
    expect(encode(keyUsage(usage.digitalSignature)).toString('hex')).toBe('03020780');
    expect(encode(keyUsage(usage.digitalSignature, usage.keyEncipherment)).toString('hex')).toBe('030205a0');
    expect(encode(keyUsage(usage.keyCertSign, usage.cRLSign)).toString('hex')).toBe('03020106');
    expect(hasUsage(Buffer.from('03020106', 'hex'), usage.cRLSign)).toBe(true);
    expect(hasUsage(Buffer.from('03020106', 'hex'), usage.digitalSignature)).toBe(false);
    expect(hasUsage(Buffer.alloc(0), usage.cRLSign)).toBe(false);
  });

  it('finds the bits of a public key', () => {
    const info = root.publicKey.export({ format: 'der', type: 'spki' });
    expect(publicKeyBits(info)).toEqual(info.subarray(-65));
    expect(publicKeyBits(Buffer.from('3000', 'hex'))).toHaveLength(0);
  });

  it('writes PEM that OpenSSL reads, and reads all certificates of a file', () => {
    const text = pem('CERTIFICATE', root.der);
    expect(new X509Certificate(text).raw).toEqual(root.der);
    expect(certificatesInPem(`junk\n${text}between\n${text.replaceAll('\n', '\r\n')}`)).toEqual([root.der, root.der]);
    expect(certificatesInPem('nothing')).toEqual([]);
  });
});
