import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import type { Limits } from '../../../src/core/limits.ts';
import { Fetcher } from '../../../src/tls/fetch.ts';
import { RevocationChecker } from '../../../src/tls/revocation.ts';
import type { RevocationState } from '../../../src/tls/revocation.ts';
import { issueServer, makeIntermediate, makeRoot } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';
import { crlOf, distributionPoint, fileServer, ocspAnswerOf } from '../../support/revocation.ts';
import type { FileServer, Served } from '../../support/revocation.ts';

const root = makeRoot('Root');
const x509 = (cert: TestCert): X509Certificate => new X509Certificate(cert.der);
const hour = 3_600_000;
let server: FileServer;
let now = Date.now();
let made = 0;

beforeAll(async () => { server = await fileServer(); });
afterAll(() => server.close());

function checker(limits: Limits = limitsWith()): RevocationChecker {
  return new RevocationChecker(new Fetcher({ limits, allowLocal: true }), limits, () => now);
}

function serve(body: Served): string {
  made += 1;
  server.files.set(`/${String(made)}`, body);
  return `${server.base}/${String(made)}`;
}

/** A leaf of the root that points where `pointers` says, and the state that a new checker finds. */
const leafWith = (spec: CertSpec): TestCert => issueServer(root, { names: ['a.example'], ...spec });
const stateOf = async (leaf: TestCert, one = checker()): Promise<RevocationState> => await one.check([x509(leaf)], x509(root));
/** OCSP answers are about a leaf that must exist first: served through a function. */
const later = (answer: () => Buffer): Served => () => answer();

function ocspLeaf(state: 'good' | 'revoked' | 'unknown', more: CertSpec = {}): TestCert {
  const leaf: TestCert = leafWith({ ocspUrls: [serve(later(() => ocspAnswerOf(leaf, root, { state })))], ...more });
  return leaf;
}

describe('what is asked', () => {
  test.each(['good', 'revoked', 'unknown'] as const)('OCSP says %s', async (state) => {
    expect(await stateOf(ocspLeaf(state))).toBe(state);
    expect(server.bodies.at(-1)?.[0]).toBe(0x30);
  });

  test('OCSP that does not know leaves it to the CRL', async () => {
    const serial = Buffer.from('4a77', 'hex');
    expect(await stateOf(ocspLeaf('unknown', { serial, crlUrls: [serve(crlOf(root, { revoked: [serial] }))] }))).toBe('revoked');
  });

  test('OCSP goes before the CRL', async () => {
    const crl = serve(crlOf(root));
    expect(await stateOf(ocspLeaf('revoked', { crlUrls: [crl] }))).toBe('revoked');
    expect(server.requests).not.toContain(`GET ${new URL(crl).pathname}`);
  });

  test('a CRL: listed or not', async () => {
    const serial = Buffer.from('4a78', 'hex');
    const crlUrls = [serve(crlOf(root, { revoked: [serial] }))];
    expect([await stateOf(leafWith({ crlUrls, serial })), await stateOf(leafWith({ crlUrls }))]).toEqual(['revoked', 'good']);
  });

  test('the second distribution point counts when the first is dead or serves the list of another', async () => {
    const good = serve(crlOf(root));
    for (const first of [serve(404), serve(crlOf(makeRoot('Other'))), serve(crlOf(root, { extensions: [{ oid: '2.5.29.28', critical: true, value: distributionPoint({ only: 'authorities' }) }] }))]) {
      expect(await stateOf(leafWith({ crlUrls: [first, good] }))).toBe('good');
    }
  });

  test('a responder that is silent has a head start, no more', async () => {
    const serial = Buffer.from('4a80', 'hex');
    const leaf = leafWith({ serial, ocspUrls: [serve('silence'), serve('silence')], crlUrls: [serve(crlOf(root, { revoked: [serial] }))] });
    const startedAt = performance.now();
    expect(await stateOf(leaf, checker(limitsWith({ revocationHeadStartMs: 50, revocationFetchMs: 1_500 })))).toBe('revoked');
    expect(performance.now() - startedAt).toBeGreaterThan(90);
    expect(performance.now() - startedAt).toBeLessThan(700);
  });

  test('a responder that answers in its head start is the only one asked', async () => {
    const crl = serve(crlOf(root));
    await stateOf(ocspLeaf('good', { crlUrls: [crl] }), checker(limitsWith({ revocationHeadStartMs: 400 })));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(server.requests).not.toContain(`GET ${new URL(crl).pathname}`);
  });

  test('nobody to ask, and nobody who answers', async () => {
    expect(await stateOf(leafWith({}))).toBe('unknown');
    expect(await stateOf(leafWith({ ocspUrls: [serve(500)], crlUrls: [serve(404), 'http://127.0.0.1:1/x'] }))).toBe('unknown');
  });

  test('every certificate below the root counts', async () => {
    const serial = Buffer.from('4a79', 'hex');
    for (const [revoked, state] of [[[serial], 'revoked'], [[], 'good']] as const) {
      const intermediate = makeIntermediate(root, 'I', { serial, crlUrls: [serve(crlOf(root, { revoked }))] });
      const leaf = issueServer(intermediate, { crlUrls: [serve(crlOf(intermediate))] });
      expect(await checker().check([x509(leaf), x509(intermediate)], x509(root))).toBe(state);
    }
  });
});

