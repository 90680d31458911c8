import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Logger } from '../../../src/core/log.ts';
import { openState } from '../../../src/core/state.ts';
import { SessionHistory } from '../../../src/sessions/history.ts';
import { live, testTable } from './support.ts';

let folder = '';
const opened: SessionHistory[] = [];
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'sallyport-history-')); });
afterEach(() => {
  for (const history of opened.splice(0)) history.close();
  rmSync(folder, { recursive: true });
});

const open = (worker = 'w1', limits: Partial<Record<LimitName, number>> = {}, log: Logger = silentLogger): SessionHistory => {
  const history = new SessionHistory({ folder, worker, limits: limitsWith({ stateSaveMs: 20, ...limits }), log });
  opened.push(history);
  return history;
};
/** Sessions that have ended, of a worker. */
const ended = (worker: string, count: number): Parameters<SessionHistory['write']>[0][] => {
  const at = testTable(worker);
  return Array.from({ length: count }, (_, port) => {
    const session = at.table.open({ service: 'https', client: { ip: '10.0.0.1', port }, destination: { ip: '10.0.0.2', port: 443, host: null } }, live());
    session.protocol = 'sips';
    at.table.close(session, 'IDLE_TIMEOUT', 'quiet');
    return session;
  });
};

describe('closed sessions', () => {
  it('are there again after a restart, as they were, oldest first', () => {
    const sessions = ended('w1', 5);
    const first = open();
    for (const session of sessions) first.write(session);
    first.close();
    expect(open().read()).toEqual(sessions);
  });

  it('are saved a moment after they ended: no orderly end is needed', async () => {
    const sessions = ended('w1', 1);
    open('w1', { stateSaveMax: 1 }).write(sessions[0]!);
    const other = open('w2');
    await expect.poll(() => other.read()).toEqual(sessions);
  });

  it('of one worker can be asked for', () => {
    const [one, two] = [open('w1'), open('w2')];
    const sessions = [ended('w1', 3), ended('w2', 2)] as const;
    for (const session of sessions[0]) one.write(session);
    for (const session of sessions[1]) two.write(session);
    one.close();
    two.close();
    const reader = open();
    expect(reader.read('w2')).toEqual(sessions[1]);
    expect(reader.read()).toHaveLength(5);
  });

  it('are bounded, in memory and in the database: the newest stay', () => {
    const sessions = ended('w1', 60);
    const history = open('w1', { sessionsClosedMax: 20, stateSaveMax: 7 });
    for (const session of sessions.slice(0, 15)) history.write(session);
    history.close();
    const again = open('w1', { sessionsClosedMax: 20, stateSaveMax: 7 });
    for (const session of sessions.slice(15)) again.write(session);
    again.close();
    expect(open('w1', { sessionsClosedMax: 20 }).read()).toEqual(sessions.slice(40));
    const none = open('w1', { sessionsClosedMax: 0 });
    none.write(sessions[0]!);
    none.close();
    expect(open('w1', { sessionsClosedMax: 1 }).read()).toEqual(sessions.slice(59));
  });

  it('wait while another process writes; a fault is told once, and writing goes on when it is over', async () => {
    const faults: unknown[] = [];
    const log: Logger = { ...silentLogger, error: (fault: unknown) => void faults.push(fault) };
    const sessions = ended('w1', 2);
    const history = open('w1', { stateRecordWaitMs: 0 }, log);
    const other = openState(folder, { durable: false, limits: limitsWith() });
    other.exec('BEGIN IMMEDIATE');
    history.write(sessions[0]!);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(faults).toEqual([]);
    other.exec('ROLLBACK');
    await expect.poll(() => history.read()).toHaveLength(1);
    other.exec('ALTER TABLE closed_sessions RENAME TO elsewhere');
    history.write(sessions[1]!);
    await expect.poll(() => faults.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(faults).toHaveLength(1);
    other.exec('ALTER TABLE elsewhere RENAME TO closed_sessions');
    await expect.poll(() => history.read()).toEqual(sessions);
    other.close();
  });

  it('that lack what is shown of them are left out', () => {
    const state = openState(folder, { durable: false, limits: limitsWith() });
    for (const text of ['{"id":"w1-1"}', 'null', '[]', '5', '{"id":', '']) state.prepare('INSERT INTO closed_sessions (worker, session) VALUES (?, ?)').run('w1', text);
    state.close();
    expect(open().read()).toEqual([]);
  });

  it('that cannot be read are missed, and told, and end nothing: a worker\'s exit is no time to throw', () => {
    const faults: unknown[] = [];
    const history = open('w1', {}, { ...silentLogger, error: (fault: unknown) => void faults.push(fault) });
    const other = openState(folder, { durable: false, limits: limitsWith() });
    other.exec('DROP TABLE closed_sessions');
    other.close();
    expect([history.read('w2'), history.read()]).toEqual([[], []]);
    expect(faults).toHaveLength(2);
  });

  it('written after the end are let go without a word', () => {
    const history = open();
    history.close();
    expect(() => history.write(ended('w1', 1)[0]!)).not.toThrow();
  });
});
