import { describe, expect, it } from 'vitest';
import { createMeter } from '../../../src/sessions/metrics.ts';
import { renderMetrics } from '../../../src/sessions/metrics-text.ts';
import { compareIds } from '../../../src/sessions/ids.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { meterTable } from '../../../src/core/meters.ts';

// The console's modules are JavaScript for browsers; those that touch no page run here as they are.
interface Row {
  readonly id: string;
  readonly state?: string;
}
interface Store {
  readonly rows: readonly Row[];
  readonly total: number;
  readonly cursor: string | null;
  replace(page: { sessions: readonly Row[]; total: number; cursor: string | null }): void;
  append(page: { sessions: readonly Row[]; total: number; cursor: string | null }): void;
  apply(changed: readonly Row[], gone: readonly string[], anchorId?: string | null): number;
  find(id: string): Row | null;
  indexOf(id: string): number;
}
type Series = readonly { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
const load = async (name: string): Promise<Record<string, unknown>> => (await import(`../../../src/admin/console/${name}.js`)) as Record<string, unknown>;
const storeModule = await load('store');
const SessionStore = storeModule['SessionStore'] as new () => Store;
const compareNewest = storeModule['compareNewest'] as (left: string, right: string) => number;
const rowsMax = storeModule['rowsMax'] as number;
const metricsModule = await load('metrics-text');
const parseMetrics = metricsModule['parseMetrics'] as (text: string) => Series;
const sumBy = metricsModule['sumBy'] as (series: Series, name: string, label?: string | null) => Record<string, number>;
const historyModule = await load('history');
const MetricsHistory = historyModule['MetricsHistory'] as new () => { times: number[]; lines: Record<string, Record<string, (number | null)[]>>; add(series: Series, seconds: number): void };
const chartRows = historyModule['chartRows'] as readonly { metric: string | null; parts?: Record<string, string> }[];
const readingsMax = historyModule['readingsMax'] as number;
const format = await load('format') as Record<'bytesText' | 'spanText', (value: number) => string>;

const id = (number: number, worker = '1'): string => `${worker}-${(1_700_000_000_000 + number).toString(36).padStart(8, '0')}000`;
const row = (number: number, state = 'active', worker = '1'): Row => ({ id: id(number, worker), state });
const ids = (store: Store): string[] => store.rows.map((one) => one.id);

describe('the rows of the table', () => {
  it('are ordered as the gateway orders them', () => {
    const all = Array.from({ length: 300 }, (_, index) => id((index * 7919) % 100, String(index % 3)));
    expect([...all].sort(compareNewest)).toEqual([...all].sort((left, right) => compareIds(right, left)));
  });

  it('take pages and changes in, each session once and newest first', () => {
    const store = new SessionStore();
    store.replace({ sessions: [9, 8, 7].map((number) => row(number)), total: 6, cursor: id(7) });
    store.apply([row(10), row(8, 'closed'), row(3)], []);
    expect(ids(store)).toEqual([10, 9, 8, 7].map((number) => id(number)));
    expect(store.find(id(8))?.state).toBe('closed');
    expect(store.total).toBe(7);
    store.append({ sessions: [7, 6, 5, 4].map((number) => row(number)), total: 7, cursor: null });
    expect(ids(store)).toEqual([10, 9, 8, 7, 6, 5, 4].map((number) => id(number)));
    store.apply([row(3), row(6, 'active', '2')], [id(9), id(99)]);
    expect(ids(store)).toEqual([id(10), id(8), id(7), id(6, '2'), id(6), id(5), id(4), id(3)]);
    for (const [index, one] of store.rows.entries()) expect(store.indexOf(one.id)).toBe(index);
    expect(store.indexOf(id(9))).toBe(-1);
  });

  it('tell by how much what is in sight was pushed down', () => {
    const store = new SessionStore();
    store.replace({ sessions: [9, 8, 7].map((number) => row(number)), total: 3, cursor: null });
    expect(store.apply([row(10), row(11), row(2)], [id(7)], id(9))).toBe(2);
    expect(store.apply([], [id(11)], id(9))).toBe(-1);
    expect(store.apply([row(12)], [])).toBe(0);
  });

  it('agree with a plain sort whatever happens', () => {
    const store = new SessionStore();
    const known = new Map<string, Row>();
    store.replace({ sessions: [], total: 0, cursor: null });
    let seed = 5;
    const random = (max: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * max);
    };
    for (let round = 0; round < 500; round += 1) {
      const changed = Array.from({ length: random(6) }, () => row(random(400), 'active', String(random(3))));
      const unique = [...new Map(changed.map((one) => [one.id, one])).values()];
      const gone = [...known.keys()].filter((one) => random(10) === 0 && !unique.some((other) => other.id === one));
      store.apply(unique, gone);
      for (const one of unique) known.set(one.id, one);
      for (const one of gone) known.delete(one);
      expect(ids(store)).toEqual([...known.keys()].sort(compareNewest));
      expect(store.total).toBe(known.size);
    }
  });

  it('are bounded, and what was let go can be fetched again', () => {
    const store = new SessionStore();
    store.replace({ sessions: Array.from({ length: rowsMax }, (_, index) => row(rowsMax - index)), total: rowsMax, cursor: null });
    store.apply([row(rowsMax + 1), row(rowsMax + 2)], []);
    expect(store.rows).toHaveLength(rowsMax);
    expect(store.cursor).toBe(store.rows.at(-1)?.id);
    expect(store.total).toBe(rowsMax + 2);
  });

  it('10,000 of them take a second\'s changes in a few milliseconds', () => {
    const store = new SessionStore();
    store.replace({ sessions: Array.from({ length: 10_000 }, (_, index) => row(10_000 - index)), total: 10_000, cursor: null });
    const started = performance.now();
    for (let round = 0; round < 20; round += 1) {
      store.apply([...Array.from({ length: 25 }, (_, index) => row(20_000 + round * 25 + index)), ...Array.from({ length: 1_000 }, (_, index) => row(index * 7 + 1, 'closed'))], []);
    }
    expect((performance.now() - started) / 20).toBeLessThan(40);
  });
});

