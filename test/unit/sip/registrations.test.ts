// Registrations: states, expiry, removal, refreshes and bounds, with the gauge always equal to what is in force.

import { beforeEach, describe, expect, test } from 'vitest';
import type { SipRegistration } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { Registrations, secondsIn } from '../../../src/sip/registrations.ts';
import { headOf, limits, request, response } from './support.ts';

let list: SipRegistration[];
let gauge: number;
let forgotten: number;
let expiries: number[];

function registrations(bounds = limits): Registrations {
  return new Registrations(list, bounds, {
    changed: (step) => { gauge += step; },
    expires: (at) => expiries.push(at),
    forgotten: () => { forgotten += 1; },
  });
}

beforeEach(() => {
  [list, gauge, forgotten, expiries] = [[], 0, 0, []];
});

const ask = (watch: Registrations, more: readonly string[] = ['Contact: <sip:alice@10.0.0.1>'], callId = 'r1'): void => watch.request(headOf(request('REGISTER', more, '', callId)));
const reply = (watch: Registrations, status: number, more: readonly string[] = [], now = 0, callId = 'r1'): void => watch.response(headOf(response(status, 'REGISTER', more, '', callId)), now);

describe('how long', () => {
  test.each<[string, readonly string[], readonly string[], number]>([
    ['our binding\'s expires', ['Contact: <sip:alice@10.0.0.1>'], ['Contact: <sip:other@10.0.0.2>;expires=5, <sip:alice@10.0.0.1>;expires=700', 'Expires: 9'], 700],
    ['the only binding\'s, though rewritten', ['Contact: <sip:alice@10.0.0.1>'], ['Contact: <sip:alice@203.0.113.9>;expires=800'], 800],
    ['the Expires header', ['Contact: <sip:alice@10.0.0.1>'], ['Contact: <sip:alice@10.0.0.1>', 'Expires: 900'], 900],
    ['what was asked for in Contact', ['Contact: <sip:alice@10.0.0.1>;expires=60', 'Expires: 70'], [], 60],
    ['what was asked for', ['Contact: <sip:alice@10.0.0.1>', 'Expires: 70'], [], 70],
    ['an hour when nobody says', ['Contact: <sip:alice@10.0.0.1>'], [], 3600],
    ['at most 2^32-1', ['Contact: <sip:alice@10.0.0.1>'], ['Expires: 99999999999'], 4294967295],
  ])('%s', (_name, asked, granted, seconds) => {
    const watch = registrations();
    ask(watch, asked);
    reply(watch, 200, granted, 5000);
    expect(list).toMatchObject([{ state: 'registered', expiresSeconds: seconds }]);
    expect([gauge, expiries]).toEqual([1, [5000 + seconds * 1000]]);
  });
});

test('ends by expiry, and a refresh before it goes on', () => {
  const watch = registrations();
  ask(watch);
  reply(watch, 200, ['Expires: 10'], 0);
  expect(watch.sweep(9999)).toBe(10_000);
  ask(watch);
  expect(list[0]?.state).toBe('registered');
  reply(watch, 200, ['Expires: 10'], 9999);
  expect([watch.sweep(10_000), gauge, list.length]).toEqual([19_999, 1, 1]);
  expect([watch.sweep(19_999), gauge, list[0]?.state]).toEqual([null, 0, 'removed']);
});

test('a refresh that is challenged or refused leaves the registration in force until it expires', () => {
  const watch = registrations();
  ask(watch);
  reply(watch, 200, ['Expires: 10']);
  ask(watch);
  reply(watch, 401, ['WWW-Authenticate: Digest realm="x"']);
  expect([list[0]?.state, gauge, list[0]?.rounds]).toEqual(['registered', 1, 1]);
  reply(watch, 503);
  expect([list[0]?.state, gauge]).toEqual(['registered', 1]);
});

