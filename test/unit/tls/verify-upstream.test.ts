import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RevocationMode, UpstreamTrust } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { UpstreamJudge } from '../../../src/tls/verify-upstream.ts';
import { issueServer, makeIntermediate, makeRoot } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';
import { portOf } from '../../support/pair.ts';
import { crlOf, fileServer, ocspAnswerOf } from '../../support/revocation.ts';
import type { FileServer } from '../../support/revocation.ts';

const root = makeRoot('Root');
const ownIssuer = makeIntermediate(root, 'Gateway');
const x509 = (cert: TestCert): X509Certificate => new X509Certificate(cert.der);
const name = { host: 'a.example', ip: null };
const names = ['a.example'];
let files: FileServer;

beforeAll(async () => { files = await fileServer(); });
afterAll(() => files.close());

function judge(mode: RevocationMode = 'off', more: Partial<UpstreamTrust> = {}): UpstreamJudge {
  const trust: UpstreamTrust = { minVersion: 'TLSv1.2', roots: [x509(root)], own: [x509(ownIssuer)], revocation: mode, allowLocal: true, ...more };
  return new UpstreamJudge(trust, limitsWith({ revocationWaitMs: 500 }), Date.now);
}

/** Problems of a certificate as a real handshake shows it. */
async function problems(by: UpstreamJudge, cert: TestCert, options: { chain?: string; staple?: Buffer; mode?: RevocationMode } = {}): Promise<readonly string[]> {
  const server = createServer({ cert: options.chain ?? cert.chainPem, key: cert.keyPem });
  server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, answer: (error: null, staple: Buffer | null) => void) => answer(null, options.staple ?? null));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect({ port: portOf(server), host: '127.0.0.1', ca: [root.certPem], servername: 'a.example', requestOCSP: true, rejectUnauthorized: false, checkServerIdentity: () => undefined });
  let staple: Buffer | null = null;
  socket.once('OCSPResponse', (response: Buffer | null) => { staple = response; });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerX509Certificate();
  const word: unknown = socket.authorizationError;
  socket.destroy();
  server.close();
  if (certificate === undefined) throw new Error('no certificate');
  return await by.problems({ certificate, chainError: typeof word === 'string' ? word : null, staple }, name, options.mode);
}

function place(body: Buffer): string {
  const path = `/${String(files.files.size)}`;
  files.files.set(path, body);
  return `${files.base}${path}`;
}

describe('missing intermediates', () => {
  const incomplete = (spec: CertSpec = {}, issuerSpec: CertSpec = {}, above: TestCert = root): { leaf: TestCert; chain: string } => {
    const issuer = makeIntermediate(above, 'I', issuerSpec);
    const leaf = issueServer(issuer, { names, caIssuersUrls: [place(issuer.der)], ...spec });
    return { leaf, chain: leaf.certPem };
  };
  const day = 86_400_000;
  const past = { notBefore: new Date(Date.now() - 90 * day), days: 30 };

  test.each<[string, CertSpec, CertSpec, readonly string[]]>([
    ['found', {}, {}, []],
    ['found, leaf expired', past, {}, ['expired']],
    ['found, but expired', {}, past, ['expired']],
    ['found, leaf of another name', { names: ['b.example'] }, {}, ['name']],
    ['found, leaf for clients', { extKeyUsage: ['1.3.6.1.5.5.7.3.2'] }, {}, ['invalid']],
    ['found, but for clients', {}, { extKeyUsage: ['1.3.6.1.5.5.7.3.2'] }, ['invalid']],
    ['found, but weak', {}, { key: 'rsa1024' }, ['weak']],
    ['found, but with constraints that nobody here can check', {}, { permittedNames: ['a.example'] }, ['invalid']],
    ['found, but it may not sign certificates', {}, { keyUsage: ['cRLSign'] }, ['incomplete']],
    ['not found', { caIssuersUrls: ['http://127.0.0.1:1/'] }, {}, ['incomplete']],
  ])('%s', async (_label, spec, issuerSpec, expected) => {
    const { leaf, chain } = incomplete(spec, issuerSpec);
    expect(await problems(judge(), leaf, { chain })).toEqual(expected);
  });

  test('found, and its root is not in force', async () => {
    const stranger = makeRoot('Stranger');
    const { leaf, chain } = incomplete({}, { caIssuersUrls: [place(stranger.der)] }, stranger);
    expect(await problems(judge(), leaf, { chain })).toEqual(['untrusted']);
  });

  test('one of two was sent', async () => {
    const outer = makeIntermediate(root, 'Outer', { pathLength: 1 });
    const inner = makeIntermediate(outer, 'Inner', { caIssuersUrls: [place(outer.der)] });
    const leaf = issueServer(inner, { names });
    expect(await problems(judge(), leaf, { chain: leaf.certPem + inner.certPem })).toEqual([]);
  });

  test('path lengths hold for what was fetched', async () => {
    const outer = makeIntermediate(root, 'Outer', { pathLength: 0 });
    const inner = makeIntermediate(outer, 'Inner', { caIssuersUrls: [place(outer.der)] });
    const leaf = issueServer(inner, { names });
    expect(await problems(judge(), leaf, { chain: leaf.certPem + inner.certPem })).toEqual(['invalid']);
  });

  test('what was fetched is asked about too', async () => {
    const serial = Buffer.from('4a55', 'hex');
    const { leaf, chain } = incomplete({ crlUrls: [] }, { serial, crlUrls: [place(crlOf(root, { revoked: [serial] }))] });
    expect(await problems(judge('soft'), leaf, { chain })).toEqual(['revoked']);
  });
});

