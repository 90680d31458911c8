// The real certificates of products whose keys became public.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { expect, test } from 'vitest';
import { exposedKeyOf } from '../../../src/tls/exposed-keys.ts';
import { makeRoot } from '../../support/certs.ts';

const folder = join(import.meta.dirname, '../../data/exposed-roots');

test.each([
  ['superfish', /^Superfish/, 'B6FE9151402BAD1C'], ['edellroot', /^eDellRoot/, 'EC30C9C3065A06BB'], ['dsdtestprovider', /^DSDTestProvider/, '0F912FD7BE760BE2'], ['sennheiser', /Sennheiser/, 'DDD8AB9178C99CBD'],
])('%s is known by its key', (name, product, fingerprint) => {
  const root = new X509Certificate(readFileSync(join(folder, `${name}.pem`)));
  expect(root.fingerprint256.replaceAll(':', '').startsWith(fingerprint)).toBe(true);
  expect(exposedKeyOf(root)).toMatch(product);
});

test('others are not: not by name, and none that browsers trust', () => {
  expect(exposedKeyOf(new X509Certificate(makeRoot('Superfish, Inc.').certPem))).toBeNull();
  expect(getCACertificates('bundled').filter((pem) => exposedKeyOf(new X509Certificate(pem)) !== null)).toEqual([]);
});
