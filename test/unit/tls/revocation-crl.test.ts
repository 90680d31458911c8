import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { coversCertificate, listsSerial, proveCrl } from '../../../src/tls/revocation-crl.ts';
import type { ProvenCrl } from '../../../src/tls/revocation-crl.ts';
import { der, makeCrl, makeRoot } from '../../support/certs.ts';
import { crlOf, distributionPoint } from '../../support/revocation.ts';
import type { CrlSpec } from '../../support/revocation.ts';

const root = makeRoot('CRL root');
const issuer = new X509Certificate(root.der);
const now = Date.now();
const hour = 3_600_000;
const idp = '2.5.29.28';
const url = 'http://c.example/1.crl';
const prove = (spec: CrlSpec = {}): ProvenCrl | null => proveCrl(crlOf(root, spec), issuer, now);
const serial = (number: number): Buffer => Buffer.from([0x4a, number]);
const scoped = (value: Buffer, critical = true): CrlSpec => ({ extensions: [{ oid: idp, critical, value }] });

describe('proveCrl', () => {
  test('takes the list of an EC and an RSA issuer', () => {
    expect(prove()?.untilMs).toBeGreaterThan(now + 23 * hour);
    const rsa = makeRoot('RSA', { key: 'rsa' });
    expect(proveCrl(crlOf(rsa), new X509Certificate(rsa.der), now)).not.toBeNull();
    expect(proveCrl(makeCrl(root), issuer, now)).not.toBeNull();
  });

  test.each<[string, CrlSpec]>([
    ['signed by another', { signer: makeRoot('CRL root') }],
    ['signed with SHA-1', { hash: 'sha1' }],
    ['of tomorrow', { thisUpdate: new Date(now + hour) }],
    ['of yesterday', { nextUpdate: new Date(now - hour) }],
    ['without end', { nextUpdate: null }],
    ['a delta', { extensions: [{ oid: '2.5.29.27', critical: true, value: der.integer(Buffer.from([1])) }] }],
    ['with an unknown critical extension', { extensions: [{ oid: '1.2.3.4', critical: true, value: der.tlv(0x05) }] }],
    ['indirect', scoped(distributionPoint({ indirect: true }))],
    ['of a point without address', scoped(distributionPoint({ urls: ['ldap:///x'] }))],
  ])('refuses one %s', (_label, spec) => {
    expect(prove(spec)).toBeNull();
  });

  test('refuses the list of another issuer, and of one that may sign none', () => {
    const other = makeRoot('Other');
    expect(proveCrl(crlOf(other), issuer, now)).toBeNull();
    const silent = makeRoot('Silent', { keyUsage: ['keyCertSign'] });
    expect(proveCrl(crlOf(silent), new X509Certificate(silent.der), now)).toBeNull();
  });

  test('takes unknown extensions that are not critical', () => {
    expect(prove({ extensions: [{ oid: '1.2.3.4', value: der.tlv(0x05) }] })).not.toBeNull();
  });

  test('no cut of a list and no changed octet of its signed part is taken, none throws', () => {
    const good = crlOf(root, { revoked: [serial(1), serial(2)] });
    for (let length = 0; length < good.length; length += 1) expect(proveCrl(good.subarray(0, length), issuer, now)).toBeNull();
    for (let at = 4; at < good.length; at += 1) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      expect(proveCrl(bad, issuer, now)).toBeNull();
    }
  });
});

describe('listsSerial', () => {
  test('finds what is listed and nothing else', () => {
    const crl = prove({ revoked: [serial(1), serial(2), Buffer.from([0x00, 0x80])] });
    if (crl === null) throw new Error('a good list');
    expect([1, 2].map((number) => listsSerial(crl, serial(number)))).toEqual([true, true]);
    expect([listsSerial(crl, serial(3)), listsSerial(crl, Buffer.from([0x00, 0x80])), listsSerial(crl, Buffer.from([0x80]))]).toEqual([false, true, false]);
  });

  test('octets inside another entry are no entry', () => {
    // 02 02 4a 01 appears inside the longer serial.
    const crl = prove({ revoked: [Buffer.from('4a020202024a0102', 'hex')] });
    expect(crl !== null && listsSerial(crl, serial(1))).toBe(false);
    expect(crl !== null && crl.entries.includes(Buffer.from('02024a01', 'hex'))).toBe(true);
  });

  test('an empty list lists nothing', () => {
    const crl = prove();
    expect(crl !== null && listsSerial(crl, serial(1))).toBe(false);
  });

  test('a list of 100 000 is searched quickly', () => {
    const revoked = Array.from({ length: 100_000 }, (_, at) => Buffer.from([0x4a, at >> 16, (at >> 8) & 0xff, at & 0xff]));
    const crl = prove({ revoked });
    if (crl === null) throw new Error('a good list');
    const startedAt = performance.now();
    for (let round = 0; round < 20; round += 1) expect(listsSerial(crl, Buffer.from([0x4b, 0, 0, round]))).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(listsSerial(crl, Buffer.from([0x4a, 1, 0x86, 0x9f]))).toBe(true);
  });
});

describe('coversCertificate', () => {
  test.each<[string, CrlSpec, boolean, boolean]>([
    ['without scope', {}, true, true],
    ['for the address', scoped(distributionPoint({ urls: ['http://other.example/', url] })), true, true],
    ['for another address', scoped(distributionPoint({ urls: ['http://other.example/'] })), false, false],
    ['for leaves', scoped(distributionPoint({ only: 'leaves' })), true, false],
    ['for authorities', scoped(distributionPoint({ urls: [url], only: 'authorities' })), false, true],
    ['for the address, not critical', scoped(distributionPoint({ urls: ['http://other.example/'] }), false), false, false],
  ])('%s', (_label, spec, leaf, authority) => {
    const crl = prove(spec);
    expect(crl === null ? null : [coversCertificate(crl, url, false), coversCertificate(crl, url, true)]).toEqual([leaf, authority]);
  });
});