describe('the charts\' figures', () => {
  const read = async (fill: (meter: ReturnType<typeof createMeter>['meter']) => void): Promise<Series> => {
    const meters = createMeter({ worker: '1', limits: limitsWith(), services: ['https'], processMetrics: true });
    fill(meters.meter);
    return parseMetrics((await renderMetrics([await meters.read()], undefined, null)).body);
  };

  it('are read from the real text of /metrics', async () => {
    const series = await read((meter) => {
      meter.add('sessions_active', ['https', 'sips'], 3);
      meter.add('sessions_active', ['https', 'ms-turn'], 2);
    });
    expect(sumBy(series, 'sallyport_sessions_active', 'protocol')).toEqual({ sips: 3, 'ms-turn': 2 });
    expect(sumBy(series, 'sallyport_sessions_active')).toEqual({ '': 5 });
    expect(Object.keys(sumBy(series, 'process_resident_memory_bytes', 'worker'))).toEqual(['1']);
    expect(parseMetrics('a{b="x\\"y\\\\z\\n"} 1\nbroken\n# c 1\nd NaN\n')).toEqual([{ name: 'a', labels: { b: 'x"y\\z\n' }, value: 1 }]);
  });

  it('every metric that a chart asks for exists', () => {
    for (const { metric, parts } of chartRows) {
      for (const name of [...(metric === null ? [] : [metric]), ...Object.values(parts ?? {})]) {
        expect(Object.keys(meterTable), name).toContain(name.replace(/^sallyport_/, '').replace(/_count$/, ''));
      }
    }
  });

  it('counters become rates, gauges stay, and a restart is no negative rate', async () => {
    const history = new MetricsHistory();
    const at = async (ended: number, active: number): Promise<Series> => read((meter) => {
      meter.add('sessions_total', ['https', 'sips', 'handoff', ''], ended);
      meter.add('sessions_active', ['https', 'sips'], active);
    });
    history.add(await at(10, 1), 100);
    history.add(await at(30, 2), 102);
    history.add(await at(4, 3), 104);
    expect(history.times).toEqual([102, 104]);
    expect(history.lines['ended']).toEqual({ sips: [10, 2] });
    expect(history.lines['active']).toEqual({ sips: [2, 3] });
    expect(history.lines['errors']).toEqual({});
  });

  it('are bounded, and lines of equal length', async () => {
    const history = new MetricsHistory();
    const one = await read((meter) => meter.add('sessions_active', ['https', 'sips'], 1));
    const other = await read((meter) => meter.add('sessions_active', ['https', 'tls'], 1));
    for (let second = 0; second < readingsMax + 50; second += 1) history.add(second < 20 ? one : other, second);
    expect(history.times).toHaveLength(readingsMax);
    expect(Object.keys(history.lines['active'] ?? {})).toEqual(['tls']);
    expect(history.lines['active']?.['tls']).toHaveLength(readingsMax);
  });
});

describe('figures in words', () => {
  it('bytes and spans', () => {
    expect([0, 1_023, 1_024, 150_000, 5_000_000_000].map((value) => format.bytesText(value))).toEqual(['0 B', '1023 B', '1.0 kB', '146 kB', '4.7 GB']);
    expect([-5, 12, 1_500, 65_000, 7_500_000, 100_000_000].map((value) => format.spanText(value))).toEqual(['0 ms', '12 ms', '1.5 s', '1 m 05 s', '2 h 05 m', '1 d 3 h']);
  });
});
