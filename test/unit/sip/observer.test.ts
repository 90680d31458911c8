// The observer's counts and bounds; what it makes of whole conversations is tested in conformance/sip-ms and tap.

import { describe, expect, test } from 'vitest';
import { SipObserver } from '../../../src/sip/observer.ts';
import { CountingMeter, headOf, limits, message, request, response, session } from './support.ts';

function observer(protocol: 'sip' | 'sips' = 'sips') {
  const meter = new CountingMeter();
  const facts = session(protocol);
  const expiries: number[] = [];
  return { watch: new SipObserver(facts, limits, meter, (at) => expiries.push(at)), meter, facts, expiries };
}

test('metrics count registered methods by name, others as other, responses by class', () => {
  const { watch, meter } = observer('sip');
  for (const method of ['INVITE', 'SERVICE', 'BENOTIFY', 'BREW', 'brew', 'notify']) watch.request(headOf(request(method)), 'client');
  for (const status of [100, 183, 200, 302, 404, 500, 603]) watch.response(headOf(response(status, 'OPTIONS')), 'upstream', 0);
  watch.response(headOf(message(['SIP/2.0 999 odd'])), 'upstream', 0);
  expect(Object.fromEntries([...meter.sums].filter(([key]) => key.startsWith('sip_messages_total')))).toEqual({
    'sip_messages_total{sip,request,INVITE}': 1, 'sip_messages_total{sip,request,SERVICE}': 1, 'sip_messages_total{sip,request,BENOTIFY}': 1,
    'sip_messages_total{sip,request,other}': 2, 'sip_messages_total{sip,request,NOTIFY}': 1,
    'sip_messages_total{sip,response,1xx}': 2, 'sip_messages_total{sip,response,2xx}': 1, 'sip_messages_total{sip,response,3xx}': 1, 'sip_messages_total{sip,response,4xx}': 1,
    'sip_messages_total{sip,response,5xx}': 1, 'sip_messages_total{sip,response,6xx}': 1, 'sip_messages_total{sip,response,other}': 1,
  });
});

test('details count by method and status, and many made-up methods stay few', () => {
  const { watch, meter } = observer();
  for (let index = 0; index < 500; index += 1) watch.request(headOf(request(`M${index}`)), 'client');
  watch.request(headOf(request('M0')), 'client');
  watch.request(headOf(request('CONSTRUCTOR')), 'client');
  const { methods } = watch.details;
  expect(Object.keys(methods)).toHaveLength(limits.sessionDetailsMax + 1);
  expect([methods['M0'], methods['other'], Object.values(methods).reduce((sum, count) => sum + count, 0)]).toEqual([2, 469, 502]);
  expect(meter.of('sip_messages_total{sips,request,other}')).toBe(502);
  for (let status = 100; status < 700; status += 1) watch.response(headOf(response(status, 'OPTIONS')), 'upstream', 0);
  expect(Object.keys(watch.details.statuses)).toHaveLength(129);
});

test('fills the session\'s details, and goes on with those that are there', () => {
  const { watch, facts, meter } = observer();
  watch.keepAlives(3);
  expect(facts.details.sip).toBe(watch.details);
  const again = new SipObserver(facts, limits, meter, () => undefined);
  again.keepAlives(1);
  expect(facts.details.sip?.keepAlives).toBe(4);
});

describe('bodies', () => {
  const typed = (type: string) => [`Content-Type: ${type}`];
  test.each<[string, Buffer, boolean]>([
    ['an INVITE with SDP', request('INVITE', typed('application/sdp')), true], ['in any case, compact', request('INVITE', ['c: Application/SDP; x=y']), true], ['multipart', request('INVITE', typed('multipart/mixed;boundary=x')), true],
    ['an INVITE with XML', request('INVITE', typed('application/xml')), false], ['no type', request('INVITE'), false], ['a MESSAGE', request('MESSAGE', typed('application/sdp')), false], ['an ACK of no known call', request('ACK', typed('application/sdp')), false],
  ])('%s', (_name, bytes, wanted) => {
    const { watch } = observer();
    watch.request(headOf(bytes), 'client');
    expect([watch.wantsBody('client'), watch.wantsBody('upstream')]).toEqual([wanted, false]);
  });

  test('of a refused request are never looked into', () => {
    const { watch } = observer();
    watch.request(headOf(request('INVITE', typed('application/sdp'))), 'client', true);
    expect([watch.wantsBody('client'), watch.details.dialogs, watch.details.methods]).toEqual([false, [], { INVITE: 1 }]);
  });

  test('of both directions at once do not mix', () => {
    const { watch } = observer();
    watch.request(headOf(request('INVITE', typed('application/sdp'))), 'client');
    watch.response(headOf(response(200, 'INVITE', typed('application/sdp'))), 'upstream', 0);
    watch.body(Buffer.from('v=0\r\nm=audio 1 RTP/AVP 0\r\n'), 'client');
    watch.body(Buffer.from('v=0\r\nm=audio 2 RTP/AVP 0\r\n'), 'upstream');
    watch.body(Buffer.from('v=0\r\nm=audio 3 RTP/AVP 0\r\n'), 'client');
    expect(watch.details.dialogs[0]?.media).toEqual(['audio 1', 'audio 2']);
  });
});

test('MRAS: what is asked, granted and failed; challenges are neither', () => {
  const { watch } = observer();
  const ask = (callId: string) => watch.request(headOf(request('SERVICE', ['Content-Type: application/msrtc-media-relay-auth+xml'], '<request/>', callId)), 'client');
  const reply = (status: number, callId: string) => watch.response(headOf(response(status, 'SERVICE', [], '', callId)), 'upstream', 0);
  ask('a');
  ask('b');
  reply(401, 'a');
  reply(200, 'a');
  reply(200, 'a');
  reply(504, 'b');
  reply(200, 'c');
  expect(watch.details.mras).toEqual({ requested: 2, granted: 1, failed: 1 });
});

test('expiry is told when a registration comes into force, swept, and close empties the gauges', () => {
  const { watch, meter, expiries } = observer();
  watch.request(headOf(request('REGISTER', ['Contact: <sip:a@b>'])), 'client');
  watch.response(headOf(response(200, 'REGISTER', ['Expires: 60'])), 'upstream', 1000);
  watch.request(headOf(request('INVITE')), 'client');
  expect([expiries, meter.of('sip_registrations{}'), meter.of('sip_dialogs{}')]).toEqual([[61_000], 1, 1]);
  expect([watch.sweep(60_999), watch.sweep(61_000), meter.of('sip_registrations{}')]).toEqual([61_000, null, 0]);
  watch.close();
  expect(meter.of('sip_dialogs{}')).toBe(0);
});
