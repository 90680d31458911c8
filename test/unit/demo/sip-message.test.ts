// The demo's message reader: any split gives the same items, and digest agrees with RFC 2617's example.

import { expect, test } from 'vitest';
import { authParams, digestResponse, headerOf, methodOf, sipBytes, SipReader, statusOf } from '../../../demo/sip-message.ts';

const stream = Buffer.concat([
  Buffer.from('\r\n\r\n'), sipBytes('MESSAGE sip:a@b SIP/2.0', ['i: 1', 'Via: one', 'v: two', 'X:\r\n folded'], 'grüße'), Buffer.from('\r\n'), sipBytes('SIP/2.0 200 OK', []),
]);

test('any split gives the same items', () => {
  const whole = new SipReader().push(stream);
  expect(whole.map((item) => (typeof item === 'string' ? item : methodOf(item) || statusOf(item)))).toEqual(['ping', 'MESSAGE', 'pong', 200]);
  const message = whole[1];
  if (message === undefined || typeof message === 'string') throw new Error('no message');
  expect(message.body).toBe('grüße');
  expect(message.headers.get('via')).toEqual(['one', 'two']);
  expect([headerOf(message, 'call-id'), headerOf(message, 'x')]).toEqual(['1', 'folded']);
  // Not within the first ping: its first half alone reads as a pong.
  for (let at = 4; at < stream.length; at += 1) {
    const reader = new SipReader();
    expect([...reader.push(stream.subarray(0, at)), ...reader.push(stream.subarray(at))]).toEqual(whole);
  }
});

test('what is no SIP, and what is too large, throws', () => {
  expect(() => new SipReader().push(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toThrow('not SIP');
  expect(() => new SipReader().push(Buffer.alloc(70_000, 0x61))).toThrow('too large');
});

test('digest of RFC 2617 section 3.5', () => {
  const params = authParams('Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b"');
  expect(digestResponse('Mufasa', 'Circle Of Life', 'GET', params)).toBe('6629fae49393a05397450978507c4ef1');
});
