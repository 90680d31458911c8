import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openLedger } from '../../../src/certs/ledger.ts';
import { certIdOf } from '../../../src/certs/ocsp.ts';
import { createResponder } from '../../../src/certs/responder.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { Limits } from '../../../src/core/limits.ts';
import { der } from '../../support/certs.ts';
import { countingMeter, makeIssuer, stateOf, temporaryFolder } from './helpers.ts';

async function bench(limits: Limits = limitsWith()) {
  const [issuer, ledger, { meter, counts }] = [await makeIssuer(), openLedger(stateOf(await temporaryFolder()), 10), countingMeter()];
  const clock = { now: Date.now() };
  return { issuer, ledger, counts, clock, responder: createResponder({ issuers: [issuer], ledger, limits, meter, clock: () => clock.now }) };
}
const serial = Buffer.from('4a0102', 'hex');
const request = (certId: Buffer, nonce?: Buffer): Buffer => der.sequence(der.sequence(der.sequence(der.sequence(certId)),
  ...(nonce === undefined ? [] : [der.tlv(0xa2, der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1.2'), der.octets(der.octets(nonce)))))])));
const strangers = der.sequence(der.sequence(der.oid('1.3.14.3.2.26'), der.tlv(5)), der.octets(createHash('sha1').update('x').digest()), der.octets(createHash('sha1').update('y').digest()), der.integer(serial));
/** The CertStatus that follows the CertID in an answer. */
const status = (answer: Buffer, certId: Buffer): number | undefined => answer[answer.indexOf(certId) + certId.length];

describe('the responder', () => {
  it('says good, revoked, and unknown of other issuers\' certificates', async () => {
    const { issuer, ledger, responder, counts, clock } = await bench();
    const certId = certIdOf(issuer, serial);
    expect(status(responder.answer(request(certId)).der, certId)).toBe(0x80);
    expect(status(responder.answer(request(strangers)).der, strangers)).toBe(0x82);
    ledger.revoke([{ serial: serial.toString('hex'), issuer: issuer.keyIdHex, at: clock.now, until: clock.now + 1e9, reason: 1, keep: true, identity: null }]);
    responder.forget();
    expect(status(responder.answer(request(certId)).der, certId)).toBe(0xa1);
    expect(counts).toMatchObject({ 'ocsp_requests_total{good}': 1, 'ocsp_requests_total{unknown}': 1, 'ocsp_requests_total{revoked}': 1 });
  });

  it('reuses answers without nonce for half a day, and never those with one', async () => {
    const { issuer, responder, clock } = await bench();
    const certId = certIdOf(issuer, serial);
    const first = responder.answer(request(certId));
    expect(responder.answer(request(certId)).der).toBe(first.der);
    expect(responder.answer(request(certId, Buffer.alloc(32))).times).toBeNull();
    expect(responder.answer(request(certId, Buffer.alloc(32))).der).not.toBe(responder.answer(request(certId, Buffer.alloc(32))).der);
    clock.now += 12 * 3_600_000;
    const later = responder.answer(request(certId));
    expect(later.der).not.toBe(first.der);
    expect(later.times?.producedAt).toBeGreaterThan(first.times?.producedAt ?? 0);
  });

  it('a staple that was being signed while its certificate was revoked is not reused', async () => {
    const { issuer, ledger, responder, clock } = await bench();
    const certId = certIdOf(issuer, serial);
    const underWay = responder.staple(issuer, serial);
    await ledger.revoke([{ serial: serial.toString('hex'), issuer: issuer.keyIdHex, at: clock.now, until: clock.now + 1e9, reason: 0, keep: true, identity: null }]);
    responder.forget();
    await underWay;
    expect(status(responder.answer(request(certId)).der, certId)).toBe(0xa1);
    expect(status(await responder.staple(issuer, serial), certId)).toBe(0xa1);
  });

  it('is dated back and lives a week', async () => {
    const { issuer, responder, clock } = await bench();
    const { times } = responder.answer(request(certIdOf(issuer, serial)));
    expect(times?.producedAt).toBeLessThanOrEqual(clock.now);
    expect(times?.thisUpdate).toBe((times?.producedAt ?? 0) - 3_600_000);
    expect(times?.nextUpdate).toBeGreaterThan(clock.now + 6 * 86_400_000);
  });

  it('answers malformed and oversize requests without signing', async () => {
    const { issuer, responder, counts } = await bench(limitsWith({ ocspRequestBytesMax: 256 }));
    for (const bytes of [Buffer.alloc(0), Buffer.from('junk'), request(certIdOf(issuer, serial), Buffer.alloc(128)).fill(0, 0, 1), Buffer.concat([request(certIdOf(issuer, serial)), Buffer.alloc(300)])]) {
      expect(responder.answer(bytes)).toEqual({ der: Buffer.from('30030a0101', 'hex'), times: null });
    }
    expect(counts['ocsp_requests_total{malformed}']).toBe(4);
  });

  it('tells clients to try later beyond its signing rate; what is held is still answered', async () => {
    const { issuer, responder, counts, clock } = await bench(limitsWith({ ocspSignaturesPerSecondMax: 3 }));
    const held = request(certIdOf(issuer, serial));
    responder.answer(held);
    const answers = Array.from({ length: 5 }, (_, at) => responder.answer(request(certIdOf(issuer, serial), Buffer.from([at]))).der.toString('hex'));
    expect(answers.filter((hex) => hex === '30030a0103')).toHaveLength(3);
    expect(responder.answer(held).der.length).toBeGreaterThan(100);
    expect(counts).toMatchObject({ 'ocsp_requests_total{try-later}': 3, 'limits_hit_total{ocspSignaturesPerSecondMax}': 3 });
    clock.now += 1000;
    expect(responder.answer(request(certIdOf(issuer, serial), Buffer.from([9]))).der.length).toBeGreaterThan(100);
  });

  it('staples the answer it would give, signed once', async () => {
    const { issuer, responder } = await bench();
    const staple = await responder.staple(issuer, serial);
    expect(await responder.staple(issuer, serial)).toBe(staple);
    expect(responder.answer(request(certIdOf(issuer, serial))).der).toBe(staple);
  });

  it('holds no more answers than its limit', async () => {
    const { issuer, responder } = await bench(limitsWith({ ocspAnswersMax: 2 }));
    const first = await responder.staple(issuer, Buffer.from([1]));
    await responder.staple(issuer, Buffer.from([2]));
    await responder.staple(issuer, Buffer.from([3]));
    expect(await responder.staple(issuer, Buffer.from([1]))).not.toBe(first);
  });
});
