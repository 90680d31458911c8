// Hostile input to src/certs: server certificates, OCSP requests, revocation paths, CRLs. Whatever comes, the answer is a value, a FlowError with
// a code, or a bounded HTTP answer; never another exception, never a hang. The seed of a failing run is in the message.

import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthority } from '../../src/certs/authority.ts';
import type { Issuer } from '../../src/certs/authority.ts';
import { readCrl, revokedCount } from '../../src/certs/crl.ts';
import { draftLeaf, leafPublicKey, signLeaf } from '../../src/certs/emulate.ts';
import { judgeIssuer } from '../../src/certs/issuer-checks.ts';
import { readOcspRequest } from '../../src/certs/ocsp.ts';
import { openCertificates } from '../../src/certs/open.ts';
import type { Certificates } from '../../src/certs/open.ts';
import { readCertificate } from '../../src/certs/parts.ts';
import { FlowError } from '../../src/core/errors.ts';
import type { LeafRequest } from '../../src/core/certificates.ts';
import { limitsWith } from '../../src/core/limits.ts';
import { silentLogger } from '../../src/core/log.ts';
import { noMeter } from '../../src/core/meters.ts';
import { judge } from '../../src/tls/verify.ts';
import { der, issueServer, makeRoot, nameDer } from '../support/certs.ts';
import { generator, mutate } from '../support/mutate.ts';

const rounds = 20_000;
const seed = Number(process.env['FUZZ_SEED'] ?? 20_251_123);

let issuer: Issuer;
let certificates: Certificates;
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-fuzz-'));
  const files = { cert: join(folder, 'ca.pem'), key: join(folder, 'ca.key') };
  issuer = await openAuthority({ name: 'default', certFile: files.cert, keyFile: files.key, passphrase: null, now: Date.now(), create: { key: 'ec', label: 'Fuzz', permitted: [] } });
  certificates = await openCertificates({
    stateDir: folder, primary: true, limits: limitsWith({ ocspSignaturesPerSecondMax: 100_000 }), meter: noMeter, log: silentLogger, clock: Date.now,
    issuer: { ...files, leafKey: 'auto', crl: { enabled: true, hosts: ['crl.test'], days: 30 }, ocsp: { enabled: true, staple: true } },
  });
});
afterAll(async () => {
  await certificates.close();
  await rm(folder, { recursive: true, force: true });
});

