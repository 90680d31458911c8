// The matrix of upstream certificates (FACTS-certs.md, part 7) as servers of the lab: for each case a certificate, an address of its own and what
// the gateway must find. Names say what the gateway's rules are to do: `deny-CASE`, `mirror-CASE`, `accept-CASE`, `tunnel-CASE`.

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CertificateProblem } from '../../../src/core/certificates.ts';
import { issueServer, makeIntermediate, makeRoot, oids, type CertSpec, type TestCert } from '../../support/certs.ts';
import { crlOf, ocspAnswerOf } from '../../support/revocation.ts';
import type { CertServer } from '../peers/cert-server.ts';
import type { Program } from '../../support/program.ts';
import type { Host } from './host.ts';

export const actions = ['deny', 'mirror', 'accept', 'tunnel'] as const;
export type CaseAction = (typeof actions)[number];

export interface UpstreamCase {
  readonly name: string;
  /** What is wrong, in the order of `certificateProblems`; empty for cases that must work. */
  readonly problems: readonly CertificateProblem[];
  readonly cert: TestCert;
  /** What the server sends; default the certificate's own chain. */
  readonly chain?: string;
  readonly staple?: Buffer;
  /** What its certificate points at, below `files`. */
  readonly published?: { readonly name: string; readonly content: Buffer };
  readonly server?: Partial<CertServer>;
}

const day = 86_400_000;
const past = { notBefore: new Date(Date.now() - 90 * day), days: 30 };
const future = { notBefore: new Date(Date.now() + 10 * day), days: 30 };
const revokedSerial = Buffer.from('4a0badcafe', 'hex');
/** Where issuers and CRLs are served, port 80. */
const filesAddress = '10.77.2.99';
const files = `http://${filesAddress}`;
const firstNumber = 100;
const nowhere = 'http://10.77.2.98/nobody';
const nul = String.fromCharCode(0);

/** The name under which a case is asked for with an action. */
export const caseName = (action: string, name: string): string => `${action}-${name}.certs.test`;

