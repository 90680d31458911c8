import { expect, it } from 'vitest';
import { issuerFacts, oneLine } from '../../../src/certs/issuer-info.ts';
import { makeIssuer } from './helpers.ts';

const addresses = { crl: ['http://crl.test/x.crl'], ocsp: [], caIssuers: [] };
const none = { current: () => null, refresh: async () => undefined, isDue: () => false };

it('says what clients must trust', async () => {
  const issuer = await makeIssuer('rsa');
  const crls = { ...none, current: () => ({ number: 7, thisUpdate: 0, nextUpdate: 2e12, der: Buffer.alloc(0) }) };
  const facts = issuerFacts({ issuer, addresses, leafKey: 'auto' }, crls, Date.now());
  expect(facts).toMatchObject({ name: 'default', key: 'RSA 2048', keyId: issuer.keyIdHex, isRoot: true, crl: { urls: addresses.crl, number: 7, nextUpdate: new Date(2e12).toISOString() }, ocsp: null, warnings: [], faults: [] });
  expect(facts.fingerprint).toBe(issuer.certificate.fingerprint256);
  expect(facts.subject).toMatch(/^O=Sallyport, CN=Test CA/);
  expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
});

it('says what stops it from working', async () => {
  const issuer = await makeIssuer();
  const signer = { issuer, addresses, leafKey: 'auto' as const };
  expect(issuerFacts(signer, none, Date.now()).faults.join()).toMatch(/no CRL to serve/);
  expect(issuerFacts(signer, { ...none, current: () => ({ number: 1, thisUpdate: 0, nextUpdate: 1, der: Buffer.alloc(0) }) }, Date.now()).faults.join()).toMatch(/ran out/);
  expect(issuerFacts({ ...signer, addresses: { ...addresses, crl: [] } }, none, issuer.notAfter + 1).faults.join()).toMatch(/expired on .*sallyport ca new/);
  expect(oneLine('O=a\nCN=b')).toBe('O=a, CN=b');
});
