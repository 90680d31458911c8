// Rates of messages: over sipRateMs by method and status, the busiest second of each side, and nothing asked of an idle connection.

import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import type { SipDetails } from '../../../src/core/session.ts';
import { MessageRates } from '../../../src/sip/rates.ts';

function started(): { details: SipDetails; rates: MessageRates; due: number[]; say(from: 'client' | 'upstream', name: string, now: number, times?: number): void } {
  const details: SipDetails = { registrations: [], dialogs: [], methods: {}, statuses: {}, keepAlives: 0, opaque: null };
  const due: number[] = [];
  const rates = new MessageRates(details, limitsWith({ sipRateMs: 10_000 }), (at) => due.push(at));
  return {
    details, rates, due,
    say(from, name, now, times = 1) {
      for (let time = 0; time < times; time += 1) {
        rates.arrived(from, now);
        const table = from === 'client' ? details.methods : details.statuses;
        table[name] = (table[name] ?? 0) + 1;
      }
    },
  };
}

test('by method and status, made when they are due, gone when nothing comes', () => {
  const { details, rates, due, say } = started();
  say('client', 'INVITE', 1_000, 40);
  say('upstream', '200', 1_500, 3);
  expect(due).toEqual([11_000]);
  expect([rates.sweep(5_000), details.rates]).toEqual([11_000, undefined]);
  expect([rates.sweep(11_000), details.rates]).toEqual([21_000, { methods: { INVITE: 4 }, statuses: { 200: 0.3 } }]);
  say('client', 'BYE', 12_000);
  expect([rates.sweep(21_000), details.rates]).toEqual([31_000, { methods: { BYE: 0.1 }, statuses: {} }]);
  expect([rates.sweep(31_000), details.rates]).toEqual([null, undefined]);
  expect(rates.sweep(41_000)).toBeNull();
  say('client', 'BYE', 50_000);
  expect(due).toEqual([11_000, 60_000]);
  expect([rates.sweep(60_000), details.rates?.methods]).toEqual([70_000, { BYE: 0.1 }]);
  rates.end();
  expect([rates.sweep(70_000), details.rates]).toEqual([null, undefined]);
});

test('the busiest second of each side; a message knows its place in its second', () => {
  const { details, rates } = started();
  expect([0, 500, 999].map((now) => rates.arrived('client', 1_000 + now))).toEqual([1, 2, 3]);
  expect([rates.arrived('client', 2_000), rates.arrived('upstream', 2_000), rates.arrived('client', 2_100)]).toEqual([1, 1, 2]);
  expect(details.busiestSecond).toEqual({ fromClient: 3, fromUpstream: 1 });
  // A clock that went back begins a second anew.
  expect(rates.arrived('client', 50)).toBe(1);
});

test('a clock that went back while rates were due makes them all the same', () => {
  const { details, rates, say } = started();
  say('client', 'OPTIONS', 100_000, 2);
  expect([rates.sweep(40_000), details.rates]).toEqual([50_000, { methods: { OPTIONS: 2 }, statuses: {} }]);
});
