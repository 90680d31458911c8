import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { openState } from '../../../src/core/state.ts';

let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'sallyport-import-')); });
afterEach(() => rmSync(folder, { recursive: true }));

const rows = (table: string): unknown[] => {
  const state = openState(folder, { durable: true, limits: limitsWith() });
  const all = state.prepare(`SELECT * FROM ${table}`).all().map((row) => ({ ...row }));
  state.close();
  return all;
};
const revoked = { serial: '4a01', issuer: 'aa', at: 1, until: 2, reason: 4, keep: true, identity: 'x' };
const issued = { serial: '4a01', issuer: 'aa', identity: 'x', host: 'a.test', names: ['a.test'], upstream: null, at: 1, notAfter: 2 };
const learned = { client: '10.0.0.1', name: 'a.test', ja4: null, refusals: 3, since: 1, until: 2 };

it('takes over what older versions kept in files, once, and moves these aside', () => {
  writeFileSync(join(folder, 'revoked.json'), JSON.stringify({ version: 1, revoked: [revoked] }));
  mkdirSync(join(folder, 'crl'));
  writeFileSync(join(folder, 'crl', 'aa01.number'), '1700000000\n');
  writeFileSync(join(folder, 'crl', 'aa01.crl'), 'der');
  writeFileSync(join(folder, 'crl', 'bb.number'), 'broken');
  writeFileSync(join(folder, 'issued.jsonl'), `${JSON.stringify({ ...issued, serial: '4a02' })}\n`);
  writeFileSync(join(folder, 'issued.1.jsonl'), `broken\n{"serial":5}\n${JSON.stringify(issued)}\n`);
  writeFileSync(join(folder, 'learned.json'), JSON.stringify([learned, { client: 5 }]));
  writeFileSync(join(folder, 'ca.pem'), 'stays');
  expect(rows('revoked')).toEqual([{ ...revoked, keep: 1 }]);
  expect(rows('crl')).toEqual([{ issuer: 'aa01', number: 1_700_000_000, signed_at: 0, der: null }]);
  expect(rows('issued')).toMatchObject([{ serial: '4a01', names: '["a.test"]', not_after: 2 }, { serial: '4a02' }]);
  expect(rows('learned')).toEqual([{ key: '10.0.0.1 a.test -', ...learned }]);
  expect(rows('revisions')).toEqual([{ name: 'revoked', number: 1 }]);
  expect(readdirSync(folder).toSorted()).toEqual(['ca.pem', 'crl.imported', 'issued.1.jsonl.imported', 'issued.jsonl.imported', 'learned.json.imported', 'revoked.json.imported', 'state.db']);
  // A file that comes back later is not taken for newer than the database.
  writeFileSync(join(folder, 'revoked.json'), JSON.stringify({ revoked: [] }));
  expect(rows('revoked')).toHaveLength(1);
});

it.each(['not json', '[]', '{"revoked":[{"serial":"xyz"}]}', '{"revoked":[{"serial":"01","issuer":"aa","at":-1,"until":0,"reason":0,"keep":false,"identity":null}]}'])('refuses revocations it cannot read rather than forgetting them: %s', (content) => {
  writeFileSync(join(folder, 'revoked.json'), content);
  expect(() => rows('revoked')).toThrow(/revoked\.json is not a ledger/);
  expect(readdirSync(folder)).toContain('revoked.json');
  // Mended, it is taken.
  writeFileSync(join(folder, 'revoked.json'), JSON.stringify({ revoked: [revoked] }));
  expect(rows('revoked')).toHaveLength(1);
});

it('a file of learned bypasses that cannot be read is no reason not to start', () => {
  writeFileSync(join(folder, 'learned.json'), '{"half');
  expect(rows('learned')).toEqual([]);
});
