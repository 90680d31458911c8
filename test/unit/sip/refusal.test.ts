// Responses of our own: what they copy, when there is none, which status, and the ACK's key.

import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../../src/core/session.ts';
import { doubtIn, refusalStatus, refuse, transactionKey } from '../../../src/sip/refusal.ts';
import { headOf, message, request, response } from './support.ts';

const answer = (bytes: Buffer, source: Endpoint | null = null): string[] | null => refuse(headOf(bytes), 403, 'REQUEST_DENIED', source)?.toString('latin1').split('\r\n') ?? null;

describe('refuse', () => {
  test('copies every Via in order, folds undone, and other bytes as they are', () => {
    const lines = answer(message(['INVITE sip:b@c SIP/2.0', 'v: SIP/2.0/tls one;branch=z9hG4bK1,\r\n SIP/2.0/TCP two', 'f: "Grüße" <sip:a@b>;tag=1', 't: <sip:b@c>;tag=known', 'Via: three', 'i: x', 'CSeq: 7 INVITE']));
    expect(lines).toEqual([
      'SIP/2.0 403 Forbidden', 'Via: SIP/2.0/tls one;branch=z9hG4bK1, SIP/2.0/TCP two', 'Via: three', `From: ${Buffer.from('"Grüße"').toString('latin1')} <sip:a@b>;tag=1`,
      'To: <sip:b@c>;tag=known', 'Call-ID: x', 'CSeq: 7 INVITE', 'Reason: SIP;cause=403;text="REQUEST_DENIED"', 'Content-Length: 0', '', '',
    ]);
  });

  test('each answer has a tag of its own where To has none, even when the display name looks like one', () => {
    const bytes = message(['MESSAGE sip:b@c SIP/2.0', 'v: x', 'f: <sip:a@b>', 't: "x;tag=y" <sip:b@c;tag=z>', 'i: x', 'CSeq: 7 MESSAGE']);
    const to = (): string | undefined => answer(bytes)?.find((line) => line.startsWith('To: '));
    expect(to()).toMatch(/^To: "x;tag=y" <sip:b@c;tag=z>;tag=[0-9a-f-]{36}$/);
    expect(to()).not.toBe(to());
  });

  test('the topmost Via tells the sender where it is seen to be; others stay as they are', () => {
    const bytes = message(['OPTIONS sip:b@c SIP/2.0', 'v: SIP/2.0/TLS 10.0.0.1:5061;rport;branch=z9hG4bK1', 'v: SIP/2.0/TLS 10.0.0.9;rport', 'f: <sip:a@b>', 't: <sip:b@c>', 'i: x', 'CSeq: 7 OPTIONS']);
    expect(answer(bytes, { ip: '192.0.2.7', port: 40_000 })?.slice(1, 3)).toEqual([
      'Via: SIP/2.0/TLS 10.0.0.1:5061;rport=40000;branch=z9hG4bK1;received=192.0.2.7', 'Via: SIP/2.0/TLS 10.0.0.9;rport',
    ]);
  });

  test.each<[string, Buffer]>([
    ['an ACK', request('ACK')], ['a response', response(200, 'INVITE')], ['no Via', message(['BYE sip:b SIP/2.0', 'f: <sip:a@b>', 't: <sip:b@c>', 'i: 1', 'CSeq: 1 BYE'])],
    ['no Call-ID', message(['BYE sip:b SIP/2.0', 'v: x', 'f: <sip:a@b>', 't: <sip:b@c>', 'CSeq: 1 BYE'])],
  ])('%s is not answered', (_name, bytes) => expect(answer(bytes)).toBeNull());
});

test('statuses: the rule\'s where it is a failure, 403 for policy, 503 for what failed', () => {
  expect([refusalStatus('REQUEST_DENIED', null), refusalStatus('PROTOCOL_DENIED', null), refusalStatus('DIAL_REFUSED', null), refusalStatus('UPSTREAM_CERT_EXPIRED', null)]).toEqual([403, 403, 503, 503]);
  expect([488, 603, 699, 200, 302, 700, 99].map((status) => refusalStatus('REQUEST_DENIED', status))).toEqual([488, 603, 699, 403, 403, 403, 403]);
});

test('a sound request leaves no doubt, whatever the case of its method', () => {
  expect(doubtIn(headOf(request('INVITE')))).toBeNull();
  expect(doubtIn(headOf(message(['invite sip:b@c SIP/2.0', 'f: <sip:a@b>', 't: tel:+1', 'i: 1', 'CSeq: 1 INVITE'])))).toBeNull();
});

test.each<[string, readonly string[], string]>([
  ['no CSeq', ['f: <sip:a@b>', 't: <sip:b@c>', 'i: 1'], 'no cseq'],
  ['CSeq of another method', ['f: <sip:a@b>', 't: <sip:b@c>', 'i: 1', 'CSeq: 1 OPTIONS'], 'CSeq does not fit the method'],
  ['two To', ['f: <sip:a@b>', 't: <sip:b@c>', 'To: <sip:d@e>', 'i: 1', 'CSeq: 1 INVITE'], 'more than one to'],
  ['two addresses in From', ['f: <sip:a@b>, <sip:c@d>', 't: <sip:b@c>', 'i: 1', 'CSeq: 1 INVITE'], 'no plain address in from'],
])('doubt: %s', (_name, lines, doubt) => expect(doubtIn(headOf(message(['INVITE sip:b@c SIP/2.0', ...lines])))).toBe(doubt));

test('an ACK has its INVITE\'s key: Call-ID, CSeq number, top branch', () => {
  const key = transactionKey(headOf(request('INVITE')));
  expect(transactionKey(headOf(request('ACK')))).toBe(key);
  expect(transactionKey(headOf(request('ACK', [], '', 'call-2')))).not.toBe(key);
  const branch = (value: string): string => transactionKey(headOf(message(['ACK sip:b@c SIP/2.0', `Via: ${value}`, 'i: 1', 'CSeq: 1 ACK'])));
  expect(branch('SIP/2.0/TLS a;branch=one')).toBe(branch('SIP/2.0/TCP b;rport;Branch=one, SIP/2.0/TCP c;branch=two'));
  expect(branch('SIP/2.0/TLS a;branch=one')).not.toBe(branch('SIP/2.0/TLS a;branch=two'));
});