/** All rows, in the order of the matrix. `root` is trusted by the gateway, RSA. */
export function makeCases(root: TestCert): UpstreamCase[] {
  const intermediate = makeIntermediate(root, 'Lab intermediate', { key: 'rsa', crlUrls: [`${files}/root.crl`] });
  const stranger = makeRoot('Lab stranger');
  const named = (name: string): string[] => actions.map((action) => caseName(action, name));
  const under = (parent: TestCert | null, name: string, spec: CertSpec = {}): TestCert => issueServer(parent, { cn: caseName('deny', name), names: named(name), key: 'rsa', ...spec });
  const row = (name: string, problems: readonly CertificateProblem[], spec: CertSpec = {}, parent: TestCert | null = intermediate): UpstreamCase => ({ name, problems, cert: under(parent, name, spec) });
  const child = (spec: CertSpec, parent: TestCert = root): TestCert => makeIntermediate(parent, 'Lab odd intermediate', { key: 'rsa', ...spec });
  const alone = (name: string, problems: readonly CertificateProblem[], spec: CertSpec, parent: TestCert): UpstreamCase => {
    const cert = under(parent, name, spec);
    return { name, problems, cert, chain: cert.certPem };
  };
  const stapled = (name: string, problems: readonly CertificateProblem[], state: 'good' | 'revoked', spec: CertSpec = {}): UpstreamCase => {
    const cert = under(root, name, spec);
    return { name, problems, cert, staple: ocspAnswerOf(cert, root, { state }) };
  };
  const extra = under(intermediate, 'extra-certs');
  const unknownRoot = under(stranger, 'untrusted-with-root');
  const revoked = under(root, 'revoked-ocsp', { ocspUrls: [`${files}/revoked.ocsp`] });
  // Each name as short as can be: OpenSSL reads 100 KiB of certificates and no more.
  const many = Array.from({ length: 10_000 - actions.length }, (_, at) => at.toString(36));
  return [
    row('good', []),
    row('expired', ['expired'], past), row('expired-intermediate', ['expired'], {}, child(past)), row('not-yet-valid', ['not-yet-valid'], future),
    row('wrong-host', ['name'], { names: ['elsewhere.example'] }), row('self-signed', ['self-signed'], {}, null), row('untrusted', ['untrusted'], {}, stranger),
    { name: 'untrusted-with-root', problems: ['untrusted'], cert: unknownRoot, chain: unknownRoot.certPem + stranger.certPem },
    row('superfish', ['untrusted'], {}, makeRoot('Superfish, Inc.')), row('edellroot', ['untrusted'], {}, makeRoot('eDellRoot')),
    row('expired-wrong-host', ['expired', 'name'], { ...past, names: ['elsewhere.example'] }),
    alone('incomplete-found', [], { caIssuersUrls: [`${files}/intermediate.cer`] }, intermediate),
    alone('incomplete-lost', ['incomplete'], { caIssuersUrls: [nowhere] }, intermediate),
    { name: 'extra-certs', problems: [], cert: extra, chain: extra.certPem + stranger.certPem + root.certPem + intermediate.certPem },
    row('bad-signature', ['invalid'], { badSignature: true }),
    row('revoked-crl', ['revoked'], { crlUrls: [`${files}/root.crl`], serial: revokedSerial }, root), stapled('revoked-staple', ['revoked'], 'revoked'),
    { name: 'revoked-ocsp', problems: ['revoked'], cert: revoked, published: { name: 'revoked.ocsp', content: ocspAnswerOf(revoked, root, { state: 'revoked' }) } },
    row('revocation-hard', ['revocation-unknown'], { crlUrls: [nowhere], ocspUrls: [nowhere] }, root), row('revocation-dead', [], { crlUrls: [nowhere], ocspUrls: [nowhere] }, root),
    row('sha1', ['weak'], { hash: 'sha1' }), row('md5', ['weak'], { hash: 'md5' }), row('rsa1024', ['weak'], { key: 'rsa1024' }),
    // Too short for the signatures of TLS 1.3.
    { ...row('rsa512', ['weak'], { key: 'rsa512' }), server: { maxVersion: 'TLSv1.2' } },
    row('weak-intermediate', ['weak'], {}, child({ key: 'rsa1024' })),
    row('no-san', ['name'], { noSan: true }), row('nul-in-name', ['name'], { names: [`${caseName('deny', 'nul-in-name')}${nul}.evil.example`] }),
    row('comma-injection', ['name'], { names: [`evil.example, DNS:${caseName('deny', 'comma-injection')}`] }),
    row('not-a-ca', ['invalid'], {}, child({ ca: false })), row('no-constraints', ['invalid'], {}, child({ ca: null })),
    row('no-cert-sign', ['invalid'], {}, child({ keyUsage: ['cRLSign'] })), row('name-constraint', ['invalid'], {}, child({ permittedNames: ['other.example'] })),
    row('path-length', ['invalid'], {}, child({}, intermediate)),
    row('client-purpose', ['invalid'], { extKeyUsage: [oids.clientAuth] }), row('any-purpose', ['invalid'], { extKeyUsage: [oids.anyExtendedKeyUsage] }),
    row('unknown-critical', ['invalid'], { extensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from('0500', 'hex') }] }),
    row('must-staple', ['invalid'], { mustStaple: true }), stapled('must-staple-stapled', [], 'good', { mustStaple: true }),
    row('wide-wildcard', ['name'], { names: ['*.test'] }), row('deep-wildcard', ['name'], { names: ['*.*.test'] }),
    row('partial-wildcard', ['name'], { names: actions.map((action) => `${action}-*.certs.test`) }),
    row('names-1000', [], { names: [...named('names-1000'), ...Array.from({ length: 1_000 }, (_, at) => `n${String(at)}.certs.test`)] }),
    row('names-10000', [], { names: [...named('names-10000'), ...many] }), row('rsa8192', [], { keyPair: longKey() }),
    row('ec384-sha512', [], { key: 'ec384', hash: 'sha512' }), row('rsa3072', [], { key: 'rsa3072', hash: 'sha512' }), row('no-subject', [], { cn: null }),
    { ...row('static-rsa', []), server: { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:@SECLEVEL=0' } },
  ];
}

