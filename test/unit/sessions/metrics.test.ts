import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { meterTable } from '../../../src/core/meters.ts';
import type { MeterName } from '../../../src/core/meters.ts';
import { protocolNames } from '../../../src/core/protocols.ts';
import { createMeter } from '../../../src/sessions/metrics.ts';
import type { MeterRegistry } from '../../../src/sessions/metrics.ts';
import { renderMetrics } from '../../../src/sessions/metrics-text.ts';

const registry = (services: readonly string[] = ['https', 'sip'], metricWordsMax = 32): MeterRegistry =>
  createMeter({ worker: '0', limits: limitsWith({ metricWordsMax }), services, processMetrics: false });

const text = async (...meters: readonly MeterRegistry[]): Promise<string> =>
  (await renderMetrics(await Promise.all(meters.map((one) => one.read())), undefined, null)).body;

const lines = (body: string, name: string): string[] => body.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

describe('the meter', () => {
  it('has every metric of the table, with its kind and help', async () => {
    const body = await text(registry());
    for (const [name, row] of Object.entries(meterTable)) {
      expect(body).toContain(`# TYPE sallyport_${name} ${row.kind}`);
      expect(body).toContain(`# HELP sallyport_${name} ${row.help}`);
    }
    expect(lines(body, 'sallyport_internal_errors_total')).toEqual(['sallyport_internal_errors_total 0']);
  });

  it('takes steps, settings and observations, and reads the same twice', async () => {
    const one = registry();
    one.meter.add('sessions_active', ['https', 'sips']);
    one.meter.add('sessions_active', ['https', 'sips'], 2);
    one.meter.add('sessions_active', ['https', 'sips'], -1);
    one.meter.add('internal_errors_total');
    one.meter.set('learned_bypasses', [], 7);
    one.meter.set('learned_bypasses', [], 5);
    one.meter.observe('handshake_seconds', ['client'], 0.003);
    for (let round = 0; round < 2; round += 1) {
      const body = await text(one);
      expect(lines(body, 'sallyport_sessions_active')).toEqual(['sallyport_sessions_active{service="https",protocol="sips"} 2']);
      expect(lines(body, 'sallyport_internal_errors_total')).toEqual(['sallyport_internal_errors_total 1']);
      expect(lines(body, 'sallyport_learned_bypasses')).toEqual(['sallyport_learned_bypasses 5']);
      expect(lines(body, 'sallyport_handshake_seconds_count')).toEqual(['sallyport_handshake_seconds_count{side="client"} 1']);
      expect(body).toContain('sallyport_handshake_seconds_bucket{le="0.0025",side="client"} 0');
      expect(body).toContain('sallyport_handshake_seconds_bucket{le="0.005",side="client"} 1');
    }
  });

  it('takes every word of core\'s tables as it is', async () => {
    const one = registry();
    for (const protocol of protocolNames) one.meter.add('session_bytes_total', [protocol, 'fromClient'], 1);
    const body = await text(one);
    for (const protocol of protocolNames) expect(body).toContain(`sallyport_session_bytes_total{protocol="${protocol}",direction="fromClient"} 1`);
    expect(body).not.toContain('other');
  });

  it('makes no series of words that are not known: they are other', async () => {
    const one = registry();
    for (let count = 0; count < 10_000; count += 1) {
      one.meter.add('sessions_total', [`svc${count}`, `proto${count}`, `act${count}`, `ERR${count}`]);
      one.meter.add('sip_messages_total', ['sips', 'request', `METHOD${count}`]);
      one.meter.observe('session_duration_seconds', [`proto${count}`], 1);
    }
    const body = await text(one);
    expect(lines(body, 'sallyport_sessions_total')).toEqual(['sallyport_sessions_total{service="other",protocol="other",action="other",error="other"} 10000']);
    expect(lines(body, 'sallyport_session_duration_seconds_count')).toEqual(['sallyport_session_duration_seconds_count{protocol="other"} 10000']);
    const methods = lines(body, 'sallyport_sip_messages_total');
    expect(methods).toHaveLength(33);
    expect(methods.at(-1)).toBe(`sallyport_sip_messages_total{protocol="sips",kind="request",name="other"} ${10_000 - 32}`);
  });

  it('names services of the config, and new ones after a reload', async () => {
    const one = registry(['https']);
    one.meter.add('sessions_active', ['sip', 'sips']);
    one.allowServices(['sip']);
    one.meter.add('sessions_active', ['sip', 'sips']);
    expect(lines(await text(one), 'sallyport_sessions_active')).toEqual([
      'sallyport_sessions_active{service="other",protocol="sips"} 1',
      'sallyport_sessions_active{service="sip",protocol="sips"} 1',
    ]);
  });

  it('a call that does not fit the metric is our own mistake', () => {
    const { meter } = registry();
    expect(() => meter.observe('internal_errors_total', [], 1)).toThrow(TypeError);
    expect(() => meter.add('handshake_seconds', ['client'])).toThrow(TypeError);
    expect(() => meter.set('sessions_total', [], 1)).toThrow(TypeError);
    expect(() => meter.add('nothing' as MeterName)).toThrow(TypeError);
  });

  it('histograms hold what prom-client\'s would', async () => {
    const seconds = Array.from({ length: 500 }, (_, index) => (index * 7919) % 1000 / 50);
    const ours = registry();
    for (const value of seconds) ours.meter.observe('handshake_seconds', ['upstream'], value);
    const bounds = [...(await text(ours)).matchAll(/sallyport_handshake_seconds_bucket\{le="([\d.]+)"/g)].map(([, bound]) => Number(bound));
    const theirs = new Histogram({ name: 'sallyport_handshake_seconds', help: meterTable.handshake_seconds.help, labelNames: ['side'], buckets: bounds, registers: [new Registry()] });
    for (const value of seconds) theirs.observe({ side: 'upstream' }, value);
    const expected = (await theirs.get()).values.map(({ metricName, labels, value }) => ({ metricName, labels, value }));
    const found = (await ours.read()).find(({ name }) => name === 'sallyport_handshake_seconds')?.values;
    expect(found).toEqual(expected);
  });

  it('shows the lag of the event loop without the tick by which it is measured', async () => {
    const one = createMeter({ worker: '7', limits: limitsWith(), services: [], processMetrics: true });
    const lagOf = async (name: string): Promise<number> => Number(new RegExp(`^nodejs_eventloop_lag_${name}_seconds\\{worker="7"\\} (\\S+)`, 'm').exec(await text(one))?.[1]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await lagOf('p50')).toBeLessThan(0.045);
    await new Promise((resolve) => setTimeout(resolve, 120));
    const until = performance.now() + 400;
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(await lagOf('max')).toBeGreaterThan(0.2);
  });

  it('counts fast enough to count every message', () => {
    const { meter } = registry();
    const labels = ['sips', 'request', 'REGISTER'];
    for (let count = 0; count < 20_000; count += 1) meter.add('sip_messages_total', labels);
    const started = performance.now();
    for (let count = 0; count < 200_000; count += 1) meter.add('sip_messages_total', labels);
    const eachMicroseconds = ((performance.now() - started) * 1000) / 200_000;
    expect(eachMicroseconds).toBeLessThan(2);
  });
});
