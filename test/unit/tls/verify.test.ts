import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { indexAnchors, judge, nameMatches, problemCodes, weakOf } from '../../../src/tls/verify.ts';
import type { JudgeOptions } from '../../../src/tls/verify.ts';
import { errorTable } from '../../../src/core/errors.ts';
import { certificateProblems } from '../../../src/core/certificates.ts';
import { der, ipBytes, issueServer, makeIntermediate, makeRoot, oids } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';

const root = makeRoot('Trusted root');
const rsaRoot = makeRoot('Trusted RSA root', { key: 'rsa' });
const stranger = makeRoot('Unknown root');
const intermediate = makeIntermediate(root, 'Intermediate');
const roots = [root, rsaRoot];
const anchors = indexAnchors(roots.map((one) => new X509Certificate(one.der)));
const day = 86_400_000;
const past = { notBefore: new Date(Date.now() - 90 * day), days: 30 };
const future = { notBefore: new Date(Date.now() + 10 * day), days: 30 };
const names = ['a.example'];
const asked = { host: 'a.example', ip: null };

/** Shows a certificate in a real handshake and judges what Node says of it. */
async function judged(cert: TestCert, options: JudgeOptions & { chain?: string; name?: { host: string | null; ip: string | null }; ca?: string[] } = {}): Promise<string[]> {
  const server = tls.createServer({ cert: options.chain ?? cert.chainPem, key: cert.keyPem, ciphers: 'DEFAULT:@SECLEVEL=0' });
  server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({
    port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'a.example', ca: options.ca ?? roots.map((one) => one.certPem),
    rejectUnauthorized: false, checkServerIdentity: () => undefined,
  });
  try {
    await once(client, 'secureConnect');
    const leaf = client.getPeerX509Certificate();
    if (leaf === undefined) throw new Error('no certificate');
    const word: unknown = client.authorizationError;
    return judge({ leaf }, typeof word === 'string' ? word : null, options.name ?? asked, Date.now(), { anchors, ...options });
  } finally {
    client.on('error', () => undefined).destroy();
    server.close();
  }
}

const server = (spec: CertSpec = {}, parent: TestCert | null = intermediate): TestCert => issueServer(parent, { names, ...spec });

