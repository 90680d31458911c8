import { createHash, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readInside, tags } from '../../../src/certs/asn1.ts';
import { asksAbout, certIdOf, ocspError, ocspErrors, ocspResponse, ocspToBeSigned, readOcspRequest } from '../../../src/certs/ocsp.ts';
import { publicKeyBits } from '../../../src/certs/parts.ts';
import { der } from '../../support/certs.ts';
import { makeIssuer } from './helpers.ts';

const issuer = await makeIssuerOnce();
const serial = Buffer.from('4a0102030405060708090a0b0c0d0e0f', 'hex');
const hashOids = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2' };

async function makeIssuerOnce() {
  const { openAuthority } = await import('../../../src/certs/authority.ts');
  const { mkdtemp, rm } = await import('node:fs/promises');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-ocsp-'));
  try {
    return await openAuthority({ name: 'default', certFile: join(folder, 'c'), keyFile: join(folder, 'k'), passphrase: null, now: Date.now(), create: { key: 'ec', label: 'x', permitted: [] } });
  } finally {
    await rm(folder, { recursive: true });
  }
}

function certId(hash: keyof typeof hashOids, number = serial): Buffer {
  const digest = (bytes: Buffer): Buffer => der.octets(createHash(hash).update(bytes).digest());
  return der.sequence(der.sequence(der.oid(hashOids[hash]), der.tlv(0x05)), digest(issuer.subject), digest(publicKeyBits(issuer.publicKeyInfo)), der.integer(number));
}
const nonceExtension = (octets: Buffer, critical = false): Buffer =>
  der.tlv(0xa2, der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1.2'), ...(critical ? [der.boolean(true)] : []), der.octets(octets))));
const request = (ids: readonly Buffer[], ...more: Buffer[]): Buffer => der.sequence(der.sequence(der.sequence(...ids.map((id) => der.sequence(id))), ...more));

describe('readOcspRequest', () => {
  it.each(['sha1', 'sha256'] as const)('reads %s questions and knows whom they are about', async (hash) => {
    const query = readOcspRequest(request([certId(hash)]));
    expect(query).toMatchObject({ hash, serial: serial.toString('hex'), nonce: null });
    expect(query?.certId).toEqual(certId(hash));
    expect(query !== null && asksAbout(query, issuer)).toBe(true);
    expect(query !== null && asksAbout(query, await makeIssuer())).toBe(false);
  });

  it('knows nobody by another hash', () => {
    const query = readOcspRequest(request([certId('sha384')]));
    expect(query?.hash).toBe('other');
    expect(query !== null && asksAbout(query, issuer)).toBe(false);
  });

  it('takes nonces of 1 to 128 octets, version, requestor name and other extensions', () => {
    for (const length of [1, 32, 128]) expect(readOcspRequest(request([certId('sha1')], nonceExtension(der.octets(Buffer.alloc(length)))))?.nonce).toEqual(der.octets(Buffer.alloc(length)));
    const full = der.sequence(der.sequence(der.tlv(0xa0, der.integer(Buffer.from([0]))), der.tlv(0xa1, der.tlv(0xa4, der.sequence())), der.sequence(der.sequence(certId('sha1')))));
    expect(readOcspRequest(full)?.serial).toBe(serial.toString('hex'));
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)], ['no question', request([])], ['two questions', request([certId('sha1'), certId('sha1')])],
    ['an empty nonce', request([certId('sha1')], nonceExtension(der.octets(Buffer.alloc(0))))], ['a nonce that is too long', request([certId('sha1')], nonceExtension(der.octets(Buffer.alloc(129))))],
    ['a nonce that is none', request([certId('sha1')], nonceExtension(Buffer.from('ffff', 'hex')))],
    ['an unknown critical extension', request([certId('sha1')], der.tlv(0xa2, der.sequence(der.sequence(der.oid('1.2.3'), der.boolean(true), der.octets(Buffer.alloc(0))))))],
    ['trailing bytes', Buffer.concat([request([certId('sha1')]), Buffer.from([0])])], ['an endless serial', request([certId('sha1', Buffer.alloc(22, 1))])],
    ['an empty serial', request([certId('sha1', Buffer.alloc(0))])],
  ])('answers null for %s', (_label, bytes) => {
    expect(readOcspRequest(bytes)).toBeNull();
  });
});

describe('responses', () => {
  const times = { producedAt: Date.UTC(2026, 1, 1), thisUpdate: Date.UTC(2026, 0, 31), nextUpdate: Date.UTC(2026, 1, 8) };

  it('name the responder by name, copy the CertID, and are signed', () => {
    const toBeSigned = ocspToBeSigned(issuer, certId('sha256'), { state: 'good' }, times, null);
    const [responder, producedAt, singles] = readInside(toBeSigned, tags.sequence, 8) ?? [];
    expect(responder?.whole).toEqual(der.tlv(0xa1, issuer.subject));
    expect(producedAt?.content.toString()).toBe('20260201000000Z');
    expect(singles?.content.includes(certId('sha256'))).toBe(true);
    const response = ocspResponse(issuer, toBeSigned, issuer.sign(toBeSigned));
    expect(response.includes(toBeSigned)).toBe(true);
    expect(verify('sha256', toBeSigned, issuer.certificate.publicKey, issuer.sign(toBeSigned))).toBe(true);
  });

  it('echo the nonce and state a revocation', () => {
    const nonce = der.octets(Buffer.from('abcd', 'hex'));
    const bytes = ocspToBeSigned(issuer, certId('sha1'), { state: 'revoked', at: Date.UTC(2026, 0, 1), reason: 1 }, times, nonce);
    expect(bytes.includes(nonceExtension(nonce).subarray(2))).toBe(true);
    expect(bytes.includes(der.tlv(0xa1, der.ia5(0x18, '20260101000000Z'), der.tlv(0xa0, der.tlv(0x0a, Buffer.from([1])))))).toBe(true);
    expect(ocspToBeSigned(issuer, certId('sha1'), { state: 'revoked', at: 0, reason: 0 }, times, null).includes(Buffer.from('a0030a01', 'hex'))).toBe(false);
  });

  it('errors say only what is wrong', () => {
    expect(ocspError(ocspErrors.malformedRequest).toString('hex')).toBe('30030a0101');
    expect(ocspError(ocspErrors.tryLater).toString('hex')).toBe('30030a0103');
  });

  it('our own CertID is the one clients write', () => {
    expect(certIdOf(issuer, serial)).toEqual(certId('sha1'));
  });
});
