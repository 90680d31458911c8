// The Meter of core on prom-client: every row of core/meters.ts, with label words held to closed sets. Counting is one
// map step per label and an addition; prom-client is touched only when somebody scrapes.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { errorCodes } from '../core/errors.ts';
import { actions } from '../core/session.ts';
import { policyStages } from '../core/verdicts.ts';
import { limitNames } from '../core/limits.ts';
import type { Limits } from '../core/limits.ts';
import { meterTable } from '../core/meters.ts';
import type { Meter, MeterName } from '../core/meters.ts';
import { protocolNames } from '../core/protocols.ts';
import type { MetricData } from './metrics-text.ts';
import { readRegistry } from './metrics-text.ts';

export interface MeterOptions {
  /** Value of the label `worker` on the process's own metrics. */
  readonly worker: string;
  readonly limits: Limits;
  /** Names of the configured services: the only values of the label `service` besides `other`. */
  readonly services: readonly string[];
  /** Whether the process's own metrics (CPU, memory, event loop) are kept as well. */
  readonly processMetrics: boolean;
}

/** A meter and what it has counted. */
export interface MeterRegistry {
  readonly meter: Meter;
  /** After a reload: services that may now be named. */
  allowServices(names: readonly string[]): void;
  /** The figures as plain data, for renderMetrics here or in another process. */
  read(): Promise<MetricData[]>;
}

export const metricPrefix = 'sallyport_';

/** Bounds in seconds. Handshakes and requests: 1 ms to 15 s; sessions: 0.1 s to 8 h. */
const shortBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const longBuckets = [0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 28_800];

/** Words that a label may hold, from core's tables; labels not named here are bounded by metricWordsMax. */
const closedLabels: Readonly<Record<string, readonly string[]>> = {
  protocol: protocolNames,
  error: ['', ...errorCodes],
  stage: policyStages,
  limit: limitNames,
  action: ['', ...actions, 'allow', 'intercept-on-exception', 'mirror-untrusted', 'accept'],
  side: ['client', 'upstream'],
  direction: ['fromClient', 'toClient', 'fromUpstream', 'toUpstream'],
  kind: ['request', 'response'],
  key: ['rsa', 'ec'],
  result: ['hit', 'miss', 'wait'],
};

/** The word that stands for all that a label does not know. */
const otherWord = 'other';

/** Makes the meter of this process. */
export function createMeter(options: MeterOptions): MeterRegistry {
  const registry = new Registry();
  const labels = new LabelWords(options.limits.metricWordsMax);
  labels.allow('service', options.services);
  const families = new Map<MeterName, Family>();
  for (const name of meterNames()) families.set(name, makeFamily(name, registry, labels));
  if (options.processMetrics) {
    collectDefaultMetrics({ register: registry, labels: { worker: options.worker }, eventLoopMonitoringPrecision: eventLoopTickMs });
  }
  const family = (name: MeterName): Family => {
    const found = families.get(name);
    if (found === undefined) throw new TypeError(`no metric ${name}`);
    return found;
  };
  return {
    meter: {
      add: (name, values = noLabels, step = 1) => family(name).add(values, step),
      set: (name, values, value) => family(name).set(values, value),
      observe: (name, values, seconds) => family(name).observe(values, seconds),
    },
    allowServices: (names) => labels.allow('service', names),
    read: async () => {
      for (const found of families.values()) found.flush();
      const histograms = [...families.values()].flatMap((found) => found.histogram() ?? []);
      return [...histograms, ...(await readRegistry(registry)).map(withoutTick)];
    },
  };
}

/** How often the event loop's delay is looked at: a finer clock would wake an idle process more often than it is worth. */
const eventLoopTickMs = 50;

/** Node 24's monitorEventLoopDelay counts its own tick as delay, and prom-client shows it so; what is left is the lag. */
function withoutTick(family: MetricData): MetricData {
  if (!family.name.startsWith('nodejs_eventloop_lag_') || family.name === 'nodejs_eventloop_lag_seconds') return family;
  return { ...family, values: family.values.map((one) => ({ ...one, value: Math.max(0, one.value - eventLoopTickMs / 1000) })) };
}

const noLabels: readonly string[] = [];

function meterNames(): readonly MeterName[] {
  return Object.keys(meterTable).filter((name): name is MeterName => Object.hasOwn(meterTable, name));
}

/** Which words each label may hold: closed sets, or the first metricWordsMax it meets. */
class LabelWords {
  readonly #closed = new Map<string, Set<string>>(Object.entries(closedLabels).map(([label, set]) => [label, new Set(set)]));
  readonly #met = new Map<string, Set<string>>();
  readonly #wordsMax: number;

  constructor(wordsMax: number) {
    this.#wordsMax = wordsMax;
  }

