// Start lines and the byte walks of heads.

import { describe, expect, test } from 'vitest';
import { numberIn, pastBlanks, pastColon, readStartLine, startsWithVersion, tokenEnd } from '../../../src/sip/start-line.ts';

const read = (text: string) => {
  const line = { methodBytes: 0, status: 0 };
  return readStartLine(Buffer.from(text, 'latin1'), 0, text.length, line) ? line : null;
};

test.each<[string, ReturnType<typeof read>]>([
  ['INVITE sip:a@b SIP/2.0', { methodBytes: 6, status: 0 }],
  ['INVITE  sip:a@b  SIP/2.0  ', { methodBytes: 6, status: 0 }],
  ['INVITE sip:a@b; lr sip/2.0', { methodBytes: 6, status: 0 }],
  ["!x-.%*_+`'~ sip:a SIP/7.0", { methodBytes: 11, status: 0 }],
  ['SIP/2.0 200 OK', { methodBytes: 0, status: 200 }],
  ['SIP/2.0 100 ', { methodBytes: 0, status: 100 }],
  ['SIP/2.0 100', { methodBytes: 0, status: 100 }],
  ['sip/2.0 699 x', { methodBytes: 0, status: 699 }],
  ['SIP/2.0 700 x', { methodBytes: 0, status: -1 }],
  ['SIP/2.0 099 x', { methodBytes: 0, status: -1 }],
  ['SIP/2.0 4294967301 x', { methodBytes: 0, status: -1 }],
  ['SIP/2.0 20x', null], ['SIP/2.0 x', null], ['SIP/2.0', null], ['INVITE SIP/2.0', null], ['INVITE sip:a@b', null], ['INVITE', null], ['', null],
  ['IN(VITE sip:a SIP/2.0', null], ['INVITE\tsip:a SIP/2.0', null], [' INVITE sip:a SIP/2.0', null], ['GET / HTTP/1.1', null], ['INVITE sip:a XSIP/2.0', null],
])('%j', (text, expected) => expect(read(text)).toEqual(expected));

test('a version begins with SIP and a slash, whatever the case', () => {
  const starts = (text: string): boolean => startsWithVersion(Buffer.from(text), 0, text.length);
  expect(['SIP/', 'sip/9', 'sIp/2.0'].map(starts)).toEqual([true, true, true]);
  expect(['SIP', 'SIP-2.0', 'SIQ/2.0', '3IP/2.0', ''].map(starts)).toEqual([false, false, false, false, false]);
});

describe('numbers', () => {
  test.each<[string, number]>([['5', 5], [' \t5 \t', 5], ['0005', 5], ['0', 0], ['1'.repeat(400), Infinity], ['', -1], ['+5', -1], ['5,5', -1], ['5 5', -1], ['0x5', -1], ['-1', -1]])('%j is %d', (text, value) => {
    expect(numberIn(Buffer.from(text), 0, text.length)).toBe(value);
  });
});

test('walks stop at the end they are given', () => {
  const bytes = Buffer.from('name \t: value');
  expect([tokenEnd(bytes, 0, 13), tokenEnd(bytes, 0, 2), tokenEnd(bytes, 4, 13)]).toEqual([4, 2, 4]);
  expect([pastBlanks(bytes, 4, 13), pastBlanks(bytes, 4, 5), pastBlanks(bytes, 0, 13)]).toEqual([6, 5, 0]);
  expect([pastColon(bytes, 4, 13), pastColon(bytes, 4, 6), pastColon(bytes, 0, 13)]).toEqual([7, -1, -1]);
});
