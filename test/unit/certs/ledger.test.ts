import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LedgerFullError, openLedger } from '../../../src/certs/ledger.ts';
import type { RevokedEntry } from '../../../src/certs/ledger.ts';
import { temporaryFolder } from './helpers.ts';

const entry = (serial: string, more: Partial<RevokedEntry> = {}): RevokedEntry => ({ serial, issuer: 'aa', at: 1000, until: 5000, reason: 0, keep: false, identity: null, ...more });

describe('the ledger', () => {
  it('keeps entries across restarts, by issuer and serial', async () => {
    const folder = await temporaryFolder();
    const ledger = await openLedger(folder, 10);
    await ledger.revoke([entry('01'), entry('02', { issuer: 'bb', reason: 1, keep: true, identity: 'x' })]);
    const again = await openLedger(folder, 10);
    expect(again.find('aa', '01')).toEqual(entry('01'));
    expect(again.find('bb', '01')).toBeNull();
    expect(again.listed('bb', 1000)).toEqual([entry('02', { issuer: 'bb', reason: 1, keep: true, identity: 'x' })]);
    expect(again.generation('x')).toBe(1);
  });

  it('lists an entry until its time', async () => {
    const ledger = await openLedger(await temporaryFolder(), 10);
    await ledger.revoke([entry('01', { until: 5000 })]);
    expect([ledger.listed('aa', 4999).length, ledger.listed('aa', 5000).length]).toEqual([1, 0]);
  });

  it('loses nothing when several write at once', async () => {
    const folder = await temporaryFolder();
    const ledgers = await Promise.all(Array.from({ length: 4 }, () => openLedger(folder, 100)));
    await Promise.all(ledgers.flatMap((ledger, at) => [ledger.revoke([entry(`0${at}`)]), ledger.revoke([entry(`1${at}`)])]));
    expect((await openLedger(folder, 100)).listed('aa', 0)).toHaveLength(8);
    expect(await readdir(folder)).toEqual(['revoked.json']);
  });

  it('takes over the lock of a process that died', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'revoked.json.lock'), '4194999\n');
    const ledger = await openLedger(folder, 10);
    await ledger.revoke([entry('01')]);
    expect(ledger.find('aa', '01')).not.toBeNull();
  });

  it('notices what another process wrote, once', async () => {
    const folder = await temporaryFolder();
    const [one, two] = [await openLedger(folder, 10), await openLedger(folder, 10)];
    expect(await two.reload()).toBe(false);
    await one.revoke([entry('01')]);
    expect([await two.reload(), await two.reload()]).toEqual([true, false]);
    expect(two.find('aa', '01')).not.toBeNull();
  });

  it('is bounded', async () => {
    const ledger = await openLedger(await temporaryFolder(), 2);
    await ledger.revoke([entry('01'), entry('02')]);
    await ledger.revoke([entry('02', { keep: true })]);
    await expect(ledger.revoke([entry('03')])).rejects.toThrow(LedgerFullError);
    expect(ledger.find('aa', '03')).toBeNull();
  });

  it.each(['not json', '[]', '{"revoked":[{"serial":"xyz"}]}', '{"revoked":[{"serial":"01","issuer":"aa","at":-1,"until":0,"reason":0,"keep":false,"identity":null}]}', '{"revoked":[{"serial":"01","issuer":"aa","at":1,"until":0,"reason":99,"keep":false,"identity":null}]}'])('refuses a file it cannot read rather than forgetting: %s', async (content) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'revoked.json'), content);
    await expect(openLedger(folder, 10)).rejects.toThrow(/revoked\.json/);
    expect(await readFile(join(folder, 'revoked.json'), 'utf8')).toBe(content);
  });
});
