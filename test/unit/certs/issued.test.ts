import { appendFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openIssuedRecord } from '../../../src/certs/issued.ts';
import type { IssuedEntry } from '../../../src/certs/issued.ts';
import { temporaryFolder } from './helpers.ts';

const entry = (serial: string, more: Partial<IssuedEntry> = {}): IssuedEntry => ({ serial, issuer: 'aa', identity: 'i', host: 'a.example', names: [], upstream: null, at: 1, notAfter: 100, ...more });
const fail = (error: unknown): never => {
  throw error;
};

it('finds leaves by serial in any spelling and by host, newest first, while they are valid', async () => {
  const folder = await temporaryFolder();
  const record = openIssuedRecord(folder, 1 << 20, true, fail);
  for (const one of [entry('4a01', { at: 1 }), entry('4a02', { at: 2 }), entry('4a03', { host: 'b.example' }), entry('4a04', { notAfter: 5 })]) record.note(one);
  await record.flush();
  expect((await record.find('A.Example.', 10)).map(({ serial }) => serial)).toEqual(['4a02', '4a01']);
  for (const spelling of ['4a03', '4A:03', '0x4A03']) expect(await record.find(spelling, 10)).toEqual([entry('4a03', { host: 'b.example' })]);
  expect(await record.find('4a04', 10)).toEqual([]);
  expect(await record.find('nothing', 10)).toEqual([]);
});

it('finds a leaf by each host it serves, not by the first alone', async () => {
  const folder = await temporaryFolder();
  const record = openIssuedRecord(folder, 1 << 20, true, fail);
  record.note(entry('4a01', { names: ['a.example', 'mail.a.example'] }));
  record.note(entry('4a02', { host: 'x.b.example', names: ['*.b.example'] }));
  await record.flush();
  const found = async (host: string): Promise<string[]> => (await record.find(host, 10)).map(({ serial }) => serial);
  expect(await found('mail.a.example')).toEqual(['4a01']);
  expect(await found('Y.B.example.')).toEqual(['4a02']);
  for (const host of ['b.example', 'y.x.b.example', 'other.a.example', '.b.example', 'example']) expect(await found(host)).toEqual([]);
});

it('writes by itself after a moment', async () => {
  const folder = await temporaryFolder();
  openIssuedRecord(folder, 1 << 20, true, fail).note(entry('01'));
  await expect.poll(async () => (await openIssuedRecord(folder, 1 << 20, false, fail).find('01', 0)).length).toBe(1);
});

it('stays within two files, and passes over broken lines', async () => {
  const folder = await temporaryFolder();
  const record = openIssuedRecord(folder, 1000, true, fail);
  for (let at = 0; at < 100; at += 1) {
    record.note(entry(at.toString(16).padStart(4, '0')));
    await record.flush();
  }
  for (const file of ['issued.jsonl', 'issued.1.jsonl']) expect((await stat(join(folder, file)).catch(() => ({ size: 0 }))).size).toBeLessThan(1300);
  await appendFile(join(folder, 'issued.jsonl'), 'broken\n{"serial":5}\n');
  expect(await record.find('0063', 0)).toHaveLength(1);
  expect(await record.find('0000', 0)).toHaveLength(0);
});

it('tells of a folder it cannot write to, and goes on', async () => {
  const errors: unknown[] = [];
  const record = openIssuedRecord('/proc/none', 1000, true, (error) => errors.push(error));
  record.note(entry('01'));
  await record.flush();
  await record.flush();
  expect(errors).toHaveLength(1);
});
