import { expect, it } from 'vitest';
import { openIssuedRecord } from '../../../src/certs/issued.ts';
import type { IssuedEntry, IssuedRecord } from '../../../src/certs/issued.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { openState } from '../../../src/core/state.ts';
import { stateOf, temporaryFolder } from './helpers.ts';

const entry = (serial: string, more: Partial<IssuedEntry> = {}): IssuedEntry => ({ serial, issuer: 'aa', identity: 'i', host: 'a.example', names: [], upstream: null, at: 1, notAfter: 100, ...more });
const fail = (error: unknown): never => {
  throw error;
};
const open = async (limits: { issuedMax?: number; stateSaveMs?: number } = {}, folder?: string): Promise<IssuedRecord> =>
  openIssuedRecord(stateOf(folder ?? (await temporaryFolder())), { issuedMax: 1000, stateSaveMs: 20, ...limits }, fail);

it('finds leaves by serial in any spelling and by host, newest first, while they are valid', async () => {
  const record = await open();
  for (const one of [entry('4a01', { at: 1 }), entry('4a02', { at: 2 }), entry('4a03', { host: 'b.example' }), entry('4a04', { notAfter: 5 })]) record.note(one);
  record.flush();
  expect(record.find('A.Example.', 10).map(({ serial }) => serial)).toEqual(['4a02', '4a01']);
  for (const spelling of ['4a03', '4A:03', '0x4A03']) expect(record.find(spelling, 10)).toEqual([entry('4a03', { host: 'b.example' })]);
  expect(record.find('4a04', 10)).toEqual([]);
  expect(record.find('nothing', 10)).toEqual([]);
});

it('finds a leaf by each host it serves, not by the first alone', async () => {
  const record = await open();
  record.note(entry('4a01', { names: ['a.example', 'mail.a.example'] }));
  record.note(entry('4a02', { host: 'x.b.example', names: ['*.b.example'] }));
  record.flush();
  const found = (host: string): string[] => record.find(host, 10).map(({ serial }) => serial);
  expect(found('mail.a.example')).toEqual(['4a01']);
  expect(found('Y.B.example.')).toEqual(['4a02']);
  for (const host of ['b.example', 'y.x.b.example', 'other.a.example', '.b.example', 'example']) expect(found(host)).toEqual([]);
});

it('writes by itself after a moment, for other processes to see', async () => {
  const folder = await temporaryFolder();
  (await open({}, folder)).note(entry('01'));
  const other = await open({}, folder);
  await expect.poll(() => other.find('01', 0).length).toBe(1);
});

it('is bounded: the oldest go', async () => {
  const record = await open({ issuedMax: 10 });
  for (let at = 0; at < 100; at += 1) {
    record.note(entry(at.toString(16).padStart(4, '0')));
    if (at % 7 === 0) record.flush();
  }
  record.flush();
  expect(record.find('a.example', 0).map(({ serial }) => serial)).toEqual(Array.from({ length: 10 }, (_, at) => (99 - at).toString(16).padStart(4, '0')));
});

it('waits while another process writes, and loses nothing by it', async () => {
  const folder = await temporaryFolder();
  const record = openIssuedRecord(openState(folder, { durable: false, limits: limitsWith({ stateRecordWaitMs: 0 }) }), { issuedMax: 10, stateSaveMs: 20 }, fail);
  const other = stateOf(folder);
  other.exec('BEGIN IMMEDIATE');
  record.note(entry('01'));
  record.flush();
  expect(record.find('01', 0)).toEqual([]);
  other.exec('ROLLBACK');
  await expect.poll(() => record.find('01', 0).length).toBe(1);
});

it('tells of a database it cannot write to, and goes on', async () => {
  const errors: unknown[] = [];
  const state = stateOf(await temporaryFolder());
  const record = openIssuedRecord(state, { issuedMax: 10, stateSaveMs: 20 }, (error) => errors.push(error));
  state.exec('PRAGMA query_only = 1');
  record.note(entry('01'));
  record.flush();
  record.flush();
  expect(errors).toHaveLength(1);
  state.exec('PRAGMA query_only = 0');
  record.note(entry('02'));
  record.flush();
  expect(record.find('a.example', 0)).toHaveLength(1);
});