describe('what was found faultless', () => {
  test('is judged by its dates, its name and its chain again', async () => {
    let now = Date.now();
    const day = 86_400_000;
    const trust: UpstreamTrust = { minVersion: 'TLSv1.2', roots: [x509(root)], own: [], revocation: 'off', allowLocal: true };
    const by = new UpstreamJudge(trust, limitsWith({ judgedMax: 1 }), () => now);
    const certificate = x509(issueServer(root, { names, days: 10 }));
    const shown = { certificate, chainError: null, staple: null };
    expect([await by.problems(shown, name), await by.problems(shown, name)]).toEqual([[], []]);
    expect(await by.problems(shown, { host: 'b.example', ip: null })).toEqual(['name']);
    expect(await by.problems(shown, { host: null, ip: '192.0.2.1' })).toEqual(['name']);
    expect(await by.problems({ ...shown, chainError: 'CERT_HAS_EXPIRED' }, name)).toEqual(['expired']);
    now += 11 * day;
    expect(await by.problems(shown, name)).toEqual(['expired']);
    now -= 60 * day;
    expect(await by.problems(shown, name)).toEqual(['not-yet-valid']);
  });
});

describe('our own issuers', () => {
  test('what they signed is untrusted, though a root in force signed them', async () => {
    expect(await problems(judge(), issueServer(ownIssuer, { names }))).toEqual(['untrusted']);
    expect(await problems(judge('off', { own: [] }), issueServer(ownIssuer, { names }))).toEqual([]);
  });

  test('not even under a second certificate for the same key', async () => {
    const again = makeIntermediate(root, 'Gateway', { keyPair: ownIssuer, pathLength: null });
    expect(await problems(judge(), issueServer(again, { names }))).toEqual(['untrusted']);
    expect(await problems(judge(), issueServer(makeIntermediate(again, 'Below'), { names }))).toEqual(['untrusted']);
  });

  test('a namesake with another key is somebody else', async () => {
    expect(await problems(judge(), issueServer(makeIntermediate(root, 'Gateway'), { names }))).toEqual([]);
  });
});

