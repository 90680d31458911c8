import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readCrl } from '../../../src/certs/crl.ts';
import { publicKeyBits, readCertificate } from '../../../src/certs/parts.ts';
import { der } from '../../support/certs.ts';
import { openBench } from './helpers.ts';

/** A question about serial 4a01 of this CA. */
function request(caDer: Buffer): Buffer {
  const parts = readCertificate(caDer);
  const digest = (bytes: Buffer): Buffer => der.octets(createHash('sha1').update(bytes).digest());
  const certId = der.sequence(der.sequence(der.oid('1.3.14.3.2.26'), der.tlv(5)), digest(parts?.subject ?? caDer), digest(publicKeyBits(parts?.publicKeyInfo ?? caDer)), der.integer(Buffer.from('4a01', 'hex')));
  return der.sequence(der.sequence(der.sequence(der.sequence(certId))));
}

describe('hosts', () => {
  it.each<[string, readonly string[], readonly string[], readonly string[]]>([
    ['a name without port', ['Crl.Test'], ['crl.test', 'CRL.TEST', 'crl.test:80'], ['crl.test:8080', 'x.crl.test', '', 'crl.test.']],
    ['a name with port', ['crl.test:9080'], ['crl.test:9080'], ['crl.test', 'crl.test:80']],
    ['a name with port 80', ['crl.test:80'], ['crl.test', 'crl.test:80'], ['crl.test:8']],
    ['addresses', ['192.0.2.1:9080', '[2001:DB8::1]'], ['192.0.2.1:9080', '[2001:db8::1]', '[2001:db8::1]:80'], ['192.0.2.1', '2001:db8::1']],
  ])('%s', async (_label, hosts, ours, others) => {
    const { certificates: { revocation } } = await openBench({ issuer: { crl: { enabled: true, hosts, days: 30 } } });
    expect(ours.filter((host) => !revocation.isHost(host))).toEqual([]);
    expect(others.filter((host) => revocation.isHost(host))).toEqual([]);
  });
});

it('ports are those that distribution points name, else 80', async () => {
  const { certificates: { revocation } } = await openBench({ issuer: { crl: { enabled: true, hosts: ['a.test', 'b.test:81', '[2001:db8::1]', '[2001:db8::2]:82'], days: 30 } } });
  expect([...(revocation.ports ?? [])]).toEqual([80, 81, 82]);
});

describe('answers', () => {
  it('the CRL under its key id and the old name, with headers that caches obey', async () => {
    const { certificates: { revocation, issuerInfo }, counts, clock } = await openBench();
    const path = `/ssl/crl/${issuerInfo().keyId}.crl`;
    const answer = revocation.answer('GET', path, null);
    expect(answer.status).toBe(200);
    expect(readCrl(answer.body)?.number).toBe(issuerInfo().crl?.number);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/pkix-crl', 'content-length': String(answer.body.length), 'cache-control': 'public, max-age=3600, no-transform',
      expires: new Date(clock.now + 3_600_000).toUTCString(), etag: expect.stringMatching(/^"[0-9a-f]{32}"$/) as unknown, 'last-modified': expect.any(String) as unknown,
    });
    expect(revocation.answer('GET', '/ssl/crl/issuer_CA.crl?x=1', null)).toEqual(answer);
    expect(revocation.answer('HEAD', path, null)).toEqual({ ...answer, body: Buffer.alloc(0) });
    expect(counts['crl_requests_total{}']).toBe(3);
  });

  it('the CA certificate in all its forms, and never the untrusted issuer\'s', async () => {
    const { certificates: { revocation, caDer, caPem, issuerInfo } } = await openBench();
    for (const path of ['/ca.crt', '/ca.der', `/ca/${issuerInfo().keyId}.crt`]) expect(revocation.answer('GET', path, null)).toMatchObject({ status: 200, body: caDer, headers: { 'content-type': 'application/pkix-cert' } });
    expect(revocation.answer('GET', '/ca.pem', null).body.toString()).toBe(caPem);
    expect(revocation.answer('GET', '/ca.mobileconfig', null).headers['content-type']).toBe('application/x-apple-aspen-config');
  });

  it('OCSP by POST and by GET in the spellings clients use', async () => {
    const { certificates } = await openBench();
    const body = request(certificates.caDer);
    const base64 = body.toString('base64');
    const post = certificates.revocation.answer('POST', '/ocsp', body);
    expect(post).toMatchObject({ status: 200, headers: { 'content-type': 'application/ocsp-response', 'cache-control': 'no-store' } });
    for (const path of [`/ocsp/${base64}`, `/ocsp/${encodeURIComponent(base64)}`, `/ocsp//${base64}`, `/ocsp/${base64.replaceAll('+', '%20')}`]) {
      const answer = certificates.revocation.answer('GET', path, null);
      expect(answer.body).toEqual(post.body);
      expect(answer.headers['cache-control']).toBe('public, max-age=3600, no-transform');
    }
  });

  it('broken OCSP requests with an OCSP error, not an HTTP one', async () => {
    const { certificates: { revocation } } = await openBench();
    const malformed = Buffer.from('30030a0101', 'hex');
    for (const path of ['/ocsp/', '/ocsp/%', '/ocsp/!!!', `/ocsp/${'A'.repeat(100_000)}`]) expect(revocation.answer('GET', path, null)).toMatchObject({ status: 200, body: malformed, headers: { 'cache-control': 'no-store' } });
    for (const body of [null, Buffer.alloc(0), Buffer.alloc(100_000)]) expect(revocation.answer('POST', '/ocsp', body)).toMatchObject({ status: 200, body: malformed });
  });

  it('404 for everything else, 405 for other methods', async () => {
    const { certificates: { revocation } } = await openBench();
    for (const path of ['/', '', '/ssl/crl/', `/ssl/crl/${'00'.repeat(20)}.crl`, '/ocspx', '/ca.key', '/../ca.pem', '/ssl/crl/../../ca.key', '//ca.pem']) expect(revocation.answer('GET', path, null).status, path).toBe(404);
    for (const path of ['/ssl/crl/issuer_CA.crl', '/ca.pem']) expect(revocation.answer('POST', path, Buffer.alloc(1))).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    expect(revocation.answer('HEAD', '/ocsp/x', null)).toMatchObject({ status: 405, headers: { allow: 'GET, POST' } });
  });

  it('nothing of what is switched off', async () => {
    const { certificates: { revocation, issuerInfo } } = await openBench({ issuer: { crl: { enabled: false, hosts: ['crl.test'], days: 30 }, ocsp: { enabled: false, staple: true } } });
    expect(revocation.answer('GET', '/ssl/crl/issuer_CA.crl', null).status).toBe(404);
    expect(revocation.answer('POST', '/ocsp', null).status).toBe(404);
    expect(issuerInfo()).toMatchObject({ crl: null, ocsp: null, faults: [] });
  });
});