const key = leafPublicKey('ec', generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' }));
const request = (upstreamDer: Buffer, more: Partial<LeafRequest> = {}): LeafRequest => ({ upstreamDer, upstreamFingerprint: 'x', host: 'a.example', ip: null, key: 'ec', trust: 'trusted', issuer: null, ...more });

/** Makes the leaf or answers the refusal; anything else is a finding. */
async function emulate(asked: LeafRequest): Promise<Buffer | FlowError> {
  try {
    return await signLeaf(draftLeaf(asked, { issuer, addresses: { crl: ['http://crl.test/x'], ocsp: [], caIssuers: [] }, key, limits: limitsWith(), now: Date.now() }), issuer);
  } catch (error) {
    if (error instanceof FlowError && error.code === 'MINT_FAILED') return error;
    throw error;
  }
}

const root = makeRoot('Fuzzed root');
const corpus = [
  issueServer(root, { names: ['a.example', '*.b.example'], ips: ['192.0.2.1', '2001:db8::1'], emails: ['x@y'], organisation: 'Örg', mustStaple: true, crlUrls: ['http://c/'], ocspUrls: ['http://o/'] }).der,
  issueServer(root, { cn: 'only.example', names: [], version: 0 }).der,
  issueServer(root, { names: Array.from({ length: 1500 }, (_, at) => `host-${at}.example`), key: 'rsa' }).der,
  issueServer(makeRoot('R', { permittedNames: ['example'] }), { cn: null, names: ['a.example'] }).der,
];

describe(`fuzz, FUZZ_SEED=${seed}`, () => {
  it('server certificates: a leaf that OpenSSL reads and that is ours alone, or MINT_FAILED', async () => {
    const random = generator(seed);
    let made = 0;
    for (let round = 0; round < rounds; round += 1) {
      const bytes = mutate(corpus[random(corpus.length)] ?? Buffer.alloc(0), random);
      const leaf = await emulate(request(bytes, { trust: random(2) === 0 ? 'trusted' : 'untrusted', host: random(2) === 0 ? 'a.example' : null }));
      if (leaf instanceof FlowError) continue;
      made += 1;
      const parts = readCertificate(leaf);
      expect(parts?.issuer.equals(issuer.subject), `seed ${seed} round ${round}`).toBe(true);
      expect(leaf.length).toBeLessThan(limitsWith().mirroredSanBytesMax + 8192);
      const x509 = new X509Certificate(leaf);
      expect(x509.ca).toBe(false);
      if (round % 20 === 0) expect(x509.verify(issuer.certificate.publicKey)).toBe(true);
    }
    // Both ways out were taken: else the mutations would prove nothing.
    expect(made).toBeGreaterThan(rounds / 100);
    expect(made).toBeLessThan(rounds);
  });

  it('readers of certificates, CRLs and OCSP requests answer a value or null', () => {
    const random = generator(seed + 1);
    const crl = certificates.revocation.answer('GET', '/ssl/crl/issuer_CA.crl', null).body;
    for (let round = 0; round < rounds; round += 1) {
      const bytes = random(3) === 0 ? Buffer.from(Array.from({ length: random(60) }, () => random(256))) : mutate([crl, ...corpus][random(corpus.length + 1)] ?? crl, random);
      readCertificate(bytes);
      readOcspRequest(bytes);
      readCrl(bytes);
      revokedCount(bytes);
      if (round % 10 === 0) expect(judgeIssuer([bytes, root.der], Date.now())).toBeDefined();
    }
  });

  it('OCSP by POST and GET: always a well-formed answer', () => {
    const random = generator(seed + 2);
    const certId = der.sequence(der.sequence(der.oid('1.3.14.3.2.26'), der.tlv(5)), der.octets(Buffer.alloc(20)), der.octets(Buffer.alloc(20)), der.integer(Buffer.from('4a01', 'hex')));
    const good = der.sequence(der.sequence(der.sequence(der.sequence(certId)), der.tlv(0xa2, der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1.2'), der.octets(der.octets(Buffer.alloc(32))))))));
    for (let round = 0; round < rounds / 4; round += 1) {
      const bytes = mutate(good, random);
      const answer = random(2) === 0 ? certificates.revocation.answer('POST', '/ocsp', bytes) : certificates.revocation.answer('GET', `/ocsp/${encodeURIComponent(bytes.toString('base64'))}`, null);
      expect(answer.status).toBe(200);
      expect(answer.body[0]).toBe(0x30);
      expect(answer.body.length).toBeLessThan(4096);
    }
  });

  it('paths: 200, 404 or 405, whatever is asked', () => {
    const random = generator(seed + 3);
    const alphabet = ['/', 'ssl', 'crl', 'ocsp', 'ca', '.crl', '.pem', '.crt', '..', '%', '%2f', '%00', '\0', '?', '#', ' ', 'é', issuer.keyIdHex, '=', '+', 'A'];
    for (let round = 0; round < rounds; round += 1) {
      const path = `/${Array.from({ length: random(8) }, () => alphabet[random(alphabet.length)] ?? '').join('')}`;
      const { status, headers, body } = certificates.revocation.answer(['GET', 'HEAD', 'POST', 'PUT', ''][random(5)] ?? '', path, random(2) === 0 ? null : Buffer.alloc(random(100)));
      expect([200, 404, 405]).toContain(status);
      expect(Number(headers['content-length'])).toBeGreaterThanOrEqual(body.length);
    }
  });

  it('judging mutated certificates that OpenSSL still reads never throws', () => {
    const random = generator(seed + 4);
    let judged = 0;
    for (let round = 0; round < rounds / 4; round += 1) {
      let leaf;
      try {
        leaf = new X509Certificate(mutate(corpus[random(corpus.length)] ?? Buffer.alloc(0), random));
      } catch {
        continue;
      }
      judged += 1;
      for (const word of [null, 'CERT_HAS_EXPIRED', 'UNSPECIFIED', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']) expect(judge({ leaf }, word, { host: 'a.example', ip: null }, Date.now())).toBeInstanceOf(Array);
    }
    expect(judged).toBeGreaterThan(100);
  });
});

describe('hostile certificates by hand', () => {
  const nested = (depth: number): Buffer => {
    let value: Buffer = Buffer.from('0500', 'hex');
    for (let level = 0; level < depth; level += 1) value = der.sequence(value);
    return value;
  };
  it.each<[string, () => Buffer]>([
    ['DER nested 5000 deep in a subject', () => issueServer(root, { names: ['a.example'], subjectDer: nested(5000) }).der],
    ['DER nested deep in the names', () => issueServer(root, { sanDer: nested(2000) }).der],
    ['60 000 names', () => issueServer(root, { names: Array.from({ length: 60_000 }, () => 'x') }).der],
    ['a hundred attributes', () => issueServer(root, { names: ['a.example'], subjectDer: der.sequence(...Array.from({ length: 100 }, () => nameDer('x').subarray(2))) }).der],
    ['a hundred extensions', () => issueServer(root, { names: ['a.example'], extensions: Array.from({ length: 100 }, (_, at) => ({ oid: `1.2.3.${at}`, value: Buffer.alloc(0) })) }).der],
    ['one extension twice', () => issueServer(root, { names: ['a.example'], extensions: [{ oid: '2.5.29.17', value: Buffer.from('3000', 'hex') }] }).der],
    ['indefinite length', () => Buffer.concat([Buffer.from('3080', 'hex'), issueServer(root, { names: ['a.example'] }).der.subarray(4), Buffer.from('0000', 'hex')])],
    ['a length of four gigabytes', () => Buffer.concat([Buffer.from('3084ffffffff', 'hex'), Buffer.alloc(1000)])],
    ['a megabyte', () => Buffer.concat([Buffer.from('3083100000', 'hex'), Buffer.alloc(1024 * 1024)])],
    ['a date that is none', () => Buffer.from(issueServer(root, { names: ['a.example'] }).der.toString('latin1').replace(/\d{12}Z/, '99999999999Z'), 'latin1')],
  ])('%s: MINT_FAILED, quickly', async (_label, make) => {
    const bytes = make();
    const begun = performance.now();
    expect(await emulate(request(bytes))).toMatchObject({ code: 'MINT_FAILED' });
    expect(performance.now() - begun).toBeLessThan(500);
  });

  it('a key of 8192 bits costs nothing: only names are taken', async () => {
    const privateKey = createPrivateKey(await readFile(join(import.meta.dirname, '../data/keys/rsa8192.pem')));
    const { der: bytes } = issueServer(root, { names: ['a.example'], keyPair: { privateKey, publicKey: createPublicKey(privateKey) } });
    const begun = performance.now();
    expect(await emulate(request(bytes))).toBeInstanceOf(Buffer);
    expect(judge({ leaf: new X509Certificate(bytes) }, null, { host: 'a.example', ip: null }, Date.now())).toEqual([]);
    expect(performance.now() - begun).toBeLessThan(500);
  });

  it('of ten thousand names the leaf carries the one that was asked for, and only if it is among them', async () => {
    const { der: bytes } = issueServer(root, { names: ['a.example', ...Array.from({ length: 9_999 }, (_, at) => at.toString(36))] });
    const leaf = await emulate(request(bytes));
    expect(leaf instanceof FlowError ? leaf : new X509Certificate(leaf).subjectAltName).toBe('DNS:a.example');
    expect(await emulate(request(bytes, { host: 'b.example' }))).toMatchObject({ code: 'MINT_FAILED' });
  });

  it('more than upstreamCertBytesMax is not looked into', async () => {
    const { der: bytes } = issueServer(root, { names: ['a.example', ...Array.from({ length: 10_000 }, (_, at) => `n${at}.example`)] });
    expect(bytes.length).toBeGreaterThan(limitsWith().upstreamCertBytesMax);
    expect(await emulate(request(bytes))).toMatchObject({ code: 'MINT_FAILED' });
    expect(judge({ leaf: new X509Certificate(bytes) }, null, { host: 'a.example', ip: null }, Date.now())).toEqual(['invalid']);
  });
});