describe('judge: the matrix of upstream certificates (FACTS-certs part 7)', () => {
  it.each<[string, TestCert, readonly string[]]>([
    ['good, through an intermediate', server(), []],
    ['good, from the root, RSA', server({ key: 'rsa' }, rsaRoot), []],
    ['P-384, SHA-384', server({ key: 'ec384', hash: 'sha384' }), []],
    ['SHA-512 by RSA', server({ hash: 'sha512' }, rsaRoot), []],
    ['Ed25519', server({ key: 'ed25519' }), []],
    ['1000 names', server({ names: [...names, ...Array.from({ length: 1000 }, (_, at) => `n${at}.example`)] }), []],
    ['no subject', server({ cn: null }), []],
    ['expired leaf', server(past), ['expired']],
    ['expired intermediate', server({}, makeIntermediate(root, 'Old', past)), ['expired']],
    ['not yet valid', server(future), ['not-yet-valid']],
    ['wrong host', server({ names: ['b.example'] }), ['name']],
    ['self-signed', server({}, null), ['self-signed']],
    ['unknown root', server({}, makeIntermediate(stranger, 'I')), ['untrusted']],
    ['unknown root, alone', server({}, stranger), ['untrusted']],
    ['bad signature', server({ badSignature: true }), ['invalid']],
    ['SHA-1', server({ hash: 'sha1' }, rsaRoot), ['weak']],
    ['MD5', server({ hash: 'md5' }, rsaRoot), ['weak']],
    ['RSA 1024', server({ key: 'rsa1024' }), ['weak']],
    ['intermediate with RSA 1024', server({}, makeIntermediate(root, 'W', { key: 'rsa1024' })), ['weak']],
    ['no SAN', server({ names: [], cn: 'a.example' }), ['name']],
    ['NUL in a name', server({ names: ['a.example\0.evil.example'] }), ['name']],
    ['comma injection', server({ names: ['b.example, DNS:a.example'] }), ['name']],
    ['trailing dot in a name', server({ names: ['a.example.'] }), ['name']],
    ['intermediate that is no CA', server({}, makeIntermediate(root, 'N', { ca: false })), ['invalid']],
    ['intermediate without basicConstraints', server({}, makeIntermediate(root, 'N', { ca: null })), ['invalid']],
    ['intermediate without keyCertSign', server({}, makeIntermediate(root, 'N', { keyUsage: ['cRLSign'] })), ['invalid']],
    ['name constraint broken', server({}, makeIntermediate(root, 'N', { permittedNames: ['b.example'] })), ['invalid']],
    ['path length exceeded', server({}, makeIntermediate(intermediate, 'Deeper')), ['invalid']],
    ['client purpose only', server({ extKeyUsage: [oids.clientAuth] }), ['invalid']],
    ['any purpose only', server({ extKeyUsage: [oids.anyExtendedKeyUsage] }), ['invalid']],
    ['unknown critical extension', server({ extensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from('0500', 'hex') }] }), ['invalid']],
    ['version 1', server({ version: 0 }), ['name', 'invalid']],
    ['a CA as leaf', server({ ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] }), ['invalid']],
    ['wildcard of one label', server({ names: ['*.example'] }), ['name']],
    ['partial wildcard', server({ names: ['a*.example'] }), ['name']],
  ])('%s', async (_label, cert, problems) => {
    expect(await judged(cert)).toEqual(problems);
  });

  it('incomplete: a leaf alone that says where its issuer is', async () => {
    const leaf = server({ caIssuersUrls: ['http://aia.example/i.der'] });
    expect(await judged(leaf, { chain: leaf.certPem })).toEqual(['incomplete']);
  });

  it('accepts extra and reversed certificates in the chain', async () => {
    const leaf = server();
    expect(await judged(leaf, { chain: leaf.certPem + root.certPem + stranger.certPem + intermediate.certPem })).toEqual([]);
  });

  it('accepts a self-signed certificate that is itself a root', async () => {
    const own = server({ ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] }, null);
    expect(await judged(own, { ca: [own.certPem], anchors: indexAnchors([new X509Certificate(own.der)]) })).toEqual([]);
  });

  it('wants the staple a certificate demands, when stapling was looked at', async () => {
    const demanding = server({ mustStaple: true });
    expect(await judged(demanding, { stapled: false })).toEqual(['invalid']);
    expect(await judged(demanding, { stapled: true })).toEqual([]);
  });
});

describe('judge: what one error hides', () => {
  it.each<[string, TestCert, readonly string[]]>([
    ['expired and unknown root', server(past, makeIntermediate(stranger, 'I')), ['expired', 'untrusted']],
    ['expired and self-signed', server(past, null), ['expired', 'self-signed']],
    ['expired and badly signed', server({ ...past, badSignature: true }), ['expired', 'invalid']],
    ['expired and wrong host', server({ ...past, names: ['b.example'] }), ['expired', 'name']],
    ['expired and wrong purpose', server({ ...past, extKeyUsage: [oids.clientAuth] }), ['expired', 'invalid']],
    ['expired and unknown critical extension', server({ ...past, extensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from('0500', 'hex') }] }), ['expired', 'invalid']],
    ['expired under a constrained CA', server(past, makeIntermediate(root, 'N', { permittedNames: ['b.example'] })), ['expired', 'invalid']],
    ['expired below a CA that is none', server(past, makeIntermediate(root, 'N', { ca: false })), ['expired', 'invalid']],
    ['expired and too deep', server(past, makeIntermediate(intermediate, 'Deeper')), ['expired', 'invalid']],
    ['weak and unknown root', server({ key: 'rsa1024' }, makeIntermediate(stranger, 'I')), ['untrusted', 'weak']],
    ['weak and self-signed', server({ key: 'rsa1024' }, null), ['self-signed', 'weak']],
    ['only expired, RSA root', server(past, rsaRoot), ['expired']],
  ])('%s', async (_label, cert, problems) => {
    expect(await judged(cert)).toEqual(problems);
  });

  it('counts an expired chain as untrusted when there are no roots to walk to', () => {
    const leaf = new X509Certificate(server(past).der);
    expect(judge({ leaf }, 'CERT_HAS_EXPIRED', asked, Date.now())).toEqual(['expired', 'untrusted']);
  });
});

