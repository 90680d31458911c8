// Hostile answers of CRL servers, OCSP responders and those that serve issuers: whatever comes, it proves what its CA signed or nothing; it never
// throws, and no mutation makes a revoked certificate good. The seed of a failing run is in the message.

import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { certificatesIn } from '../../src/tls/chase.ts';
import { listsSerial, proveCrl } from '../../src/tls/revocation-crl.ts';
import { judgeOcspAnswer, ocspRequest } from '../../src/tls/revocation-ocsp.ts';
import { fieldsOf } from '../../src/tls/revocation-parts.ts';
import { isIssuedBy } from '../../src/tls/verify.ts';
import { issueServer, makeIntermediate, makeRoot, toPem } from '../support/certs.ts';
import { generator, mutate } from '../support/mutate.ts';
import { crlOf, distributionPoint, ocspAnswerOf } from '../support/revocation.ts';

const rounds = 20_000;
const seed = Number(process.env['FUZZ_SEED'] ?? 20_251_123);
const ca = makeRoot('Fuzzed CA');
const issuer = new X509Certificate(ca.der);
const revoked = issueServer(ca, { names: ['revoked.example'], crlUrls: ['http://crl.test/'], ocspUrls: ['http://ocsp.test/'], caIssuersUrls: ['http://ca.test/'] });
const good = issueServer(ca, { names: ['good.example'] });
const now = Date.now();

describe(`fuzz, FUZZ_SEED=${seed}`, () => {
  it('CRLs: a proven one is unchanged in what counts', () => {
    const random = generator(seed);
    const corpus = [
      crlOf(ca, { revoked: [revoked.serial, Buffer.from('4a01', 'hex')] }),
      crlOf(ca, { revoked: [revoked.serial], extensions: [{ oid: '2.5.29.28', critical: true, value: distributionPoint({ urls: ['http://crl.test/'] }) }] }),
    ];
    let proven = 0;
    for (let round = 0; round < rounds; round += 1) {
      const crl = proveCrl(round % 50 === 0 ? (corpus[round % 2] ?? Buffer.alloc(0)) : mutate(corpus[random(corpus.length)] ?? Buffer.alloc(0), random), issuer, now);
      if (crl === null) continue;
      proven += 1;
      expect([listsSerial(crl, revoked.serial), listsSerial(crl, good.serial)], `seed ${seed} round ${round}`).toEqual([true, false]);
    }
    expect(proven).toBeGreaterThanOrEqual(rounds / 50);
    expect(proven).toBeLessThan(rounds / 2);
  });

  it('OCSP answers: what they prove is what was signed', () => {
    const random = generator(seed + 1);
    const certificate = new X509Certificate(revoked.der);
    const delegate = issueServer(ca, { cn: 'Responder', noSan: true, extKeyUsage: ['1.3.6.1.5.5.7.3.9'] });
    const corpus = [ocspAnswerOf(revoked, ca, { state: 'revoked' }), ocspAnswerOf(revoked, ca, { state: 'revoked', signer: delegate }), ocspAnswerOf(good, ca, { state: 'good' })];
    let proven = 0;
    for (let round = 0; round < rounds; round += 1) {
      const answer = judgeOcspAnswer(round % 50 === 0 ? (corpus[0] ?? Buffer.alloc(0)) : mutate(corpus[random(corpus.length)] ?? Buffer.alloc(0), random), certificate, issuer, now);
      if (answer === null) continue;
      proven += 1;
      expect(answer.state, `seed ${seed} round ${round}`).toBe('revoked');
    }
    expect(proven).toBeGreaterThanOrEqual(rounds / 50);
    expect(proven).toBeLessThan(rounds / 2);
  });

  it('served issuers: whatever is in the body, only what signed counts', () => {
    const random = generator(seed + 2);
    const middle = makeIntermediate(ca, 'Middle');
    const leaf = new X509Certificate(issueServer(middle, { names: ['a.example'] }).der);
    const corpus = [middle.der, Buffer.from(middle.certPem), Buffer.from(toPem('PKCS7', middle.der)), Buffer.from(ca.certPem + middle.certPem)];
    for (let round = 0; round < rounds / 4; round += 1) {
      for (const found of certificatesIn(mutate(corpus[random(corpus.length)] ?? Buffer.alloc(0), random))) {
        if (isIssuedBy(leaf, found)) expect(found.publicKey.equals(new X509Certificate(middle.der).publicKey), `seed ${seed} round ${round}`).toBe(true);
      }
    }
  });

  it('certificates that OpenSSL still reads: fields or none, and a request or none', () => {
    const random = generator(seed + 3);
    let read = 0;
    for (let round = 0; round < rounds / 4; round += 1) {
      let certificate;
      try {
        certificate = new X509Certificate(mutate(revoked.der, random));
      } catch {
        continue;
      }
      read += 1;
      for (const url of [...(fieldsOf(certificate)?.crlUrls ?? []), ...(fieldsOf(certificate)?.ocspUrls ?? [])]) expect(url).toMatch(/^http:/i);
      ocspRequest(certificate, issuer);
    }
    expect(read).toBeGreaterThan(100);
  });
});