  allow(label: string, names: readonly string[]): void {
    const set = this.#closed.get(label) ?? new Set();
    for (const name of names) if (set.size < this.#wordsMax) set.add(name);
    this.#closed.set(label, set);
  }

  word(metric: MeterName, label: string, word: string): string {
    const closed = this.#closed.get(label);
    if (closed !== undefined) return closed.has(word) ? word : otherWord;
    const key = `${metric} ${label}`;
    const met = this.#met.get(key) ?? new Set();
    this.#met.set(key, met);
    if (!met.has(word) && met.size >= this.#wordsMax) return otherWord;
    met.add(word);
    return word;
  }
}

/** One metric of the table; a call that does not fit its kind is our own mistake. */
interface Family {
  add(values: readonly string[], step: number): void;
  set(values: readonly string[], value: number): void;
  observe(values: readonly string[], seconds: number): void;
  /** Hands what was counted to prom-client. */
  flush(): void;
  /** The figures of a histogram, null for other kinds. */
  histogram(): MetricData | null;
}

interface Cell {
  value: number;
  /** What prom-client has been told already. */
  told: number;
  readonly labels: Record<string, string>;
}

function makeFamily(name: MeterName, registry: Registry, words: LabelWords): Family {
  const row = meterTable[name];
  const labelNames: string[] = [...row.labels];
  const common = { name: `${metricPrefix}${name}`, help: row.help, labelNames, registers: [registry] };
  const canonical = (label: string, word: string): string => words.word(name, label, word);
  const wrong = (): never => {
    throw new TypeError(`${name} is a ${row.kind}`);
  };
  if (row.kind === 'histogram') return histogramFamily(common.name, row.help, name === 'session_duration_seconds' ? longBuckets : shortBuckets, labelNames, canonical, wrong);
  const cells = new Series(labelNames, canonical, (labels): Cell => ({ value: 0, told: 0, labels }));
  if (labelNames.length === 0) cells.at(noLabels);
  const add = (values: readonly string[], step: number): void => {
    cells.at(values).value += step;
  };
  const flushTo = (tell: (labels: Record<string, string>, step: number) => void): void => {
    for (const cell of cells.all) {
      tell(cell.labels, cell.value - cell.told);
      cell.told = cell.value;
    }
  };
  if (row.kind === 'counter') {
    const counter = new Counter(common);
    return { add, set: wrong, observe: wrong, flush: () => flushTo((labels, step) => counter.inc(labels, step)), histogram: () => null };
  }
  const gauge = new Gauge({ ...common, aggregator: sameInAllWorkers.includes(name) ? 'max' : 'sum' });
  const set = (values: readonly string[], value: number): void => {
    cells.at(values).value = value;
  };
  return { add, set, observe: wrong, flush: () => flushTo((labels, step) => gauge.inc(labels, step)), histogram: () => null };
}

interface HistogramCell {
  readonly labels: Record<string, string>;
  /** Observations by bucket, not cumulative; the last is beyond all bounds. */
  readonly counts: number[];
  sum: number;
}

/** Histograms are kept here: prom-client 15.1 takes 1.5 us for each observation, a tenth of what a request may cost. */
function histogramFamily(
  name: string, help: string, bounds: readonly number[], labelNames: readonly string[], canonical: (label: string, word: string) => string, wrong: () => never,
): Family {
  const cells = new Series(labelNames, canonical, (labels): HistogramCell => ({ labels, counts: Array.from({ length: bounds.length + 1 }, () => 0), sum: 0 }));
  if (labelNames.length === 0) cells.at(noLabels);
  const observe = (values: readonly string[], seconds: number): void => {
    const cell = cells.at(values);
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket += 1;
    cell.counts[bucket] = (cell.counts[bucket] ?? 0) + 1;
    cell.sum += seconds;
  };
  return { add: wrong, set: wrong, observe, flush: () => undefined, histogram: () => ({ name, help, type: 'histogram', aggregator: 'sum', values: cells.all.flatMap((cell) => histogramValues(name, bounds, cell)) }) };
}

/** Cumulative buckets, sum and count, in the form that prom-client adds up and writes. */
function histogramValues(name: string, bounds: readonly number[], { labels, counts, sum }: HistogramCell): MetricData['values'] {
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return { metricName: `${name}_bucket`, labels: { le: bounds[index] ?? '+Inf', ...labels }, value: total };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
}

/** Gauges of which every worker may show the same figure. */
const sameInAllWorkers: readonly MeterName[] = ['crl_next_update_timestamp_seconds', 'learned_bypasses'];

interface SeriesNode<T> {
  readonly labels: Record<string, string>;
  readonly next: Map<string, SeriesNode<T>>;
  leaf: T | null;
}

/** What is kept for each combination of label values, found through one map for each label, without building a key. */
class Series<T> {
  /** Everything made so far. */
  readonly all: T[] = [];
  readonly #names: readonly string[];
  readonly #canonical: (label: string, word: string) => string;
  readonly #make: (labels: Record<string, string>) => T;
  readonly #root: SeriesNode<T> = { labels: {}, next: new Map(), leaf: null };

  constructor(names: readonly string[], canonical: (label: string, word: string) => string, make: (labels: Record<string, string>) => T) {
    this.#names = names;
    this.#canonical = canonical;
    this.#make = make;
  }

  at(values: readonly string[]): T {
    let node = this.#root;
    for (let index = 0; index < this.#names.length; index += 1) {
      const word = values[index] ?? '';
      node = node.next.get(word) ?? this.#grow(node, index, word);
    }
    if (node.leaf === null) {
      node.leaf = this.#make(node.labels);
      this.all.push(node.leaf);
    }
    return node.leaf;
  }

  /** A word that is not known leads to the branch of `other` and leaves no trace of its own. */
  #grow(node: SeriesNode<T>, index: number, word: string): SeriesNode<T> {
    const label = this.#names[index] ?? '';
    const known = this.#canonical(label, word);
    const found = node.next.get(known);
    if (found !== undefined) return found;
    const fresh: SeriesNode<T> = { labels: { ...node.labels, [label]: known }, next: new Map(), leaf: null };
    node.next.set(known, fresh);
    return fresh;
  }
}
