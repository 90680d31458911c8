// Which roots are believed: the operator's and a file's, without the gateway's own issuers, and never those that anyone can sign with.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { afterAll, expect, test } from 'vitest';
import { installTrust, readTrust } from '../../src/trust.ts';
import type { TrustOptions } from '../../src/trust.ts';
import { makeRoot } from '../support/certs.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-trust-'));
afterAll(() => rmSync(folder, { recursive: true }));
const superfish = readFileSync(join(import.meta.dirname, '../data/exposed-roots/superfish.pem'), 'utf8');
const one = makeRoot('One');
const two = makeRoot('Two');
const file = (name: string, ...pems: readonly string[]): string => {
  writeFileSync(join(folder, name), pems.join(''));
  return join(folder, name);
};
const options: TrustOptions = { ca: 'none', extraCa: [], minVersion: 'TLSv1.2', clientCerts: [], proxy: null, dns: [], allowLocal: false };
const subjects = (trust: ReturnType<typeof readTrust>): string[] => trust.roots.map(({ subject }) => subject);

test('the roots of a file and those added, made the process\'s default', () => {
  const trust = installTrust({ ...options, ca: file('base.pem', one.certPem), extraCa: [file('more.pem', two.certPem)] }, [], []);
  expect(subjects(trust)).toEqual(['CN=One', 'CN=Two']);
  expect(getCACertificates('default')).toHaveLength(2);
});

test('reading another trust puts nothing into use: the reload may be refused', () => {
  installTrust({ ...options, ca: file('first.pem', one.certPem) }, [], []);
  readTrust({ ...options, ca: file('base.pem', one.certPem), extraCa: [file('more.pem', two.certPem)] }, [], []);
  expect(getCACertificates('default')).toHaveLength(1);
});

test('never the gateway\'s own issuers, nor another certificate for their key', () => {
  const twin = makeRoot('Twin', { keyPair: one });
  const trust = readTrust({ ...options, extraCa: [file('own.pem', one.certPem, twin.certPem, two.certPem)] }, [], [one.certPem]);
  expect(subjects(trust)).toEqual(['CN=Two']);
  expect(trust.own?.map(({ subject }) => subject)).toEqual(['CN=One']);
});

test('a root whose private key is public is refused aloud where an operator adds it, and left out of a store', () => {
  expect(() => readTrust({ ...options, extraCa: [file('bad.pem', superfish)] }, [], [])).toThrow(/bad\.pem: holds the root of Superfish/);
  expect(() => readTrust(options, [file('flag.pem', two.certPem, superfish)], [])).toThrow(/flag\.pem/);
  expect(subjects(readTrust({ ...options, ca: file('store.pem', superfish, one.certPem) }, [], []))).toEqual(['CN=One']);
});

test('a file without a certificate says so', () => {
  expect(() => readTrust({ ...options, extraCa: [file('none.pem', 'nothing')] }, [], [])).toThrow(/none\.pem: no PEM certificate/);
});
