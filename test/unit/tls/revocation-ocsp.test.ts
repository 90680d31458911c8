import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { judgeOcspAnswer, ocspRequest } from '../../../src/tls/revocation-ocsp.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import type { TestCert } from '../../support/certs.ts';
import { ocspAnswerOf } from '../../support/revocation.ts';
import type { OcspSpec } from '../../support/revocation.ts';

const root = makeRoot('OCSP root');
const leaf = issueServer(root, { names: ['a.example'] });
const x509 = (cert: TestCert): X509Certificate => new X509Certificate(cert.der);
const now = Date.now();
const hour = 3_600_000;
const ocspSigning = '1.3.6.1.5.5.7.3.9';
const delegate = issueServer(root, { cn: 'Responder', extKeyUsage: [ocspSigning] });
const judged = (spec: OcspSpec = {}, about = leaf) => judgeOcspAnswer(ocspAnswerOf(about, root, spec), x509(leaf), x509(root), now)?.state ?? null;

describe('judgeOcspAnswer', () => {
  test.each<[string, OcspSpec, string | null]>([
    ['good', {}, 'good'],
    ['revoked', { state: 'revoked' }, 'revoked'],
    ['unknown proves nothing', { state: 'unknown' }, null],
    ['without nextUpdate, fresh', { nextUpdate: null }, 'good'],
    ['without nextUpdate, two days old', { nextUpdate: null, thisUpdate: new Date(now - 48 * hour) }, null],
    ['out of date', { nextUpdate: new Date(now - hour) }, null],
    ['from the future', { thisUpdate: new Date(now + hour) }, null],
    ['badly signed', { badSignature: true }, null],
    ['signed by a delegate', { signer: delegate }, 'good'],
    ['signed by a certificate of the issuer without the purpose', { signer: issueServer(root, { cn: 'Server' }) }, null],
    ['signed by an expired delegate', { signer: issueServer(root, { cn: 'Old', extKeyUsage: [ocspSigning], notBefore: new Date(now - 90 * 24 * hour), days: 1 }) }, null],
    ['signed by a stranger who calls himself a delegate', { signer: issueServer(makeRoot('OCSP root'), { cn: 'Stranger', extKeyUsage: [ocspSigning] }) }, null],
    ['signed by another root', { signer: makeRoot('OCSP root') }, null],
  ])('%s', (_label, spec, state) => {
    expect(judged(spec)).toBe(state);
  });

  test('about another certificate, or of another issuer', () => {
    expect(judged({}, issueServer(root, { names: ['a.example'] }))).toBeNull();
    const other = makeRoot('OCSP root');
    expect(judgeOcspAnswer(ocspAnswerOf(leaf, other), x509(leaf), x509(root), now)).toBeNull();
  });

  test('an error status proves nothing', () => {
    for (const hex of ['30030a0101', '30030a0103', '30030a0106', '30030a0100', '', '3000']) expect(judgeOcspAnswer(Buffer.from(hex, 'hex'), x509(leaf), x509(root), now)).toBeNull();
  });

  test('no cut and no changed octet of the signed part is taken, none throws', () => {
    const good = ocspAnswerOf(leaf, root);
    for (let length = 0; length < good.length; length += 1) expect(judgeOcspAnswer(good.subarray(0, length), x509(leaf), x509(root), now)).toBeNull();
    for (let at = 0; at < good.length; at += 1) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      expect(judgeOcspAnswer(bad, x509(leaf), x509(root), now)).toBeNull();
    }
  });
});

test('openssl reads the request, answers it, and its answers are believed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-ocsp-'));
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  try {
    const request = ocspRequest(x509(leaf), x509(root));
    if (request === null) throw new Error('a request');
    writeFileSync(file('request'), request);
    writeFileSync(file('root.pem'), root.certPem);
    writeFileSync(file('root.key'), root.keyPem);
    expect(openssl('ocsp', '-reqin', file('request'), '-req_text')).toContain(`Serial Number: ${leaf.serial.toString('hex').toUpperCase()}`);
    for (const [word, state] of [['V', 'good'], ['R', 'revoked']] as const) {
      writeFileSync(file('index.txt'), `${word}\t491231235959Z\t${word === 'R' ? '260101000000Z' : ''}\t${leaf.serial.toString('hex').toUpperCase()}\tunknown\t/CN=a.example\n`);
      openssl('ocsp', '-index', file('index.txt'), '-CA', file('root.pem'), '-rsigner', file('root.pem'), '-rkey', file('root.key'), '-reqin', file('request'), '-respout', file('answer'), '-ndays', '1');
      expect(judgeOcspAnswer(readFileSync(file('answer')), x509(leaf), x509(root), Date.now())?.state).toBe(state);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
