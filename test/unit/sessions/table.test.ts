import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../../src/core/errors.ts';
import { init, live, startMs, testTable } from './support.ts';

describe('the table of sessions', () => {
  it('shows a session from its opening, and keeps sessions_active right over changes of protocol', () => {
    const { table, meter } = testTable();
    const session = table.open(init({ chain: ['http-explicit'], user: 'alice' }), live());
    expect(session).toMatchObject({ state: 'active', protocol: 'pending', chain: ['http-explicit'], user: 'alice', startedAt: startMs, endedAt: null });
    expect(table.find(session.id)).toBe(session);
    expect(meter.sums.get('sessions_active{https,pending}')).toBe(1);

    session.protocol = 'sips';
    table.protocolChanged(session);
    table.protocolChanged(session);
    expect(meter.sums.get('sessions_active{https,pending}')).toBe(0);
    expect(meter.sums.get('sessions_active{https,sips}')).toBe(1);

    session.protocol = 'unknown';
    table.close(session, null);
    expect(meter.sums.get('sessions_active{https,sips}')).toBe(0);
    expect(meter.sums.get('sessions_active{https,unknown}')).toBeUndefined();
    expect(table.active).toBe(0);
  });

  it('shows sessions of processes that are gone among its own, in order, without counting or logging them', () => {
    const gone = testTable('w1', { sessionsClosedMax: 4 });
    const sessions = Array.from({ length: 3 }, () => {
      gone.now += 10;
      const session = gone.table.open(init(), live());
      gone.table.close(session, null);
      return session;
    });
    const test = testTable('w0', { sessionsClosedMax: 4 });
    test.now = gone.now + 10;
    test.table.restore(structuredClone(sessions.slice(1)));
    const [alive, own] = [test.table.open(init(), live()), test.table.open(init(), live())];
    test.table.restore(structuredClone(sessions));
    expect([...test.table.entries()].map(({ session: { id } }) => id)).toEqual([...sessions, alive, own].map(({ id }) => id));
    expect([test.table.active, test.logged.length, test.meter.sums.get('sessions_total{https,pending,,}')]).toEqual([2, 0, undefined]);
    expect(test.table.kill(sessions[0]?.id ?? '')).toBe(false);
    // The ring goes on where it was: the oldest goes first.
    test.table.close(own, null);
    expect([...test.table.entries()]).toHaveLength(5);
    const last = test.table.open(init(), live());
    test.table.close(last, null);
    expect([...test.table.entries()].map(({ session: { id } }) => id)).toEqual([sessions[1], sessions[2], alive, own, last].map((session) => session?.id));
  });

  it('restores no more than it keeps: the newest', () => {
    const gone = testTable('w1');
    const sessions = Array.from({ length: 5 }, () => {
      const session = gone.table.open(init(), live());
      gone.table.close(session, null);
      return session;
    });
    for (const sessionsClosedMax of [0, 2]) {
      const { table } = testTable('w0', { sessionsClosedMax });
      table.restore(sessions);
      expect([...table.entries()].map(({ session }) => session)).toEqual(sessions.slice(5 - sessionsClosedMax));
    }
  });

  it('closes with final bytes, meters, the access log, and only once', () => {
    const test = testTable();
    const { table, meter, logged } = test;
    const sockets = live();
    const session = table.open(init(), sockets);
    session.protocol = 'ms-turn';
    session.action = 'handoff';
    table.protocolChanged(session);
    test.now += 2_500;
    sockets.counts = { fromClient: 10, toClient: 20, fromUpstream: 30, toUpstream: 0 };
    table.close(session, 'IDLE_TIMEOUT', 'after 60 minutes');
    sockets.counts = { fromClient: 99, toClient: 99, fromUpstream: 99, toUpstream: 99 };
    table.close(session, null);

    expect(session).toMatchObject({ state: 'errored', error: 'IDLE_TIMEOUT', errorDetail: 'after 60 minutes', endedAt: startMs + 2_500 });
    expect(session.bytes).toEqual({ fromClient: 10, toClient: 20, fromUpstream: 30, toUpstream: 0 });
    expect(meter.sums.get('sessions_total{https,ms-turn,handoff,IDLE_TIMEOUT}')).toBe(1);
    expect(meter.sums.get('session_bytes_total{ms-turn,fromUpstream}')).toBe(30);
    expect(meter.sums.has('session_bytes_total{ms-turn,toUpstream}')).toBe(false);
    expect(meter.sums.get('session_duration_seconds{ms-turn}')).toBe(2.5);
    expect(logged).toEqual([session]);
    expect(table.find(session.id)).toBe(session);
  });

  it('says closed where no error happened, and counts it with an empty error', () => {
    const { table, meter } = testTable();
    const session = table.open(init(), live());
    table.close(session, null);
    expect(session).toMatchObject({ state: 'closed', error: null, errorDetail: null });
    expect(meter.sums.get('sessions_total{https,pending,,}')).toBe(1);
  });

  it('takes every error code', () => {
    const { table } = testTable();
    for (const code of errorCodes) {
      const session = table.open(init(), live());
      table.close(session, code);
      expect(table.find(session.id)).toMatchObject({ state: 'errored', error: code });
    }
  });

  it('pulls the bytes of a live session when it is looked at', () => {
    const { table } = testTable();
    const sockets = live();
    const session = table.open(init(), sockets);
    sockets.counts.fromClient = 77;
    expect(table.find(session.id)?.bytes.fromClient).toBe(77);
    sockets.counts.fromClient = 78;
    expect(session.bytes.fromClient).toBe(77);
  });

  it('kills live sessions only', () => {
    const { table } = testTable();
    const sockets = live();
    const session = table.open(init(), sockets);
    expect(table.kill(session.id)).toBe(true);
    expect(sockets.kills).toBe(1);
    table.close(session, 'KILLED_BY_OPERATOR');
    expect(table.kill(session.id)).toBe(false);
    expect(table.kill('0-nothing')).toBe(false);
  });

  it('keeps the last closed sessions and every live one', () => {
    const { table } = testTable('0', { sessionsClosedMax: 3 });
    const held = table.open(init(), live());
    const closed = Array.from({ length: 10 }, () => {
      const session = table.open(init(), live());
      table.close(session, null);
      return session.id;
    });
    expect([...table.entries()].map((entry) => entry.session.id)).toEqual([held.id, ...closed.slice(7)]);
  });

  it('keeps no closed session when told so', () => {
    const { table } = testTable('0', { sessionsClosedMax: 0 });
    table.close(table.open(init(), live()), null);
    expect([...table.entries()]).toEqual([]);
  });

  it('costs a held session a few KiB at most', () => {
    const { table } = testTable();
    const sockets = live();
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    for (let count = 0; count < 20_000; count += 1) table.open(init({ client: { ip: `10.0.${count >> 8}.${count & 255}`, port: count } }), sockets);
    globalThis.gc?.();
    const each = (process.memoryUsage().heapUsed - before) / 20_000;
    expect(table.active).toBe(20_000);
    expect(each).toBeLessThan(3 * 1024);
  });
});
