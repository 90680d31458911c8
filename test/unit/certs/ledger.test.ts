import { describe, expect, it } from 'vitest';
import { LedgerFullError, openLedger } from '../../../src/certs/ledger.ts';
import type { RevokedEntry } from '../../../src/certs/ledger.ts';
import { stateOf, temporaryFolder } from './helpers.ts';

const entry = (serial: string, more: Partial<RevokedEntry> = {}): RevokedEntry => ({ serial, issuer: 'aa', at: 1000, until: 5000, reason: 0, keep: false, identity: null, ...more });

describe('the ledger', () => {
  it('keeps entries across restarts, by issuer and serial', async () => {
    const folder = await temporaryFolder();
    const ledger = openLedger(stateOf(folder), 10);
    ledger.revoke([entry('01'), entry('02', { issuer: 'bb', reason: 1, keep: true, identity: 'x' })]);
    const again = openLedger(stateOf(folder), 10);
    expect(again.find('aa', '01')).toEqual(entry('01'));
    expect(again.find('bb', '01')).toBeNull();
    expect(again.listed('bb', 1000)).toEqual([entry('02', { issuer: 'bb', reason: 1, keep: true, identity: 'x' })]);
    expect(again.generation('x')).toBe(1);
  });

  it('lists an entry until its time', async () => {
    const ledger = openLedger(stateOf(await temporaryFolder()), 10);
    ledger.revoke([entry('01', { until: 5000 })]);
    expect([ledger.listed('aa', 4999).length, ledger.listed('aa', 5000).length]).toEqual([1, 0]);
  });

  it('loses nothing when several write', async () => {
    const folder = await temporaryFolder();
    const ledgers = Array.from({ length: 4 }, () => openLedger(stateOf(folder), 100));
    for (const [at, ledger] of ledgers.entries()) ledger.revoke([entry(`0${at}`)]);
    for (const [at, ledger] of ledgers.entries()) ledger.revoke([entry(`1${at}`)]);
    expect(openLedger(stateOf(folder), 100).listed('aa', 0)).toHaveLength(8);
  });

  it('notices what another process wrote, once', async () => {
    const folder = await temporaryFolder();
    const [one, two] = [openLedger(stateOf(folder), 10), openLedger(stateOf(folder), 10)];
    expect(two.reload()).toBe(false);
    one.revoke([entry('01')]);
    expect([two.reload(), two.reload()]).toEqual([true, false]);
    expect(two.find('aa', '01')).not.toBeNull();
  });

  it('is bounded: what need not be listed makes room, the rest is refused whole', async () => {
    const ledger = openLedger(stateOf(await temporaryFolder()), 2);
    ledger.revoke([entry('01'), entry('02')]);
    ledger.revoke([entry('02', { keep: true })]);
    expect(() => ledger.revoke([entry('02', { reason: 4 }), entry('03')])).toThrow(LedgerFullError);
    expect([ledger.find('aa', '03'), ledger.find('aa', '02')?.reason]).toEqual([null, 0]);
    ledger.revoke([entry('03', { at: 6000, until: 9000 })]);
    expect([ledger.find('aa', '03') !== null, ledger.find('aa', '01')]).toEqual([true, null]);
  });
});
