import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { createMeter } from '../../../src/sessions/metrics.ts';
import type { MeterRegistry } from '../../../src/sessions/metrics.ts';
import { renderMetrics } from '../../../src/sessions/metrics-text.ts';

function worker(name: string, sips: number, turn: number): MeterRegistry {
  const meters = createMeter({ worker: name, limits: limitsWith(), services: ['https'], processMetrics: true });
  meters.meter.add('sessions_active', ['https', 'sips'], sips);
  meters.meter.add('sessions_total', ['https', 'ms-turn', 'handoff', ''], turn);
  meters.meter.observe('session_duration_seconds', ['sips'], 2);
  meters.meter.set('crl_next_update_timestamp_seconds', ['abc'], 100 + sips);
  meters.meter.add('internal_errors_total', [], 0);
  return meters;
}

const read = async (meters: readonly MeterRegistry[]): Promise<Parameters<typeof renderMetrics>[0]> => Promise.all(meters.map((one) => one.read()));

describe('the text of /metrics', () => {
  it('adds workers up, and keeps their own metrics apart', async () => {
    const { body, contentType } = await renderMetrics(await read([worker('1', 3, 1), worker('2', 4, 2)]), undefined, null);
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(body).toContain('sallyport_sessions_active{service="https",protocol="sips"} 7\n');
    expect(body).toContain('sallyport_sessions_total{service="https",protocol="ms-turn",action="handoff",error=""} 3\n');
    expect(body).toContain('sallyport_session_duration_seconds_count{protocol="sips"} 2\n');
    expect(body).toContain('sallyport_crl_next_update_timestamp_seconds{issuer="abc"} 104\n');
    for (const name of ['process_cpu_seconds_total', 'process_start_time_seconds', 'nodejs_eventloop_lag_p99_seconds']) {
      for (const label of ['1', '2']) expect(body, name).toMatch(new RegExp(`^${name}\\{worker="${label}"\\} `, 'm'));
    }
  });

  it('keeps only the series of the protocols asked for', async () => {
    const { body } = await renderMetrics(await read([worker('1', 3, 1)]), undefined, ['ms-turn']);
    const series = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(series).toEqual(['sallyport_sessions_total{service="https",protocol="ms-turn",action="handoff",error=""} 1']);
    const both = await renderMetrics(await read([worker('1', 3, 1)]), undefined, ['ms-turn', 'sips']);
    expect(both.body).toContain('sallyport_sessions_active{service="https",protocol="sips"} 3');
    expect(both.body).not.toContain('process_');
  });

  it.each([
    ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1', true],
    ['application/openmetrics-text; version=1.0.0', true],
    ['text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1', false],
    ['application/openmetrics-text;q=0', false],
    ['*/*', false],
    ['text/html', false],
    ['', false],
  ])('Accept: %s', async (accept, open) => {
    const { contentType, body } = await renderMetrics(await read([worker('1', 1, 1)]), accept, null);
    expect(contentType.startsWith('application/openmetrics-text')).toBe(open);
    expect(body.endsWith('# EOF\n')).toBe(open);
  });

  it('writes counters in OpenMetrics with one _total, on the series and not on the family', async () => {
    const { body } = await renderMetrics(await read([worker('1', 1, 1)]), 'application/openmetrics-text', null);
    expect(body).toContain('# TYPE sallyport_sessions counter\n');
    expect(body).toContain('sallyport_sessions_total{service="https",protocol="ms-turn",action="handoff",error=""} 1\n');
    expect(body).not.toContain('_total_total');
    expect(body).not.toMatch(/# TYPE \S+_total /);
  });
});
