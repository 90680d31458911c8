import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Issuer } from '../../../src/certs/authority.ts';
import { readCrl, revokedCount } from '../../../src/certs/crl.ts';
import { openCrlStore } from '../../../src/certs/crl-store.ts';
import type { CrlStore, CrlStoreOptions } from '../../../src/certs/crl-store.ts';
import { openLedger } from '../../../src/certs/ledger.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { countingMeter, makeIssuer, temporaryFolder } from './helpers.ts';

const hour = 3_600_000;
const day = 24 * hour;

async function bench(more: Partial<CrlStoreOptions> = {}): Promise<{ options: CrlStoreOptions; issuer: Issuer; clock: { now: number }; counts: Record<string, number> }> {
  const [stateDir, issuer, { meter, counts }] = [await temporaryFolder(), await makeIssuer(), countingMeter()];
  const clock = { now: Date.now() };
  const options = { stateDir, issuers: [issuer], days: 30, primary: true, ledger: await openLedger(stateDir, 10), meter, log: silentLogger, clock: () => clock.now, ...more };
  return { options, issuer, clock, counts };
}
const number = (store: CrlStore, issuer: Issuer): number => store.current(issuer)?.number ?? -1;

describe('the primary process', () => {
  it('signs at start: dated back, valid for the days set, shown in the metrics', async () => {
    const { options, issuer, clock, counts } = await bench();
    const current = (await openCrlStore(options)).current(issuer);
    expect(current?.thisUpdate).toBeLessThanOrEqual(clock.now - hour);
    expect(current?.nextUpdate).toBe(Math.floor((clock.now + 30 * day) / 1000) * 1000);
    expect(counts['crl_next_update_timestamp_seconds{default}']).toBe((current?.nextUpdate ?? 0) / 1000);
  });

  it('uses a higher number after every restart, also when the clock went back or the number file is lost or broken', async () => {
    const { options, issuer, clock } = await bench();
    const first = number(await openCrlStore(options), issuer);
    const second = number(await openCrlStore(options), issuer);
    expect(second).toBeGreaterThan(first);
    clock.now -= 400 * day;
    const third = number(await openCrlStore(options), issuer);
    expect(third).toBeGreaterThan(second);
    const numberFile = join(options.stateDir, 'crl', `${issuer.keyIdHex}.number`);
    await writeFile(numberFile, 'garbage');
    const fourth = number(await openCrlStore(options), issuer);
    expect(fourth).toBeGreaterThan(third);
    await writeFile(numberFile, '1');
    expect(number(await openCrlStore(options), issuer)).toBeGreaterThan(fourth);
  });

  it('signs anew after a day, not before, and when it is told to', async () => {
    const { options, issuer, clock } = await bench();
    const store = await openCrlStore(options);
    const first = number(store, issuer);
    clock.now += day - 1000;
    await store.refresh();
    expect(number(store, issuer)).toBe(first);
    clock.now += 1000;
    await store.refresh();
    const second = number(store, issuer);
    expect(second).toBeGreaterThan(first);
    await Promise.all([store.refresh(true), store.refresh(true)]);
    expect(number(store, issuer)).toBeGreaterThanOrEqual(second + 2);
  });

  it('lists what the ledger lists', async () => {
    const { options, issuer, clock } = await bench();
    const store = await openCrlStore(options);
    await options.ledger.revoke([{ serial: '4a01', issuer: issuer.keyIdHex, at: clock.now, until: clock.now + 2 * day, reason: 1, keep: false, identity: null }]);
    await store.refresh(true);
    expect(revokedCount(store.current(issuer)?.der ?? Buffer.alloc(0))).toBe(1);
    clock.now += 3 * day;
    await store.refresh();
    expect(revokedCount(store.current(issuer)?.der ?? Buffer.alloc(0))).toBe(0);
  });

  it('goes on serving the old list when signing fails, also across a restart', async () => {
    const { options, issuer, clock } = await bench();
    const first = (await openCrlStore(options)).current(issuer)?.der;
    const broken: Issuer = { ...issuer, sign: () => { throw new Error('no key'); } };
    const store = await openCrlStore({ ...options, issuers: [broken] });
    expect(store.current(issuer)?.der).toEqual(first);
    clock.now += day;
    await expect(store.refresh(true)).resolves.toBeUndefined();
    expect(store.current(issuer)?.der).toEqual(first);
  });

  it('signs nothing for an issuer that may not', async () => {
    const { options, issuer } = await bench();
    const store = await openCrlStore({ ...options, issuers: [{ ...issuer, signsCrls: false }] });
    expect(store.current(issuer)).toBeNull();
  });
});

describe('other processes', () => {
  it('read what the primary signs, and sign nothing themselves', async () => {
    const { options, issuer } = await bench();
    const worker = await openCrlStore({ ...options, primary: false });
    expect(worker.current(issuer)).toBeNull();
    const primary = await openCrlStore(options);
    await worker.refresh();
    expect(worker.current(issuer)?.der).toEqual(primary.current(issuer)?.der);
    await worker.refresh(true);
    expect(number(worker, issuer)).toBe(number(primary, issuer));
    await primary.refresh(true);
    await worker.refresh();
    expect(number(worker, issuer)).toBe(number(primary, issuer));
    const file = join(options.stateDir, 'crl', `${issuer.keyIdHex}.crl`);
    expect(readCrl(await readFile(file))?.number).toBe(number(primary, issuer));
    await writeFile(file, 'broken');
    await worker.refresh();
    expect(number(worker, issuer)).toBe(number(primary, issuer));
  });
});
