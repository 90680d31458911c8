import { verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readInside, tags } from '../../../src/certs/asn1.ts';
import { buildCrl, readCrl, revokedCount } from '../../../src/certs/crl.ts';
import type { CrlContent } from '../../../src/certs/crl.ts';
import { makeIssuer } from './helpers.ts';

const content: CrlContent = { number: 1_795_416_473, thisUpdate: Date.UTC(2026, 1, 1), nextUpdate: Date.UTC(2026, 2, 1), nextPublish: Date.UTC(2026, 1, 2), revoked: [] };

describe.each(['rsa', 'ec'] as const)('a list signed by an %s issuer', (key) => {
  it('is signed, and reads back', async () => {
    const issuer = await makeIssuer(key);
    const der = buildCrl(issuer, content);
    const [body, , signature] = readInside(der, tags.sequence, 3) ?? [];
    expect(verify('sha256', body?.whole ?? Buffer.alloc(0), issuer.certificate.publicKey, signature?.content.subarray(1) ?? Buffer.alloc(0))).toBe(true);
    expect(readCrl(der)).toEqual({ number: content.number, thisUpdate: content.thisUpdate, nextUpdate: content.nextUpdate });
    expect(revokedCount(der)).toBe(0);
  });
});

it('leaves the entries out when there are none, and has no issuing distribution point', async () => {
  const der = buildCrl(await makeIssuer(), content);
  const fields = readInside(readInside(der, tags.sequence, 3)?.[0]?.whole ?? Buffer.alloc(0), tags.sequence, 8) ?? [];
  expect(fields.map(({ tag }) => tag)).toEqual([tags.integer, tags.sequence, tags.sequence, tags.utcTime, tags.utcTime, tags.constructed(0)]);
  expect(der.includes(Buffer.from('0603551d1c', 'hex'))).toBe(false);
});

it('lists serials with date and reason; reason 0 is not written', async () => {
  const der = buildCrl(await makeIssuer(), { ...content, revoked: [{ serial: '4a01', at: Date.UTC(2026, 0, 5), reason: 0 }, { serial: '4a02', at: Date.UTC(2026, 0, 6), reason: 1 }] });
  expect(revokedCount(der)).toBe(2);
  expect(der.includes(Buffer.from('02024a01170d3236303130353030303030305a', 'hex'))).toBe(true);
  expect(der.includes(Buffer.from('0603551d1504030a0101', 'hex'))).toBe(true);
  expect(der.toString('hex').split('0603551d15')).toHaveLength(2);
  expect(readCrl(der)?.number).toBe(content.number);
});

it('answers null for what is no list', async () => {
  const der = buildCrl(await makeIssuer(), content);
  for (const bytes of [Buffer.alloc(0), Buffer.from('3000', 'hex'), der.subarray(0, 40), Buffer.from('<html>')]) {
    expect(readCrl(bytes)).toBeNull();
    expect(revokedCount(bytes)).toBe(0);
  }
});

it('answers null for a number without octets (found by fuzzing)', async () => {
  const der = buildCrl(await makeIssuer(), content);
  const number = der.indexOf(Buffer.from('0603551d140406', 'hex')) + 7;
  expect(der[number]).toBe(tags.integer);
  der[number + 1] = 0;
  expect(readCrl(der)).toBeNull();
});
