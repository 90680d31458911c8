import { expect, test } from 'vitest';
import { meterTable, noMeter } from '../../../src/core/meters.ts';
import type { MeterName } from '../../../src/core/meters.ts';

const names = Object.keys(meterTable) as MeterName[];

test.each(names)('%s: named and told as its kind asks', (name) => {
  const { kind, labels, help } = meterTable[name];
  expect(name).toMatch(/^[a-z][a-z0-9_]*[a-z0-9]$/);
  expect(name.endsWith('_total')).toBe(kind === 'counter');
  if (kind === 'histogram') expect(name).toMatch(/_(seconds|bytes)$/);
  expect(help).toMatch(/^[A-Z].*\.$/);
  expect(new Set(labels).size).toBe(labels.length);
});

test('no label could hold a name, address or URL', () => {
  const labels = new Set(names.flatMap((name) => [...meterTable[name].labels]));
  for (const label of ['sni', 'host', 'client', 'destination', 'ip', 'address', 'url', 'path', 'user']) expect(labels.has(label)).toBe(false);
});

test('the meter of tools counts nothing and breaks nothing', () => {
  noMeter.add('crl_requests_total');
  noMeter.set('learned_bypasses', [], 1);
  noMeter.observe('detect_seconds', [], 1);
});
