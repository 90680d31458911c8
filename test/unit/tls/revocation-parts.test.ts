import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readElement, wrap } from '../../../src/core/der.ts';
import { fieldsOf, isSignedBy, namesOf } from '../../../src/tls/revocation-parts.ts';
import { der, issueServer, makeRoot } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';

const root = makeRoot('Root');
const x509 = (cert: TestCert): X509Certificate => new X509Certificate(cert.der);
const fields = (spec: CertSpec) => fieldsOf(new X509Certificate(issueServer(root, { names: ['a.example'], ...spec }).der));

describe('fieldsOf', () => {
  test('names, serial and pointers', () => {
    const serial = Buffer.from('4a01020304', 'hex');
    expect(fields({
      serial, ocspUrls: ['http://o.example/'], crlUrls: ['http://c.example/1.crl', 'http://c.example/2.crl'], caIssuersUrls: ['http://i.example/i.cer'],
    })).toMatchObject({
      serial, issuer: root.subjectDer, ocspUrls: ['http://o.example/'], crlUrls: ['http://c.example/1.crl', 'http://c.example/2.crl'], issuerUrls: ['http://i.example/i.cer'],
    });
  });

  test('only http is followed', () => {
    expect(fields({ ocspUrls: ['https://o.example/'], crlUrls: ['ldap:///CN=x', 'http://c.example/'], caIssuersUrls: ['file:///etc/passwd'] }))
      .toMatchObject({ ocspUrls: [], crlUrls: ['http://c.example/'], issuerUrls: [] });
  });

  test('a version 1 certificate has no pointers', () => {
    expect(fields({ version: 0 })).toMatchObject({ ocspUrls: [], crlUrls: [], issuerUrls: [], maySignCrls: true });
  });

  test('who may sign CRLs', () => {
    const may = (spec: CertSpec): boolean | undefined => fieldsOf(new X509Certificate(makeRoot('R', spec).der))?.maySignCrls;
    expect([may({}), may({ keyUsage: null }), may({ keyUsage: ['keyCertSign'] })]).toEqual([true, true, false]);
  });

  test('the key\'s bits are those that key identifiers are made from', () => {
    const spki = root.publicKey.export({ type: 'spki', format: 'der' });
    expect(fieldsOf(new X509Certificate(root.der))?.keyBits).toEqual(spki.subarray(spki.length - 65));
  });

  test('broken pointers are none', () => {
    for (const value of ['', '30', '3003020101', '300a30080606', `30${'00'.repeat(4)}`]) {
      const extensions = ['1.3.6.1.5.5.7.1.1', '2.5.29.31'].map((oid) => ({ oid, value: Buffer.from(value, 'hex') }));
      expect(fields({ extensions })).toMatchObject({ ocspUrls: [], crlUrls: [], issuerUrls: [] });
    }
  });
});

test('a distribution point relative to its issuer has no address', () => {
  const relative = readElement(der.tlv(0xa0, der.tlv(0xa1, der.oid('2.5.4.3'))));
  expect(relative === null ? null : namesOf(relative)).toEqual([]);
});

describe('isSignedBy', () => {
  const element = (bytes: Buffer) => {
    const read = readElement(bytes);
    if (read === null) throw new Error('not DER');
    return read;
  };

  test('knows the signature of a certificate, and none with SHA-1 or of an unknown kind', () => {
    const [body, algorithm, signature] = ['a', 'b', 'c'].map((_, index) => {
      let rest = element(root.der).content;
      for (let skip = 0; skip < index; skip += 1) rest = rest.subarray(element(rest).whole.length);
      return element(rest);
    });
    if (body === undefined || algorithm === undefined || signature === undefined) throw new Error('a certificate');
    expect(isSignedBy(body.whole, algorithm, signature, x509(root))).toBe(true);
    expect(isSignedBy(body.content, algorithm, signature, x509(root))).toBe(false);
    expect(isSignedBy(body.whole, algorithm, signature, x509(makeRoot('Other')))).toBe(false);
    expect(isSignedBy(body.whole, algorithm, signature, x509(makeRoot('RSA', { key: 'rsa' })))).toBe(false);
    for (const oid of ['1.2.840.10045.4.1', '1.2.840.113549.1.1.5', '1.2.3']) expect(isSignedBy(body.whole, element(der.sequence(der.oid(oid))), signature, x509(root))).toBe(false);
    expect(isSignedBy(body.whole, element(wrap(0x30)), signature, x509(root))).toBe(false);
    expect(isSignedBy(body.whole, algorithm, element(wrap(0x04, signature.content)), x509(root))).toBe(false);
  });
});
