import { expect, test } from 'vitest';
import { clientCertificateFor } from '../../../src/tls/client-certs.ts';

const entry = (...hosts: string[]) => ({ hosts, certPem: '', keyPem: '' });
const list = [entry('one.example', '192.0.2.1'), entry('*.two.example'), entry('.three.example'), entry('a?b*.four.example'), entry('büro.example')];

test.each([
  ['one.example', 0], ['ONE.example.', 0], ['192.0.2.1', 0], ['x.two.example', 1], ['x.y.two.example', 1], ['three.example', 2], ['x.three.example', 2],
  ['axb.four.example', 3], ['axbyyz.four.example', 3], ['xn--bro-hoa.example', 4],
  ['two.example', null], ['notthree.example', null], ['ab.four.example', null], ['one.example.evil', null], ['', null], [null, null],
] as const)('%s', (host, index) => {
  expect(clientCertificateFor(list, host)?.index ?? null).toBe(index);
});

test('the first that matches is shown', () => {
  const both = [entry('*'), entry('one.example')];
  expect(clientCertificateFor(both, 'one.example')).toEqual({ index: 0, certificate: both[0] });
});

test('no pattern costs more than its length times the name\'s', () => {
  const startedAt = performance.now();
  expect(clientCertificateFor([entry(`${'*a'.repeat(100)}b`)], 'a'.repeat(253))).toBeNull();
  expect(performance.now() - startedAt).toBeLessThan(200);
});