describe('revocation', () => {
  const revokedSerial = Buffer.from('4a66', 'hex');
  const crl = (): string => place(crlOf(root, { revoked: [revokedSerial] }));
  const leaf = (spec: CertSpec = {}): TestCert => issueServer(root, { names, ...spec });

  test.each<[RevocationMode, readonly string[], readonly string[], readonly string[]]>([
    ['off', [], [], []], ['soft', ['revoked'], [], []], ['hard', ['revoked'], ['revocation-unknown'], []],
  ])('%s: revoked, unknown, good', async (mode, revoked, unknown, good) => {
    expect(await problems(judge(mode), leaf({ crlUrls: [crl()], serial: revokedSerial }))).toEqual(revoked);
    expect(await problems(judge(mode), leaf())).toEqual(unknown);
    expect(await problems(judge(mode), leaf({ crlUrls: [crl()] }))).toEqual(good);
  });

  test('a rule\'s mode goes before the config\'s', async () => {
    expect(await problems(judge('soft'), leaf(), { mode: 'hard' })).toEqual(['revocation-unknown']);
    expect(await problems(judge('hard'), leaf({ crlUrls: [crl()], serial: revokedSerial }), { mode: 'off' })).toEqual([]);
  });

  test('beside other problems', async () => {
    expect(await problems(judge('hard'), leaf({ names: ['b.example'], crlUrls: [crl()], serial: revokedSerial }))).toEqual(['name', 'revoked']);
    expect(await problems(judge('hard'), leaf({ names: ['b.example'] }))).toEqual(['name', 'revocation-unknown']);
  });

  test('a stranger\'s certificate makes the gateway fetch nothing', async () => {
    const stranger = makeRoot('Stranger');
    const before = files.requests.length;
    expect(await problems(judge('hard'), issueServer(stranger, { names, crlUrls: [`${files.base}/bait`], ocspUrls: [`${files.base}/bait`] }))).toEqual(['untrusted']);
    expect(await problems(judge('hard'), issueServer(null, { names, crlUrls: [`${files.base}/bait`] }))).toEqual(['self-signed']);
    expect(files.requests.length).toBe(before);
  });

  test('a certificate that is itself a root has nobody to ask', async () => {
    const own = issueServer(null, { names, ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] });
    const trust = judge('hard', { roots: [x509(own)] });
    expect(await trust.problems({ certificate: x509(own), chainError: null, staple: null }, name)).toEqual([]);
  });

  test('staples count, also where nothing else can be asked', async () => {
    const cert = leaf();
    expect(await problems(judge('hard'), cert, { staple: ocspAnswerOf(cert, root) })).toEqual([]);
    expect(await problems(judge('soft'), cert, { staple: ocspAnswerOf(cert, root, { state: 'revoked' }) })).toEqual(['revoked']);
    expect(await problems(judge('hard'), cert, { staple: Buffer.from('garbage') })).toEqual(['revocation-unknown']);
  });

  test.each<RevocationMode>(['off', 'soft', 'hard'])('must-staple holds whatever the mode (%s)', async (mode) => {
    const cert = leaf({ mustStaple: true });
    expect(await problems(judge(mode), cert)).toEqual(['invalid']);
    expect(await problems(judge(mode), cert, { staple: ocspAnswerOf(cert, root) })).toEqual([]);
    expect(await problems(judge(mode), cert, { staple: ocspAnswerOf(cert, root, { state: 'revoked' }) })).toEqual(['revoked']);
  });

  test('what is settled is not proven again: a path of 2 costs no request', async () => {
    const by = judge('hard');
    const cert = leaf({ crlUrls: [crl()] });
    await problems(by, cert);
    const before = files.requests.length;
    expect(await problems(by, cert)).toEqual([]);
    expect(files.requests.length).toBe(before);
  });
});

describe('lastMs', () => {
  const day = 86_400_000;
  const leaf = x509(issueServer(root, { names, days: 300 }));
  const short = makeRoot('Root', { days: 40, notBefore: new Date(Date.now() - day) });

  test('the root\'s end counts when it comes before the leaf\'s', () => {
    const briefRoot = makeRoot('Brief', { days: 20 });
    const under = x509(issueServer(briefRoot, { names, days: 300 }));
    expect(judge('off', { roots: [x509(briefRoot), x509(root)] }).lastMs(under)).toBe(x509(briefRoot).validToDate.getTime());
  });

  test('of several roots of one name only the one that signed counts', () => {
    const [own, other] = [x509(root).validToDate.getTime(), x509(short).validToDate.getTime()];
    expect(other).toBeLessThan(own);
    for (const roots of [[x509(short), x509(root)], [x509(root), x509(short)]]) {
      expect(judge('off', { roots }).lastMs(leaf)).toBe(Math.min(own, leaf.validToDate.getTime()));
    }
  });
});
