import { describe, expect, test } from 'vitest';
import { isLoad, parseReport } from '../../../bench/load-plan.ts';

const load = { kind: 'hold', host: '10.0.0.1', name: 'a.test', port: 443, path: '/', pageBytes: 1, count: 1, atOnce: 1, timeMs: 1 };
const report = { done: 1, failed: 0, reasons: [], elapsedMs: 2.5, latenciesMs: { p50: 1, p99: 2 } };

describe('a load', () => {
  test('is one', () => expect(isLoad(load)).toBe(true));
  test.each([null, 7, [], { ...load, kind: 'flood' }, { ...load, count: '9' }, { ...load, count: -1 }, { ...load, host: 4 }])('is none: %j', (value) => {
    expect(isLoad(value)).toBe(false);
  });
});

describe('the report in a client\'s output', () => {
  test('stands on a line of its own, warnings before it', () => {
    expect(parseReport(`(node:1) Warning: x\n${JSON.stringify(report)}\n`)).toEqual(report);
  });
  test.each(['', 'nothing', '{"done":1}\n'])('is missing: %j', (output) => expect(parseReport(output)).toBeNull());
});
