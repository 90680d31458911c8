import { describe, expect, it } from 'vitest';
import { judgeIssuer, keyIdOf } from '../../../src/certs/issuer-checks.ts';
import { readCertificate } from '../../../src/certs/parts.ts';
import { issueServer, makeIntermediate, makeRoot, oids } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';

const now = Date.now();
const root = makeRoot('Root');
const crlUrls = ['http://crl.test/r.crl'];
const judge = (...chain: TestCert[]) => judgeIssuer(chain.map((one) => one.der), now);
const rootWith = (spec: CertSpec): TestCert => makeRoot('R', spec);

describe('judgeIssuer', () => {
  it.each<[string, TestCert]>([['EC root', root], ['RSA root', rootWith({ key: 'rsa' })], ['P-384', rootWith({ key: 'ec384' })], ['serverAuth purpose', rootWith({ extKeyUsage: [oids.serverAuth] })], ['any purpose', rootWith({ extKeyUsage: [oids.anyExtendedKeyUsage] })], ['a root signed with SHA-1', rootWith({ key: 'rsa', hash: 'sha1' })]])('finds nothing wrong with: %s', (_label, cert) => {
    expect(judge(cert)).toMatchObject({ faults: [], outOfTime: null, warnings: [], signsCrls: true, isRoot: true });
  });

  it.each<[string, TestCert, RegExp]>([
    ['a server certificate', issueServer(root, { names: ['a.example'] }), /not a CA certificate/],
    ['no basicConstraints', rootWith({ ca: null }), /not a CA certificate/],
    ['no keyCertSign', rootWith({ keyUsage: ['cRLSign'] }), /keyCertSign/],
    ['no subject key identifier', rootWith({ noSubjectKeyId: true }), /no subject key identifier/],
    ['client purpose', rootWith({ extKeyUsage: [oids.clientAuth] }), /serverAuth/],
    ['RSA 1024', rootWith({ key: 'rsa1024' }), /shorter than 2048/],
    ['Ed25519', rootWith({ key: 'ed25519' }), /not RSA or EC/],
    ['intermediate signed with SHA-1', makeIntermediate(rootWith({ key: 'rsa' }), 'I', { hash: 'sha1', crlUrls }), /SHA-1/],
  ])('refuses %s', (_label, cert, fault) => {
    expect(judge(cert).faults.join()).toMatch(fault);
  });

  it('refuses chains that do not fit', () => {
    const middle = makeIntermediate(root, 'M', { crlUrls });
    expect(judge(middle, makeRoot('Other')).faults.join()).toMatch(/did not sign/);
    const issuing = makeIntermediate(middle, 'I', { crlUrls });
    expect(judge(issuing, middle, root).faults.join()).toMatch(/path length/);
    expect(judge(issuing, makeIntermediate(root, 'M')).faults.join()).toMatch(/did not sign/);
    expect(judgeIssuer([middle.der, Buffer.from('3000', 'hex')], now).faults.join()).toMatch(/cannot be read/);
  });

  it.each<[string, TestCert[], RegExp]>([
    ['no cRLSign', [rootWith({ keyUsage: ['keyCertSign'] })], /cRLSign/],
    ['no key usage', [rootWith({ keyUsage: null })], /no key usage/],
    ['an intermediate alone', [makeIntermediate(root, 'I', { crlUrls })], /does not hold the certificates above/],
    ['an intermediate without distribution point', [makeIntermediate(root, 'I'), root], /without an http CRL distribution point/],
    ['an intermediate with an ldap distribution point', [makeIntermediate(root, 'I', { crlUrls: ['ldap://crl.test/x'] }), root], /without an http CRL/],
    ['name constraints', [rootWith({ permittedNames: ['example.com'] })], /name constraints/],
    ['its end', [rootWith({ days: 5 })], /expires on/],
  ])('warns of %s', (_label, chain, warning) => {
    const judgement = judge(...chain);
    expect(judgement.faults).toEqual([]);
    expect(judgement.warnings.join()).toMatch(warning);
  });

  it('says when it is out of time, apart from the faults', () => {
    expect(judgeIssuer([root.der], now + 1e13)).toMatchObject({ faults: [], outOfTime: expect.stringMatching(/expired/) as unknown });
    expect(judgeIssuer([root.der], 0)).toMatchObject({ faults: [], outOfTime: expect.stringMatching(/only from/) as unknown });
  });

  it('does not fail on garbage', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('3000', 'hex'), root.der.subarray(0, 100)]) expect(judgeIssuer([bytes], now).faults).toEqual(['it is not a certificate']);
    expect(judgeIssuer([], now).faults).toHaveLength(1);
    const parts = readCertificate(root.der);
    expect(parts === null ? null : keyIdOf(parts)).toEqual(root.keyId);
  });
});