/** Making one takes a minute. */
function longKey(): NonNullable<CertSpec['keyPair']> {
  const privateKey = createPrivateKey(readFileSync(join(import.meta.dirname, '../../data/keys/rsa8192.pem')));
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

interface HandshakeCase {
  readonly name: string;
  readonly server?: Partial<CertServer>;
  readonly names?: number;
  /** Served by GnuTLS with this priority: OpenSSL of today cannot be made to offer it. */
  readonly gnutls?: string;
}

const tls12 = 'NORMAL:-VERS-ALL:+VERS-TLS1.2';

/**
 * Rows whose handshake cannot be agreed on: nothing is known of their certificates. Export suites are not among them, since nobody can be made
 * to offer them. Ten thousand ordinary names are longer than the 100 KiB that OpenSSL reads as a chain.
 */
export const handshakeCases: readonly HandshakeCase[] = [
  { name: 'tls10', server: { maxVersion: 'TLSv1' } }, { name: 'tls11', server: { maxVersion: 'TLSv1.1' } },
  { name: 'null-cipher', server: { maxVersion: 'TLSv1.2', ciphers: 'NULL-SHA256:@SECLEVEL=0' } },
  { name: 'anonymous', server: { maxVersion: 'TLSv1.2', ciphers: 'AECDH-AES128-SHA:@SECLEVEL=0' } },
  { name: 'dh1024', server: { maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0', dhBits: 1024 } },
  { name: 'names-10000-long', names: 10_000 },
  { name: 'rc4', gnutls: `${tls12}:-CIPHER-ALL:+ARCFOUR-128` }, { name: 'triple-des', gnutls: `${tls12}:-CIPHER-ALL:+3DES-CBC` },
  { name: 'secp192', gnutls: `${tls12}:-KX-ALL:+ECDHE-RSA:-GROUP-ALL:+GROUP-SECP192R1` }, { name: 'sha1-handshake', gnutls: `${tls12}:-KX-ALL:+ECDHE-RSA:-SIGN-ALL:+SIGN-RSA-SHA1` },
];

/** Where a case is served; `place` is its index. */
export const caseAddress = (place: number): string => `10.77.2.${String(firstNumber + place)}`;

/** The index of a case, of certificates or of handshakes. */
export const placeOf = (cases: readonly UpstreamCase[], name: string): number => [...cases, ...handshakeCases].findIndex((one) => one.name === name);

/** Starts them all in one process, on 443 and (as SIP servers) on 5061, with the files that certificates point at beside them. */
export async function startCases(host: Host, root: TestCert, cases: readonly UpstreamCase[]): Promise<Program> {
  const home = join(host.folder, 'cases');
  mkdirSync(join(home, 'files'), { recursive: true });
  const write = (name: string, content: string | Buffer): string => {
    const file = join(home, name);
    writeFileSync(file, content);
    return file;
  };
  const good = cases.find(({ name }) => name === 'good')?.cert ?? root;
  write('files/intermediate.cer', good.parent?.der ?? Buffer.alloc(0));
  write('files/root.crl', crlOf(root, { revoked: [revokedSerial] }));
  for (const { published } of cases) if (published !== undefined) write(`files/${published.name}`, published.content);
  const handshakes = handshakeCases.filter(({ gnutls }) => gnutls === undefined).map(({ name, server = {}, names = 0 }): UpstreamCase => ({
    name, problems: [], server, cert: issueServer(root, { names: [...actions.map((action) => caseName(action, name)), ...Array.from({ length: names }, (_, at) => `n${String(at)}.certs.test`)], key: 'rsa' }),
  }));
  const servers = [...cases, ...handshakes].flatMap(({ name, cert, chain, staple, server }): CertServer[] => [443, 5061].map((port) => ({
    name, host: caseAddress(placeOf(cases, name)), port, certFile: write(`${name}.pem`, chain ?? cert.chainPem), keyFile: write(`${name}.key`, cert.keyPem), ...server,
    ...(staple === undefined ? {} : { stapleFile: write(`${name}.ocsp`, staple) }),
  })));
  const plain: CertServer = { name: 'files', host: filesAddress, port: 80, folder: join(home, 'files') };
  const addresses = [filesAddress, ...new Set(servers.map((server) => server.host))];
  await host.mustRun(['ip', '-batch', '-'], { input: addresses.map((ip) => `address add ${ip}/24 dev wan\n`).join('') });
  await startGnutls(host, cases, good);
  return await host.spawn('cases', [process.execPath, join(import.meta.dirname, '../peers/cert-server.ts'), write('servers.json', JSON.stringify([...servers, plain]))], { says: /^ready$/m, readyMs: 30_000 });
}

/** gnutls-serv listens on all addresses alone: each has a port of its own, and its case's address leads there. */
async function startGnutls(host: Host, cases: readonly UpstreamCase[], cert: TestCert): Promise<void> {
  const [certFile, keyFile] = ['gnutls.pem', 'gnutls.key'].map((name) => join(host.folder, 'cases', name));
  if (certFile === undefined || keyFile === undefined) throw new Error('two files');
  writeFileSync(certFile, cert.chainPem);
  writeFileSync(keyFile, cert.keyPem);
  const rules: string[] = [];
  for (const [index, { name, gnutls }] of handshakeCases.entries()) {
    if (gnutls === undefined) continue;
    const ip = caseAddress(placeOf(cases, name));
    const port = String(5600 + index);
    await host.mustRun(['ip', 'address', 'add', `${ip}/24`, 'dev', 'wan']);
    await host.spawn(`gnutls-${name}`, ['gnutls-serv', '--http', '--quiet', '--priority', gnutls, '--x509certfile', certFile, '--x509keyfile', keyFile, '-p', port], { listens: [`0.0.0.0:${port}`] });
    rules.push(`  ip daddr ${ip} tcp dport 443 redirect to :${port}`);
  }
  await host.mustRun(['nft', '-f', '-'], { input: `table ip gnutls {\n chain pre {\n  type nat hook prerouting priority dstnat;\n${rules.join('\n')}\n }\n}\n` });
}
