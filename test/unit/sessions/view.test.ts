import { describe, expect, it } from 'vitest';
import type { SessionsView } from '../../../src/core/sessions-view.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { protocolNames } from '../../../src/core/protocols.ts';
import { FilterError } from '../../../src/sessions/filter.ts';
import { compareIds } from '../../../src/sessions/ids.ts';
import { localView, mergedView } from '../../../src/sessions/view.ts';
import { init, live, testTable } from './support.ts';
import type { TestTable } from './support.ts';

const limits = limitsWith({ workerAnswerMs: 100, streamPollMs: 50 });

function filled(worker: string, count: number): TestTable {
  const test = testTable(worker, { streamPollMs: 50 });
  for (let index = 0; index < count; index += 1) {
    test.now += 7;
    const session = test.table.open(init(), live());
    session.protocol = protocolNames[index % protocolNames.length] ?? 'pending';
    test.table.protocolChanged(session);
    if (index % 3 === 0) test.table.close(session, index % 2 === 0 ? null : 'IDLE_TIMEOUT');
  }
  return test;
}

async function allPages(view: SessionsView, filter: string, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await view.list(filter, limit, cursor);
    ids.push(...page.sessions.map((session) => session.id));
    cursor = page.cursor;
  } while (cursor !== null);
  return ids;
}

describe('the view over one table', () => {
  it('pages newest first, each session once, with a total that does not depend on the page', async () => {
    const { table } = filled('0', 50);
    const view = localView(table);
    const expected = [...table.entries()].map((entry) => entry.session.id).reverse();
    for (const limit of [1, 7, 50, 1000]) expect(await allPages(view, '', limit)).toEqual(expected);
    expect(await view.list('', 7, null)).toMatchObject({ total: 50, truncated: false });
    expect((await view.list('', 50, null)).cursor).toBeNull();
  });

  it('keeps its place while new sessions come in', async () => {
    const test = filled('0', 20);
    const view = localView(test.table);
    const first = await view.list('', 10, null);
    test.table.open(init(), live());
    const second = await view.list('', 10, first.cursor);
    expect(new Set([...first.sessions, ...second.sessions].map((session) => session.id)).size).toBe(20);
  });

  it('filters every protocol to exactly its sessions', async () => {
    const { table } = filled('0', 60);
    const view = localView(table);
    for (const name of protocolNames.filter((word) => word !== 'https')) {
      const page = await view.list(`protocol=${name}`, 1000, null);
      const expected = [...table.entries()].filter((entry) => entry.session.protocol === name).length;
      expect(page.sessions.map((session) => session.protocol)).toEqual(Array.from({ length: expected }, () => name));
      expect(page.total).toBe(expected);
    }
  });

  it('rejects a wrong filter or cursor with FilterError', async () => {
    const view = localView(testTable().table);
    await expect(view.list('protocol=x', 1, null)).rejects.toBeInstanceOf(FilterError);
    await expect(view.list('', 1, 'not a cursor')).rejects.toBeInstanceOf(FilterError);
    await expect(view.changes('x=y', 1, null)).rejects.toBeInstanceOf(FilterError);
  });

  it('sums up what is in the table', async () => {
    const { table } = filled('0', 30);
    const summary = await localView(table).summary();
    expect(summary).toMatchObject({ active: 20, closed: 10, byState: { active: 20, closed: 5, errored: 5 }, byError: { IDLE_TIMEOUT: 5 }, truncated: false });
    expect(Object.values(summary.byProtocol).reduce((sum, count) => sum + count, 0)).toBe(30);
    expect(summary.rates.sessions).toBeCloseTo(10 / 60, 5);
  });
});

describe('changes', () => {
  it('tell of openings, bytes, facts and closings since a mark, and nothing twice', async () => {
    const test = testTable('0', { streamPollMs: 50 });
    const view = localView(test.table);
    const sockets = live();
    const old = test.table.open(init(), live());
    let { mark } = await view.changes('', 10, null);
    const next = async (filter = ''): Promise<{ changed: string[]; gone: readonly string[] }> => {
      test.now += 1_000;
      const changes = await view.changes(filter, 10, mark);
      mark = changes.mark;
      return { changed: changes.changed.map((session) => session.id), gone: changes.gone };
    };
    await next();
    expect(await next()).toEqual({ changed: [], gone: [] });
    const fresh = test.table.open(init(), sockets);
    expect(await next()).toEqual({ changed: [fresh.id], gone: [] });
    expect(await next()).toEqual({ changed: [], gone: [] });
    sockets.counts.toClient += 5;
    expect(await next()).toEqual({ changed: [fresh.id], gone: [] });
    fresh.sni = 'a.example';
    expect(await next()).toEqual({ changed: [fresh.id], gone: [] });
    test.table.close(old, null);
    expect(await next('state=active')).toEqual({ changed: [], gone: [old.id] });
    sockets.counts.toClient += 5;
    expect(await next('state=closed')).toEqual({ changed: [], gone: [] });
    test.table.close(fresh, 'IDLE_TIMEOUT');
    expect(await next('state=errored')).toEqual({ changed: [fresh.id], gone: [] });
  });

  it('come in parts when there are many, and none is lost', async () => {
    const test = testTable('0', { streamPollMs: 50 });
    const view = localView(test.table);
    let { mark } = await view.changes('', 10, null);
    const opened = Array.from({ length: 35 }, () => test.table.open(init(), live()).id);
    const seen = new Set<string>();
    let rounds = 0;
    for (let more = true; more; rounds += 1) {
      test.now += 1_000;
      const changes = await view.changes('', 10, mark);
      for (const session of changes.changed) seen.add(session.id);
      ({ mark, more } = changes);
    }
    expect([...seen].sort()).toEqual(opened);
    expect(rounds).toBeGreaterThan(3);
  });

  it('of a table that began after the mark are all of it', async () => {
    const before = testTable('0');
    before.table.open(init(), live());
    const { mark } = await localView(before.table).changes('', 10, null);
    const after = testTable('0');
    after.now += 60_000;
    const restarted = filled('0', 3);
    const changes = await localView(restarted.table).changes('', 10, mark.replace(/\.[^:]*:/, '.earlier:'));
    expect(changes.changed).toHaveLength(3);
  });
});

