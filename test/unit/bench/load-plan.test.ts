import { describe, expect, test } from 'vitest';
import { isEchoLoad, isPageLoad, parseReport } from '../../../bench/load-plan.ts';

const load = { kind: 'hold', host: '10.0.0.1', name: 'a.test', port: 443, path: '/', from: ['10.0.0.2'], firstNumber: 0, pageBytes: 1, count: 1, atOnce: 1, timeMs: 1 };
const echo = { kind: 'echo', host: '10.0.0.1', name: 'a.test', port: 443, path: '/', from: ['10.0.0.2'], messageBytes: 64, atOnce: 1, timeMs: 1 };
const report = { done: 1, failed: 0, reasons: [], elapsedMs: 2.5, latenciesMs: { p50: 1, p99: 2 }, resumed: { offered: 0, client: 0, upstream: 0 } };

describe('a load', () => {
  test('is one', () => expect([isPageLoad(load), isEchoLoad(load), isPageLoad(echo), isEchoLoad(echo)]).toEqual([true, false, false, true]));
  test.each([null, 7, [], { ...load, kind: 'flood' }, { ...load, count: '9' }, { ...load, count: -1 }, { ...load, host: 4 }, { ...load, from: [] }, { ...load, from: [7] }, { ...echo, messageBytes: null }])('is none: %j', (value) => {
    expect(isPageLoad(value) || isEchoLoad(value)).toBe(false);
  });
});

describe('the report in a client\'s output', () => {
  test('stands on a line of its own, warnings before it', () => {
    expect(parseReport(`(node:1) Warning: x\n${JSON.stringify(report)}\n`)).toEqual(report);
  });
  test.each(['', 'nothing', '{"done":1}\n'])('is missing: %j', (output) => expect(parseReport(output)).toBeNull());
});
