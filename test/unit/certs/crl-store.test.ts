import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import type { Issuer } from '../../../src/certs/authority.ts';
import { readCrl, revokedCount } from '../../../src/certs/crl.ts';
import { lastList, openCrlStore } from '../../../src/certs/crl-store.ts';
import type { CrlStore, CrlStoreOptions } from '../../../src/certs/crl-store.ts';
import { openLedger } from '../../../src/certs/ledger.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { countingMeter, makeIssuer, stateOf, temporaryFolder } from './helpers.ts';

const hour = 3_600_000;
const day = 24 * hour;

async function bench(more: Partial<CrlStoreOptions> = {}): Promise<{ options: CrlStoreOptions; issuer: Issuer; clock: { now: number }; counts: Record<string, number>; state: DatabaseSync }> {
  const [state, issuer, { meter, counts }] = [stateOf(await temporaryFolder()), await makeIssuer(), countingMeter()];
  const clock = { now: Date.now() };
  const options = { state, issuers: [issuer], days: 30, primary: true, ledger: openLedger(state, 10), meter, log: silentLogger, clock: () => clock.now, ...more };
  return { options, issuer, clock, counts, state };
}
const numberIn = (state: DatabaseSync): number => Number(state.prepare('SELECT number FROM crl').get()?.['number']);
const number = (store: CrlStore, issuer: Issuer): number => store.current(issuer)?.number ?? -1;

describe('the primary process', () => {
  it('signs at start: dated back, valid for the days set, shown in the metrics', async () => {
    const { options, issuer, clock, counts } = await bench();
    const current = openCrlStore(options).current(issuer);
    expect(current?.thisUpdate).toBeLessThanOrEqual(clock.now - hour);
    expect(current?.nextUpdate).toBe(Math.floor((clock.now + 30 * day) / 1000) * 1000);
    expect(counts['crl_next_update_timestamp_seconds{default}']).toBe((current?.nextUpdate ?? 0) / 1000);
  });

  it('uses a higher number after every restart, also when the clock went back or the list is lost or broken', async () => {
    const { options, issuer, clock, state } = await bench();
    const first = number(openCrlStore(options), issuer);
    const second = number(openCrlStore(options), issuer);
    expect(second).toBeGreaterThan(first);
    clock.now -= 400 * day;
    const third = number(openCrlStore(options), issuer);
    expect(third).toBeGreaterThan(second);
    state.exec('UPDATE crl SET der = NULL');
    const fourth = number(openCrlStore(options), issuer);
    expect(fourth).toBeGreaterThan(third);
    state.exec("UPDATE crl SET der = x'00'");
    expect(number(openCrlStore(options), issuer)).toBeGreaterThan(fourth);
  });

  it('spends no number on a list that could not be signed or written, and serves none that is not on the disk', async () => {
    const { options, issuer, state } = await bench();
    const store = openCrlStore(options);
    const first = number(store, issuer);
    openCrlStore({ ...options, issuers: [{ ...issuer, sign: () => { throw new Error('no key'); } }] });
    expect(numberIn(state)).toBe(first);
    state.exec('PRAGMA query_only = 1');
    store.refresh(true);
    expect(number(store, issuer)).toBe(first);
    state.exec('PRAGMA query_only = 0');
    store.refresh(true);
    expect([number(store, issuer), numberIn(state)]).toEqual([first + 1, first + 1]);
  });

  it('a list that was due and could not be signed stays due until it is, also one of the start; told once', async () => {
    const faults: unknown[] = [];
    const { options, issuer, state } = await bench({ log: { ...silentLogger, error: (fault: unknown) => void faults.push(fault) } });
    const first = number(openCrlStore(options), issuer);
    for (const atStart of [true, false]) {
      const before = numberIn(state);
      faults.length = 0;
      if (atStart) state.exec('PRAGMA query_only = 1');
      const store = openCrlStore(options);
      state.exec('PRAGMA query_only = 1');
      if (!atStart) store.refresh(true);
      const held = number(store, issuer);
      for (let tick = 0; tick < 3; tick += 1) store.refresh();
      expect([store.isDue(issuer), number(store, issuer), faults.length]).toEqual([true, held, 1]);
      state.exec('PRAGMA query_only = 0');
      store.refresh();
      expect(store.isDue(issuer)).toBe(false);
      expect(number(store, issuer)).toBe(held + 1);
      store.refresh();
      expect(number(store, issuer)).toBe(held + 1);
      expect(numberIn(state)).toBeGreaterThan(before);
    }
    expect(first).toBeGreaterThan(0);
  });

  it('signs anew after a day, not before, and when it is told to', async () => {
    const { options, issuer, clock } = await bench();
    const store = openCrlStore(options);
    const first = number(store, issuer);
    clock.now += day - 1000;
    store.refresh();
    expect(number(store, issuer)).toBe(first);
    clock.now += 1000;
    store.refresh();
    const second = number(store, issuer);
    expect(second).toBeGreaterThan(first);
    store.refresh(true);
    store.refresh(true);
    expect(number(store, issuer)).toBeGreaterThanOrEqual(second + 2);
  });

  it('lists what the ledger lists', async () => {
    const { options, issuer, clock } = await bench();
    const store = openCrlStore(options);
    options.ledger.revoke([{ serial: '4a01', issuer: issuer.keyIdHex, at: clock.now, until: clock.now + 2 * day, reason: 1, keep: false, identity: null }]);
    store.refresh(true);
    expect(revokedCount(store.current(issuer)?.der ?? Buffer.alloc(0))).toBe(1);
    clock.now += 3 * day;
    store.refresh();
    expect(revokedCount(store.current(issuer)?.der ?? Buffer.alloc(0))).toBe(0);
  });

  it('goes on serving the old list when signing fails, also across a restart', async () => {
    const { options, issuer, clock } = await bench();
    const first = openCrlStore(options).current(issuer)?.der;
    const broken: Issuer = { ...issuer, sign: () => { throw new Error('no key'); } };
    const store = openCrlStore({ ...options, issuers: [broken] });
    expect(store.current(issuer)?.der).toEqual(first);
    clock.now += day;
    expect(() => store.refresh(true)).not.toThrow();
    expect(store.current(issuer)?.der).toEqual(first);
  });

  it('signs nothing for an issuer that may not', async () => {
    const { options, issuer } = await bench();
    const store = openCrlStore({ ...options, issuers: [{ ...issuer, signsCrls: false }] });
    expect(store.current(issuer)).toBeNull();
  });
});

describe('other processes', () => {
  it('read what the primary signs, and sign nothing themselves', async () => {
    const { options, issuer, state } = await bench();
    const worker = openCrlStore({ ...options, primary: false });
    expect(worker.current(issuer)).toBeNull();
    const primary = openCrlStore(options);
    worker.refresh();
    expect(worker.current(issuer)?.der).toEqual(primary.current(issuer)?.der);
    worker.refresh(true);
    expect(number(worker, issuer)).toBe(number(primary, issuer));
    primary.refresh(true);
    worker.refresh();
    expect(number(worker, issuer)).toBe(number(primary, issuer));
    expect(readCrl(lastList(state, issuer) ?? Buffer.alloc(0))?.number).toBe(number(primary, issuer));
    state.exec("UPDATE crl SET number = number + 1, der = x'00'");
    worker.refresh();
    expect(number(worker, issuer)).toBe(number(primary, issuer));
  });
});
