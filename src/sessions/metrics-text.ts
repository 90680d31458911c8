// The text of /metrics: figures of one or more processes added up and written in the Prometheus or OpenMetrics format,
// whole or only the series of some protocols. It changes no figure.

import { AggregatorRegistry } from 'prom-client';
import type { Registry } from 'prom-client';
import type { ProtocolName } from '../core/protocols.ts';
import { askOver, ChannelError, serveCalls } from './channel.ts';
import type { MessageChannel } from './channel.ts';
import type { Limits } from '../core/limits.ts';

/** One metric family as plain data. */
export interface MetricData {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly MetricValue[];
}

interface MetricValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Of a histogram's parts: the family's name with _bucket, _sum or _count. */
  readonly metricName?: string;
}

/** A rendered answer to a scrape. */
export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** The figures of a prom-client registry, without those of prom-client's own that say little or are named against the rules. */
export async function readRegistry(registry: Registry): Promise<MetricData[]> {
  const families: unknown = await registry.getMetricsAsJSON();
  return metricsOf(families).filter(({ name }) => !leftOut.test(name))
    .map((family) => ({ ...family, values: family.values.filter(({ value }) => Number.isFinite(value)) }));
}

/** prom-client 15.1: gauges named as counters (promtool refuses them), lists of handle classes, spaces of the heap. */
const leftOut = /^nodejs_(active_|heap_space_|eventloop_lag_(min|stddev)_)/;

/**
 * Adds up the figures of `parts` (one for each process). `protocols` keeps only series with one of these names in their
 * label `protocol`. `accept` is the scraper's header: OpenMetrics is written for those that prefer it.
 */
export async function renderMetrics(
  parts: readonly (readonly MetricData[])[], accept: string | undefined, protocols: readonly ProtocolName[] | null,
): Promise<MetricsText> {
  const open = prefersOpenMetrics(accept);
  const wanted = protocols === null ? null : new Set<string>(protocols);
  const prepared = parts.map((families) => families.flatMap((family) => prepare(family, open, wanted)));
  const registry = AggregatorRegistry.aggregate(prepared);
  if (open) registry.setContentType(openMetricsType);
  return { contentType: registry.contentType, body: await registry.metrics() };
}

/** Lets another process read this one's figures. */
export function serveMetrics(read: () => Promise<MetricData[]>, channel: MessageChannel): void {
  serveCalls(channel, 'metrics', { read });
}

/** Reads the figures that the other side serves; rejects with ChannelError when no answer comes. */
export function remoteMetrics(channel: MessageChannel, limits: Limits): () => Promise<MetricData[]> {
  const ask = askOver(channel, 'metrics', limits);
  return async () => metricsOf(await ask('read'));
}

function prepare(family: MetricData, open: boolean, wanted: ReadonlySet<string> | null): MetricData[] {
  const values = wanted === null ? family.values : family.values.filter(({ labels }) => typeof labels['protocol'] === 'string' && wanted.has(labels['protocol']));
  if (wanted !== null && values.length === 0) return [];
  // A process's own metrics carry its worker's name and never meet; prom-client would leave some of them out.
  const aggregator = family.aggregator === 'omit' ? 'first' : family.aggregator;
  // prom-client 15.1 puts `_total` back on counters in OpenMetrics, but takes it off only in registries of its own making.
  const name = open && family.type === 'counter' ? family.name.replace(/_total$/, '') : family.name;
  return [{ ...family, name, aggregator, values }];
}

/** Whether the Accept header ranks OpenMetrics above plain text (RFC 9110 section 12.5.1). */
function prefersOpenMetrics(accept: string | undefined): boolean {
  let open = 0;
  let plain = 0;
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    const quality = weight === undefined ? 1 : Number(weight.slice(2)) || 0;
    if (type === 'application/openmetrics-text') open = Math.max(open, quality);
    if (type === 'text/plain') plain = Math.max(plain, quality);
  }
  return open > 0 && open >= plain;
}

function metricsOf(families: unknown): MetricData[] {
  if (!Array.isArray(families)) throw new ChannelError('the other side answered something else');
  return families.filter(isMetricData);
}

function isMetricData(value: unknown): value is MetricData {
  return typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string'
    && 'type' in value && 'values' in value && Array.isArray(value.values);
}
