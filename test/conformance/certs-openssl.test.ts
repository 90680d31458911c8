// What the gateway signs, before the tools that know the rules best: OpenSSL and GnuTLS on files, `openssl ocsp` over GET and POST.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LeafKeyType } from '../../src/core/certificates.ts';
import { makeIssuer } from '../unit/certs/helpers.ts';
import { openSite, run } from './certs-bench.ts';
import type { IssuerKind, Site } from './certs-bench.ts';

describe.each<[IssuerKind, LeafKeyType]>([['rsa root', 'ec'], ['rsa root', 'rsa'], ['ec root', 'ec'], ['ec intermediate', 'rsa']])('issuer: %s, leaf: %s', (kind, leafKey) => {
  let site: Site;
  let crlFile = '';
  beforeAll(async () => {
    site = await openSite(kind, leafKey);
    crlFile = join(site.folder, 'issuer.crl.pem');
    await refetchCrl();
    if (kind.endsWith('intermediate')) {
      await run('openssl', ['crl', '-inform', 'DER', '-in', join(site.folder, 'root.crl'), '-out', join(site.folder, 'root.crl.pem')]);
      await run('sh', ['-c', `cat "${join(site.folder, 'root.crl.pem')}" >> "${crlFile}"`]);
    }
  });
  afterAll(() => site.close());

  async function refetchCrl(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${site.revocationPort}/ssl/crl/issuer_CA.crl`);
    const file = join(site.folder, 'issuer.crl');
    await writeFile(file, Buffer.from(await response.arrayBuffer()));
    await run('openssl', ['crl', '-inform', 'DER', '-in', file, '-out', crlFile]);
    return file;
  }
  const ocsp = (...args: string[]) => run('openssl', ['ocsp', '-issuer', join(site.folder, 'issuing.pem'), '-CAfile', site.rootFile, '-verify_other', site.chainFile, ...args]);
  beforeAll(async () => {
    const pems = site.leaf.certPem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/g) ?? [];
    await writeFile(join(site.folder, 'issuing.pem'), pems[1] ?? '');
  });

  it('openssl verify -x509_strict -crl_check_all, by purpose, host and address', async () => {
    for (const name of [['-verify_hostname', 'a.example'], ['-verify_hostname', 'x.b.example'], ['-verify_ip', '127.0.0.1']]) {
      const { code, text } = await run('openssl', ['verify', '-x509_strict', '-crl_check_all', '-purpose', 'sslserver', ...name, '-CAfile', site.rootFile, '-untrusted', site.chainFile, '-CRLfile', crlFile, site.leafFile]);
      expect(text).toMatch(/: OK/);
      expect(code).toBe(0);
    }
    const wrong = await run('openssl', ['verify', '-verify_hostname', 'c.example', '-CAfile', site.rootFile, '-untrusted', site.chainFile, site.leafFile]);
    expect(wrong.text).toMatch(/hostname mismatch/);
  });

  it('openssl crl finds signature, number and times right', async () => {
    const { code, text } = await run('openssl', ['crl', '-inform', 'DER', '-in', join(site.folder, 'issuer.crl'), '-CAfile', join(site.folder, 'issuing.pem'), '-noout', '-text']);
    expect(code).toBe(0);
    expect(text).toMatch(/verify OK/);
    expect(text).toMatch(/Version 2/);
    expect(text).toMatch(/X509v3 Authority Key Identifier/);
    expect(text).toMatch(new RegExp(`X509v3 CRL Number: \\n\\s+${site.certificates.issuerInfo().crl?.number ?? ''}`));
    expect(text).not.toMatch(/Issuing Distribution Point/);
  });

  it('certtool verifies the chain with the CRL', async () => {
    const file = join(site.folder, 'sent.pem');
    await writeFile(file, site.leaf.certPem);
    const { code, text } = await run('certtool', ['--verify', '--infile', file, '--load-ca-certificate', site.rootFile, '--load-crl', crlFile, '--verify-hostname', 'a.example']);
    expect(text).toMatch(/Chain verification output: Verified/);
    expect(code).toBe(0);
  });

  it.each([['sha1'], ['sha256']])('openssl ocsp over POST with a nonce, %s ids', async (hash) => {
    const { code, text } = await ocsp(`-${hash}`, '-cert', site.leafFile, '-url', `http://127.0.0.1:${site.revocationPort}/ocsp`, '-resp_text');
    expect(text).toMatch(/Response verify OK/);
    expect(text).toMatch(/leaf\.pem: good/);
    expect(text).toMatch(/OCSP Nonce/);
    expect(text).not.toMatch(/WARNING: no nonce/);
    expect(code).toBe(0);
  });

  it('openssl ocsp accepts what GET gives', async () => {
    const [request, response] = [join(site.folder, 'request.der'), join(site.folder, 'response.der')];
    await ocsp('-cert', site.leafFile, '-no_nonce', '-reqout', request);
    const answer = await fetch(`http://127.0.0.1:${site.revocationPort}/ocsp/${encodeURIComponent((await readFile(request)).toString('base64'))}`);
    expect(answer.headers.get('cache-control')).toMatch(/max-age=3600/);
    await writeFile(response, Buffer.from(await answer.arrayBuffer()));
    const { code, text } = await ocsp('-cert', site.leafFile, '-no_nonce', '-respin', response);
    expect(text).toMatch(/Response verify OK/);
    expect(text).toMatch(/leaf\.pem: good/);
    expect(code).toBe(0);
  });

  it('openssl ocsp is told nothing good of strangers', async () => {
    const { text } = await run('openssl', ['ocsp', '-issuer', site.leafFile, '-CAfile', site.rootFile, '-verify_other', site.chainFile, '-serial', '0x4a01', '-url', `http://127.0.0.1:${site.revocationPort}/ocsp`]);
    expect(text).toMatch(/0x4a01: unknown/);
  });

  it('ocsptool verifies a response', async () => {
    const response = join(site.folder, 'staple.der');
    await writeFile(response, (await site.leaf.staple()) ?? Buffer.alloc(0));
    const { code, text } = await run('ocsptool', ['--verify-response', '--load-response', response, '--load-signer', join(site.folder, 'issuing.pem')]);
    expect(text).toMatch(/Success/);
    expect(code).toBe(0);
  });

  it('all of them see a revocation', async () => {
    await site.certificates.revoke({ target: site.leaf.serial, keep: true, reason: 4 });
    await refetchCrl();
    const verified = await run('openssl', ['verify', '-crl_check', '-CAfile', site.rootFile, '-untrusted', site.chainFile, '-CRLfile', crlFile, site.leafFile]);
    expect(verified.text).toMatch(/error 23 .*certificate revoked/);
    const listed = await run('openssl', ['crl', '-inform', 'DER', '-in', join(site.folder, 'issuer.crl'), '-noout', '-text']);
    expect(listed.text.toLowerCase()).toContain(`serial number: ${site.leaf.serial}`);
    expect(listed.text).toMatch(/Superseded/);
    const answered = await ocsp('-cert', site.leafFile, '-url', `http://127.0.0.1:${site.revocationPort}/ocsp`);
    expect(answered.text).toMatch(/leaf\.pem: revoked/);
    expect(answered.text).toMatch(/Reason: superseded/);
  });
});

it('a CA with name constraints is obeyed', async () => {
  const issuer = await makeIssuer('rsa', ['lab.example', '10.0.0.0/8']);
  const { text } = await run('openssl', ['x509', '-noout', '-text'], { input: issuer.chainPem });
  expect(text).toMatch(/X509v3 Name Constraints: critical\s+Permitted:\s+DNS:lab\.example\s+IP:10\.0\.0\.0\/255\.0\.0\.0\s+Excluded:\s+IP:0:0:0:0:0:0:0:0\/0:0:0:0:0:0:0:0/);
});
