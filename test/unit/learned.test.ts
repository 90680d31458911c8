import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtinConfig } from '../../src/config/builtin.ts';
import type { Config } from '../../src/config/schema.ts';
import { limitsWith } from '../../src/core/limits.ts';
import type { LimitName } from '../../src/core/limits.ts';
import { silentLogger } from '../../src/core/log.ts';
import type { Logger } from '../../src/core/log.ts';
import { openState } from '../../src/core/state.ts';
import { batched, openLearned, readBatch, readPlace } from '../../src/learned.ts';
import type { LearnedService } from '../../src/learned.ts';

const place = { client: '10.0.0.1', name: 'www.example', ja4: null };
let state = '';
let gauge = -1;

beforeEach(() => { state = mkdtempSync(join(tmpdir(), 'learned-')); });
afterEach(() => rmSync(state, { recursive: true }));

function open(changes: Partial<Config['learned']> = {}, limits: Partial<Record<LimitName, number>> = {}, log: Logger = silentLogger): LearnedService {
  const config: Config = { ...builtinConfig({ root: false }), state, limits: limitsWith(limits), learned: { enabled: true, failures: 2, within: 60_000, ttl: 60_000, ...changes } };
  return openLearned({ config, log, clock: Date.now, meter: { add() {}, observe() {}, set: (name, _labels, value) => { if (name === 'learned_bypasses') gauge = value; } } });
}

describe('the book in the state folder', () => {
  it('is there again after a restart, for its owner alone', async () => {
    const first = open();
    first.tell('refused', place);
    first.tell('refused', place);
    expect(gauge).toBe(1);
    first.close();
    gauge = -1;
    const second = open();
    expect(await second.control.list()).toMatchObject({ failures: 2, bypasses: [{ key: '10.0.0.1 www.example -', ...place, refusals: 2 }] });
    expect(gauge).toBe(1);
    expect(await second.control.forget('10.0.0.1 www.example -')).toBe(1);
    expect(gauge).toBe(0);
    second.close();
    const third = open();
    expect(await third.control.list()).toMatchObject({ bypasses: [] });
    third.close();
  });

  it('is saved a moment after each change: no orderly end is needed, and what has run out is not taken up again', async () => {
    const first = open({ ttl: 2_000 });
    first.tell('refused', place);
    first.tell('refused', place);
    const rows = (): number => {
      const other = openState(state, { durable: false, limits: limitsWith({ stateRecordWaitMs: 1_000 }) });
      const { count } = other.prepare('SELECT count(*) AS count FROM learned').get() ?? {};
      other.close();
      return Number(count);
    };
    await expect.poll(rows, { timeout: 1_900 }).toBe(1);
    first.close();
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    const second = open({ ttl: 2_000 });
    expect(await second.control.list()).toMatchObject({ bypasses: [] });
    second.close();
    expect(rows()).toBe(0);
  });

  it('what cannot be saved is told once, held no longer than the book holds it, and saved when it can be', async () => {
    const told: unknown[] = [];
    const service = open({}, { stateSaveMs: 10, learnedMax: 3 }, { ...silentLogger, warn: (fault: unknown) => void told.push(fault) });
    const other = openState(state, { durable: false, limits: limitsWith() });
    const rows = (): unknown[] => other.prepare('SELECT name FROM learned ORDER BY name').all().map(({ name }) => name);
    const learn = (name: string): void => { for (let count = 0; count < 2; count += 1) service.tell('refused', { ...place, name }); };
    learn('a');
    await expect.poll(rows).toEqual(['a']);
    other.exec("CREATE TRIGGER full BEFORE INSERT ON learned BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    other.exec("CREATE TRIGGER full_too BEFORE DELETE ON learned BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    for (let index = 0; index < 100; index += 1) learn(`b${String(index)}`);
    await expect.poll(() => told.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toHaveLength(1);
    other.exec('CREATE TABLE dropped (key TEXT)');
    other.exec('DROP TRIGGER full; DROP TRIGGER full_too; CREATE TRIGGER note BEFORE INSERT ON learned BEGIN INSERT INTO dropped VALUES (new.key); END');
    await expect.poll(rows).toEqual(['b97', 'b98', 'b99']);
    expect(other.prepare('SELECT count(*) AS count FROM dropped').get()).toMatchObject({ count: 3 });
    other.close();
    service.close();
  });

  it('evidence that is forgotten is never written', async () => {
    const told: unknown[] = [];
    const service = open({}, { stateSaveMs: 10, learnedMax: 3 }, { ...silentLogger, warn: (fault: unknown) => void told.push(fault) });
    const other = openState(state, { durable: false, limits: limitsWith() });
    // Whoever would write now fails.
    other.exec('DROP TABLE learned');
    for (let index = 0; index < 100; index += 1) service.tell('refused', { ...place, name: `c${String(index)}` });
    service.tell('accepted', { ...place, name: 'c99' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toEqual([]);
    service.tell('refused', { ...place, name: 'c98' });
    await expect.poll(() => told.length).toBe(1);
    other.close();
    service.close();
  });

  it('listeners hear what is there, then what changes', async () => {
    const service = open();
    service.tell('refused', place);
    const heard: [string, number | null][] = [];
    const listener = (key: string, until: number | null): void => void heard.push([key, until]);
    service.listen(listener);
    service.tell('accepted', place);
    service.unlisten(listener);
    service.tell('refused', place);
    expect(heard).toEqual([['10.0.0.1 www.example -', 0], ['10.0.0.1 www.example -', null]]);
    service.close();
  });

  it('new settings count from the next refusal on', async () => {
    const service = open({ failures: 100 });
    service.follow(() => ({ ...builtinConfig({ root: false }), learned: { enabled: true, failures: 1, within: 60_000, ttl: 60_000 } }));
    service.tell('refused', place);
    expect(await service.control.list()).toMatchObject({ failures: 1, bypasses: [{ refusals: 1 }] });
    service.close();
  });
});

describe('batches', () => {
  it('go one at a time, and what did not arrive goes again, the newest word last', async () => {
    const sent: unknown[] = [];
    let fails = true;
    const told = batched(async (changes) => {
      if (fails) throw new Error('gone');
      sent.push(...changes);
    }, 10, () => true);
    told('a', 1);
    told('b', 2);
    told('a', 3);
    fails = false;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(new Map(readBatch(sent))).toEqual(new Map([['a', 3], ['b', 2]]));
  });

  it('what comes from another process is checked', () => {
    expect(readBatch([['a', 1], ['b', null], ['c'], [1, 2], 'x', null])).toEqual([['a', 1], ['b', null]]);
    expect(readBatch('nothing')).toEqual([]);
    expect(readPlace({ ...place, more: 1 })).toEqual(place);
    expect([readPlace(null), readPlace({ client: 1, name: 'x' }), readPlace('x')]).toEqual([null, null, null]);
  });
});