describe('staples', () => {
  const leaf = leafWith({});
  test.each<[string, Buffer, string | null]>([
    ['good', ocspAnswerOf(leaf, root), 'good'], ['revoked', ocspAnswerOf(leaf, root, { state: 'revoked' }), 'revoked'],
    ['garbage', Buffer.from('garbage'), null], ['of a stranger', ocspAnswerOf(leaf, root, { signer: makeRoot('Root') }), null], ['too long', Buffer.alloc(100_000), null],
  ])('%s', async (_label, staple, state) => {
    const one = checker();
    expect(one.takeStaple(staple, x509(leaf), x509(root))?.state ?? null).toBe(state);
    expect(await stateOf(leaf, one)).toBe(state ?? 'unknown');
  });

  test('one that says good does not undo that the CA said revoked', async () => {
    const one = checker();
    const revoked = ocspLeaf('revoked');
    expect(await stateOf(revoked, one)).toBe('revoked');
    one.takeStaple(ocspAnswerOf(revoked, root), x509(revoked), x509(root));
    expect(await stateOf(revoked, one)).toBe('revoked');
  });
});

describe('what is remembered', () => {
  test('a state is asked for once until it ends, and settles the path', async () => {
    const leaf: TestCert = leafWith({ ocspUrls: [serve(later(() => ocspAnswerOf(leaf, root, { thisUpdate: new Date(now - hour), nextUpdate: new Date(now + 2 * hour) })))] });
    const one = checker();
    const before = server.requests.length;
    expect(one.settled(x509(leaf))).toBeNull();
    await Promise.all([1, 2, 3].map(() => stateOf(leaf, one)));
    expect([await stateOf(leaf, one), one.settled(x509(leaf)), server.requests.length - before]).toEqual(['good', 'good', 1]);
    now += 3 * hour;
    expect(one.settled(x509(leaf))).toBeNull();
    expect([await stateOf(leaf, one), server.requests.length - before]).toEqual(['good', 2]);
    now = Date.now();
  });

  test('no state is believed longer than revocationCacheMs', async () => {
    const leaf = ocspLeaf('good');
    const one = checker(limitsWith({ revocationCacheMs: 1_000 }));
    await stateOf(leaf, one);
    now += 1_001;
    expect(one.settled(x509(leaf))).toBeNull();
    now = Date.now();
  });

  test('an unknown one is asked for again after a pause', async () => {
    const leaf = ocspLeaf('unknown');
    const one = checker();
    const before = server.requests.length;
    await stateOf(leaf, one);
    await stateOf(leaf, one);
    expect(server.requests.length - before).toBe(1);
    now += limitsWith().revocationRetryMs + 1;
    await stateOf(leaf, one);
    expect(server.requests.length - before).toBe(2);
    now = Date.now();
  });

  test('one CRL serves many certificates, within the bytes held', async () => {
    const crlUrls = [serve(crlOf(root))];
    const roomy = checker();
    const before = server.requests.length;
    for (let count = 0; count < 3; count += 1) await stateOf(leafWith({ crlUrls }), roomy);
    await Promise.all([1, 2].map(() => stateOf(leafWith({ crlUrls }), checker(limitsWith({ serverCrlsBytesMax: 0 })))));
    expect(server.requests.length - before).toBe(3);
  });

  test('two certificates of one CRL at once fetch it once', async () => {
    const one = checker();
    const crlUrls = [serve(crlOf(root))];
    const before = server.requests.length;
    await Promise.all([1, 2, 3].map(() => stateOf(leafWith({ crlUrls }), one)));
    expect(server.requests.length - before).toBe(1);
  });

  test('no more states than the limit', async () => {
    const one = checker(limitsWith({ revocationStatesMax: 2 }));
    const leaves = [ocspLeaf('good'), ocspLeaf('good')];
    const [first = leafWith({})] = leaves;
    for (const leaf of leaves) await stateOf(leaf, one);
    expect(one.settled(x509(first))).toBeNull();
  });
});

test('a slow answer is not waited for, but it is heard: the next flow knows', async () => {
  const leaf: TestCert = leafWith({
    ocspUrls: [serve(() => new Promise((resolve) => setTimeout(() => resolve(ocspAnswerOf(leaf, root, { state: 'revoked' })), 300)))],
  });
  const one = checker(limitsWith({ revocationWaitMs: 50 }));
  const startedAt = performance.now();
  expect(await stateOf(leaf, one)).toBe('unknown');
  expect(performance.now() - startedAt).toBeLessThan(250);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await stateOf(leaf, one)).toBe('revoked');
});