describe('the view over several tables', () => {
  it('is newest first across workers, and pages through all of them', async () => {
    const tests = ['1', '2', '3'].map((worker) => filled(worker, 23));
    const view = mergedView(() => tests.map((test) => localView(test.table)), limits);
    const ids = await allPages(view, '', 10);
    expect(ids).toHaveLength(69);
    expect(new Set(ids).size).toBe(69);
    expect([...ids].sort((left, right) => compareIds(right, left))).toEqual(ids);
    expect((await view.list('protocol=sips', 100, null)).total).toBe(tests.length * 2);
  });

  it('finds and kills a session wherever it lives', async () => {
    const tests = [filled('1', 2), filled('2', 2)];
    const sockets = live();
    const session = tests[1]?.table.open(init(), sockets);
    const view = mergedView(() => tests.map((test) => localView(test.table)), limits);
    expect(await view.one(session?.id ?? '')).toBe(session);
    expect(await view.kill(session?.id ?? '')).toBe(true);
    expect(sockets.kills).toBe(1);
    expect(await view.kill('9-zzzzzzzzzzz')).toBe(false);
    expect(await view.one('9-zzzzzzzzzzz')).toBeNull();
  });

  it('adds summaries and joins changes', async () => {
    const tests = [filled('1', 30), filled('2', 30)];
    const view = mergedView(() => tests.map((test) => localView(test.table)), limits);
    expect(await view.summary()).toMatchObject({ active: 40, closed: 20, byState: { active: 40 }, truncated: false });
    const { mark } = await view.changes('', 10, null);
    for (const test of tests) {
      test.now += 1_000;
      test.table.open(init(), live());
    }
    const changes = await view.changes('', 10, mark);
    expect(changes.changed.map((session) => session.id[0]).sort()).toEqual(['1', '2']);
    for (const test of tests) test.now += 1_000;
    expect((await view.changes('', 10, changes.mark)).changed).toEqual([]);
  });

  it('leaves out a part that does not answer in time, says so, and forgets nothing of it', async () => {
    const tests = [filled('1', 3), filled('2', 3)];
    const [first, second] = tests.map((test) => localView(test.table));
    if (first === undefined || second === undefined) throw new Error('two views');
    let deaf = false;
    const never = <T>(): Promise<T> => new Promise<T>(() => undefined);
    const sometimes: SessionsView = {
      list: (...args) => (deaf ? never() : second.list(...args)),
      one: (...args) => (deaf ? never() : second.one(...args)),
      kill: (...args) => (deaf ? never() : second.kill(...args)),
      summary: () => (deaf ? never() : second.summary()),
      changes: (...args) => (deaf ? Promise.reject(new Error('gone')) : second.changes(...args)),
    };
    const view = mergedView(() => [first, sometimes], limits);
    const { mark } = await view.changes('', 10, null);
    deaf = true;
    const started = performance.now();
    expect(await view.list('', 10, null)).toMatchObject({ total: 3, truncated: true });
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(await view.summary()).toMatchObject({ active: 2, truncated: true });
    const fresh = tests[1]?.table.open(init(), live());
    const during = await view.changes('', 10, mark);
    deaf = false;
    for (const test of tests) test.now += 1_000;
    const after = await view.changes('', 10, during.mark);
    expect(after.changed.map((session) => session.id)).toContain(fresh?.id);
    expect(await view.list('', 10, null)).toMatchObject({ total: 7, truncated: false });
  });

  it('rejects a wrong filter even with no part to ask', async () => {
    await expect(mergedView(() => [], limits).list('protocol=x', 1, null)).rejects.toBeInstanceOf(FilterError);
    expect(await mergedView(() => [], limits).list('', 1, null)).toEqual({ sessions: [], total: 0, truncated: false, cursor: null });
  });
});