test.each<[string, readonly string[], readonly string[]]>([
  ['Expires: 0', ['Contact: <sip:alice@10.0.0.1>', 'Expires: 0'], []], ['expires=0', ['Contact: <sip:alice@10.0.0.1>;expires=0'], []], ['the registrar says 0', ['Contact: <sip:alice@10.0.0.1>'], ['Expires: 0']], ['Contact: *', ['Contact: *', 'Expires: 0'], []],
])('ends by %s', (_name, asked, answered) => {
  const watch = registrations();
  ask(watch);
  reply(watch, 200, ['Expires: 600']);
  ask(watch, asked);
  reply(watch, 200, answered);
  expect([gauge, list.map((row) => row.state)]).toEqual([0, ['removed']]);
});

test('401 rounds, offers, choice; then a refusal', () => {
  const watch = registrations();
  ask(watch);
  reply(watch, 100);
  expect(list[0]?.state).toBe('pending');
  reply(watch, 407, ['Proxy-Authenticate: NTLM a', 'Proxy-Authenticate: Kerberos b', 'Proxy-Authenticate: NTLM c']);
  ask(watch, ['Contact: <sip:alice@10.0.0.1>', 'Proxy-Authorization: Kerberos qop="auth", gssapi-data="c2VjcmV0"']);
  expect(list).toMatchObject([{ state: 'challenged', offered: ['NTLM', 'Kerberos'], scheme: 'Kerberos', rounds: 1 }]);
  reply(watch, 403);
  expect([list[0]?.state, gauge]).toEqual(['failed', 0]);
});

test('one client that registers anew with another Call-ID is one registration; two endpoints are two', () => {
  const watch = registrations();
  for (const callId of ['r1', 'r2']) {
    ask(watch, undefined, callId);
    reply(watch, 200, [], 0, callId);
  }
  expect([gauge, list.length]).toEqual([1, 1]);
  watch.request(headOf(request('REGISTER', ['Contact: <sip:alice@10.0.0.2>'], '', 'r3')));
  expect(list).toHaveLength(1);
});

test('answers to nothing and requests without an address change nothing', () => {
  const watch = registrations();
  reply(watch, 200);
  watch.request(headOf(Buffer.from('REGISTER sip:a SIP/2.0\r\nl: 0\r\n\r\n')));
  expect([list, gauge]).toEqual([[], 0]);
});

test('full: the oldest is forgotten and leaves the gauge; the list keeps what is in force', () => {
  const watch = registrations(limitsWith({ sipRegistrationsMax: 3, sessionDetailsMax: 2 }));
  for (let index = 0; index < 5; index += 1) {
    const from = headOf(Buffer.from(request('REGISTER', [`Contact: <sip:u@10.0.0.${index}>`], '', `r${index}`).toString().replace(';epid=0123456789', '')));
    watch.request(from);
    reply(watch, 200, [], 0, `r${index}`);
  }
  expect([gauge, forgotten, list.map((row) => row.contact)]).toEqual([3, 2, ['sip:u@10.0.0.3', 'sip:u@10.0.0.4']]);
  watch.close();
  expect(gauge).toBe(0);
});

test.each<[string | null, number | null]>([['0', 0], ['600', 600], [null, null], ['', null], ['-1', null], ['1e9', null], ['9'.repeat(13), null]])('seconds %j', (value, seconds) => expect(secondsIn(value)).toBe(seconds));

test('linphonec: a phone that learns its address from the challenge and changes its Contact is still one registration', () => {
  const watch = registrations();
  ask(watch, ['Contact: <sip:alice@10.0.0.1:40100;transport=tls>']);
  reply(watch, 401, ['WWW-Authenticate: Digest realm="x"']);
  ask(watch, ['Contact: <sip:alice@203.0.113.9:50200;transport=tls>', 'Authorization: Digest username="alice"']);
  reply(watch, 200, ['Expires: 600']);
  expect(list.map(({ state, contact }) => [state, contact])).toEqual([['registered', 'sip:alice@203.0.113.9:50200;transport=tls']]);
});