describe('judge: bounds and unknown words', () => {
  it('a certificate above the limit is invalid without being looked into', () => {
    const leaf = new X509Certificate(server().der);
    expect(judge({ leaf }, null, asked, Date.now(), { upstreamCertBytesMax: 200 })).toEqual(['invalid']);
  });

  it.each([['CERT_REVOKED', 'revoked'], ['UNABLE_TO_GET_CRL', 'revocation-unknown'], ['INVALID_CA', 'invalid'], ['SOMETHING_NEW', 'invalid'], ['UNSPECIFIED', 'invalid']])('%s is %s', (word, problem) => {
    expect(judge({ leaf: new X509Certificate(server({}, root).der) }, word, asked, Date.now(), { anchors })).toEqual([problem]);
  });

  it('gives every problem a code of the table', () => {
    for (const problem of certificateProblems) expect(Object.keys(errorTable)).toContain(problemCodes[problem]);
  });
});

describe('nameMatches', () => {
  const x509 = (spec: CertSpec): X509Certificate => new X509Certificate(server(spec, root).der);

  it('compares hosts: case, trailing dot, wildcard of the left label', () => {
    const cert = x509({ names: ['a.example', '*.b.example'] });
    for (const host of ['a.example', 'A.EXAMPLE', 'a.example.', 'x.b.example']) expect(nameMatches(cert, { host, ip: null })).toBe(true);
    for (const host of ['b.example', 'x.y.b.example', '', '.', 'a\0.example']) expect(nameMatches(cert, { host, ip: null })).toBe(false);
  });

  it('compares addresses with iPAddress entries only', () => {
    const cert = x509({ names: ['192.0.2.1'], ips: ['192.0.2.2', '2001:db8::1'] });
    expect(nameMatches(cert, { host: null, ip: '192.0.2.2' })).toBe(true);
    expect(nameMatches(cert, { host: null, ip: '2001:db8:0::1' })).toBe(true);
    expect(nameMatches(cert, { host: null, ip: '192.0.2.1' })).toBe(false);
  });

  it('never falls back to the common name, whatever else the SAN holds', () => {
    expect(nameMatches(x509({ cn: 'a.example', names: [], emails: ['x@y.example'] }), asked)).toBe(false);
    expect(nameMatches(x509({ cn: 'a.example', names: [], sanDer: der.sequence(der.tlv(0x87, ipBytes('192.0.2.1'))) }), asked)).toBe(false);
  });

  it('has nothing to compare when nothing was asked for', () => {
    expect(nameMatches(x509({ names: ['b.example'] }), { host: null, ip: null })).toBe(true);
  });
});

describe('weakOf', () => {
  it.each<[string, CertSpec, TestCert, string]>([
    ['RSA 2048', { key: 'rsa' }, root, 'strong'], ['RSA 3072', { key: 'rsa3072' }, root, 'strong'], ['P-521', { key: 'ec521' }, root, 'strong'],
    ['RSA 512', { key: 'rsa512' }, root, 'weak'], ['SHA-1', { hash: 'sha1' }, rsaRoot, 'weak'], ['ECDSA SHA-1', { hash: 'sha1' }, root, 'weak'],
  ])('%s is judged', (_label, spec, parent, word) => {
    expect(weakOf(new X509Certificate(server(spec, parent).der))).toBe(word);
  });
});
