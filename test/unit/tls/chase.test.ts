import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { certificatesIn, IssuerChaser } from '../../../src/tls/chase.ts';
import { Fetcher } from '../../../src/tls/fetch.ts';
import { indexAnchors } from '../../../src/tls/verify.ts';
import { issueServer, makeIntermediate, makeRoot } from '../../support/certs.ts';
import type { TestCert } from '../../support/certs.ts';
import { fileServer } from '../../support/revocation.ts';
import type { FileServer } from '../../support/revocation.ts';

const root = makeRoot('Root');
const x509 = (cert: TestCert): X509Certificate => new X509Certificate(cert.der);
const anchors = indexAnchors([x509(root)]);
let server: FileServer;
let now = Date.now();
let made = 0;

beforeAll(async () => { server = await fileServer(); });
afterAll(() => server.close());

/** An address of its own for each test. */
function place(): { path: string; url: string } {
  made += 1;
  return { path: `/${String(made)}.cer`, url: `${server.base}/${String(made)}.cer` };
}

function chaser(limits = limitsWith(), allowLocal = true): IssuerChaser {
  return new IssuerChaser(new Fetcher({ limits, allowLocal }), limits, () => now);
}

/** A PKCS#7 bundle of some certificates, by openssl. */
function bundle(pems: string, form: 'DER' | 'PEM'): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-chase-'));
  try {
    writeFileSync(join(folder, 'certs.pem'), pems);
    const { status, stdout, stderr } = spawnSync('openssl', ['crl2pkcs7', '-nocrl', '-certfile', join(folder, 'certs.pem'), '-outform', form]);
    if (status !== 0) throw new Error(String(stderr));
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('complete', () => {
  test.each<[string, (issuer: TestCert) => Buffer]>([
    ['DER', (issuer) => issuer.der],
    ['PEM', (issuer) => Buffer.from(issuer.certPem)],
    ['a PKCS#7 bundle that openssl made', (issuer) => bundle(root.certPem + issuer.certPem, 'DER')],
    ['the same in PEM', (issuer) => bundle(issuer.certPem, 'PEM')],
  ])('one missing intermediate, served as %s', async (_label, body) => {
    const issuer = makeIntermediate(root, 'I');
    const { path, url } = place();
    server.files.set(path, body(issuer));
    const leaf = issueServer(issuer, { caIssuersUrls: [url] });
    const chase = await chaser().complete([x509(leaf)], anchors);
    expect(chase).toMatchObject({ end: 'proven' });
    expect(chase.end === 'proven' ? chase.chain.map(({ fingerprint256 }) => fingerprint256) : []).toEqual([leaf, issuer].map((cert) => x509(cert).fingerprint256));
  });

  test('two missing, the second found through the first; the second address of one works too', async () => {
    const [upper, lower] = [place(), place()];
    const outer = makeIntermediate(root, 'Outer', { pathLength: 1 });
    const inner = makeIntermediate(outer, 'Inner', { caIssuersUrls: [upper.url] });
    server.files.set(upper.path, outer.der);
    server.files.set(lower.path, inner.der);
    const leaf = issueServer(inner, { caIssuersUrls: [`${server.base}/nowhere`, lower.url] });
    const chase = await chaser().complete([x509(leaf)], anchors);
    expect(chase.end === 'proven' ? chase.chain.length : chase.end).toBe(3);
  });

  test('goes on from what was sent, and passes over what does not belong', async () => {
    const { path, url } = place();
    const outer = makeIntermediate(root, 'Outer', { pathLength: 1 });
    const inner = makeIntermediate(outer, 'Inner', { caIssuersUrls: [url] });
    server.files.set(path, outer.der);
    const chase = await chaser().complete([x509(issueServer(inner)), x509(inner), x509(makeRoot('Stranger'))], anchors);
    expect(chase.end === 'proven' ? chase.chain.length : chase.end).toBe(3);
  });

  test('a root that is not in force: untrusted', async () => {
    const { path, url } = place();
    const stranger = makeRoot('Stranger');
    server.files.set(path, stranger.der);
    expect(await chaser().complete([x509(issueServer(stranger, { caIssuersUrls: [url] }))], anchors)).toEqual({ end: 'untrusted' });
  });

  test.each<[string, (issuer: TestCert) => Buffer | number]>([
    ['another certificate with the same name', () => makeIntermediate(root, 'I').der],
    ['one that is no CA', (issuer) => issueServer(root, { cn: 'I', keyPair: issuer, ca: false }).der],
    ['noise', () => Buffer.from('not a certificate')],
    ['nothing', () => Buffer.alloc(0)],
    ['404', () => 404],
  ])('%s at the address: lost', async (_label, body) => {
    const issuer = makeIntermediate(root, 'I');
    const { path, url } = place();
    server.files.set(path, body(issuer));
    expect(await chaser().complete([x509(issueServer(issuer, { caIssuersUrls: [url] }))], anchors)).toEqual({ end: 'lost' });
  });

  test('two CAs that point at each other end', async () => {
    const [one, two] = [place(), place()];
    const a = makeIntermediate(makeRoot('A'), 'B', { caIssuersUrls: [one.url] });
    const b = makeIntermediate({ ...a, certPem: a.certPem }, 'A', { caIssuersUrls: [two.url] });
    const c = makeIntermediate(b, 'B', { caIssuersUrls: [one.url], keyPair: a });
    server.files.set(one.path, b.der);
    server.files.set(two.path, c.der);
    expect(await chaser().complete([x509(issueServer(c, { caIssuersUrls: [two.url] }))], anchors)).toEqual({ end: 'lost' });
  });

  test('no address, and addresses of this machine', async () => {
    const issuer = makeIntermediate(root, 'I');
    const { path, url } = place();
    server.files.set(path, issuer.der);
    expect(await chaser().complete([x509(issueServer(issuer))], anchors)).toEqual({ end: 'lost' });
    const before = server.requests.length;
    expect(await chaser(limitsWith(), false).complete([x509(issueServer(issuer, { caIssuersUrls: [url] }))], anchors)).toEqual({ end: 'lost' });
    expect(server.requests.length).toBe(before);
  });
});

describe('what is remembered', () => {
  test('an address is asked once at a time and once in its time', async () => {
    const issuer = makeIntermediate(root, 'I');
    const { path, url } = place();
    server.files.set(path, issuer.der);
    const one = chaser();
    const leaf = x509(issueServer(issuer, { caIssuersUrls: [url] }));
    const before = server.requests.length;
    await Promise.all([1, 2, 3].map(() => one.complete([leaf], anchors)));
    await one.complete([leaf], anchors);
    expect(server.requests.length - before).toBe(1);
    now += limitsWith().issuerCacheMs + 1;
    expect(await one.complete([leaf], anchors)).toMatchObject({ end: 'proven' });
    expect(server.requests.length - before).toBe(2);
  });

  test('a failure is remembered for a shorter time', async () => {
    const issuer = makeIntermediate(root, 'I');
    const { path, url } = place();
    const one = chaser();
    const leaf = x509(issueServer(issuer, { caIssuersUrls: [url] }));
    expect(await one.complete([leaf], anchors)).toEqual({ end: 'lost' });
    server.files.set(path, issuer.der);
    expect(await one.complete([leaf], anchors)).toEqual({ end: 'lost' });
    now += limitsWith().revocationRetryMs + 1;
    expect(await one.complete([leaf], anchors)).toMatchObject({ end: 'proven' });
  });

  test('no more addresses than the limit', async () => {
    const one = chaser(limitsWith({ issuersFetchedMax: 1 }));
    const leaves = [1, 2].map(() => {
      const issuer = makeIntermediate(root, 'I');
      const { path, url } = place();
      server.files.set(path, issuer.der);
      return x509(issueServer(issuer, { caIssuersUrls: [url] }));
    });
    const before = server.requests.length;
    for (const leaf of [...leaves, ...leaves]) expect(await one.complete([leaf], anchors)).toMatchObject({ end: 'proven' });
    expect(server.requests.length - before).toBe(4);
  });
});

test('certificatesIn takes at most 16', () => {
  expect(certificatesIn(Buffer.from(root.certPem.repeat(40))).length).toBe(16);
});
