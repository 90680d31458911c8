// What the tests of sessions and admin share: a table with a clock they can move, a meter that remembers, live sessions.

import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import type { ByteCounts, Session } from '../../../src/core/session.ts';
import type { Meter } from '../../../src/core/meters.ts';
import { SessionTable } from '../../../src/sessions/table.ts';
import type { LiveSession, SessionInit, SessionLog } from '../../../src/sessions/table.ts';

export interface RecordingMeter extends Meter {
  /** Sums by `name{labels}`. */
  readonly sums: Map<string, number>;
}

export function recordingMeter(): RecordingMeter {
  const sums = new Map<string, number>();
  const key = (name: string, labels: readonly string[]): string => `${name}{${labels.join(',')}}`;
  return {
    sums,
    add: (name, labels = [], step = 1) => void sums.set(key(name, labels), (sums.get(key(name, labels)) ?? 0) + step),
    set: (name, labels, value) => void sums.set(key(name, labels), value),
    observe: (name, labels, seconds) => void sums.set(key(name, labels), (sums.get(key(name, labels)) ?? 0) + seconds),
  };
}

export interface TestTable {
  readonly table: SessionTable;
  readonly meter: RecordingMeter;
  readonly logged: Session[];
  /** Milliseconds since the epoch; tests move it. */
  now: number;
}

export const startMs = Date.UTC(2026, 0, 2, 3, 4, 5);

export function testTable(worker = '0', limits: Partial<Record<LimitName, number>> = {}): TestTable {
  const meter = recordingMeter();
  const logged: Session[] = [];
  const accessLog: SessionLog = { write: (session) => void logged.push(structuredClone(session)) };
  const state = { now: startMs };
  const table = new SessionTable({ worker, limits: limitsWith(limits), meter, accessLog, clock: () => state.now });
  return {
    table, meter, logged,
    get now() {
      return state.now;
    },
    set now(value) {
      state.now = value;
    },
  };
}

export interface TestLive extends LiveSession {
  counts: ByteCounts;
  kills: number;
}

export function live(counts: Partial<ByteCounts> = {}): TestLive {
  return {
    counts: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0, ...counts },
    kills: 0,
    bytes() {
      return this.counts;
    },
    kill() {
      this.kills += 1;
    },
  };
}

export function init(overrides: Partial<SessionInit> = {}): SessionInit {
  return { service: 'https', client: { ip: '10.1.2.3', port: 40_000 }, destination: { ip: '192.0.2.7', port: 443, host: null }, ...overrides };
}
