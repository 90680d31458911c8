// Header names by bytes, values on demand, and CSeq.

import { expect, test } from 'vitest';
import { cseqIn, headerIdOf, otherHeader } from '../../../src/sip/headers.ts';
import { headOf, message, request } from './support.ts';

const id = (name: string): number => headerIdOf(Buffer.from(name, 'latin1'), 0, Buffer.byteLength(name, 'latin1'));

test.each([
  ['Content-Length', 'l'], ['Via', 'v'], ['From', 'f'], ['To', 't'], ['Call-ID', 'i'], ['Contact', 'm'], ['Content-Type', 'c'], ['Event', 'o'],
])('%s and %s are one header, in any case', (long, compact) => {
  const known = id(long);
  expect(known).not.toBe(otherHeader);
  for (const name of [long.toLowerCase(), long.toUpperCase(), compact, compact.toUpperCase()]) expect(id(name)).toBe(known);
});

test.each(['', 'x', 'Content-Lengths', 'Content_Length', 'Cxxxxxx-Lxxxxxxh', 'Vjb', 'Fo', '\xd6ia', 'Content-Length\0', 'a'.repeat(40)])('%j is none of ours', (name) => {
  expect(id(name)).toBe(otherHeader);
});

test('names are told apart by every byte: letters that differ in case bits only do not pass', () => {
  // '-' (2d) with the case bit cleared is 0d; '@' and '`' differ by that bit.
  expect(id('Content\rLength')).toBe(otherHeader);
  expect(id('content\x0dlength')).toBe(otherHeader);
  expect(id('V\x49a')).toBe(id('via'));
});

test('values: first, all, count, text, folds', () => {
  const head = headOf(request('OPTIONS', ['User-Agent:\r\n Über\r\n\tPhone  ', 'v: second', 'Subject: x\r\n y', 'V : third ']));
  expect(head.text('user-agent')).toBe('Über Phone');
  expect(head.raw('user-agent')).toBe('Ã\u009cber Phone');
  expect(head.all('via')).toEqual(['SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKone', 'second', 'third']);
  expect([head.countOf('via'), head.countOf('from'), head.countOf('expires')]).toEqual([3, 1, 0]);
  expect([head.has('via'), head.has('expires'), head.raw('expires'), head.text('expires'), head.all('expires')]).toEqual([true, false, null, null, []]);
});

test('methods are read in upper case, responses have none', () => {
  expect(headOf(message(['invite sip:a@b SIP/2.0'])).method).toBe('INVITE');
  const response = headOf(message(['SIP/2.0 180 Ringing']));
  expect([response.method, response.status]).toEqual(['', 180]);
});

test.each<[string | null, unknown]>([
  ['1 INVITE', { number: '1', method: 'INVITE' }], ['0009 \t invite', { number: '0009', method: 'INVITE' }], ['4294967295 ACK', { number: '4294967295', method: 'ACK' }],
  [null, null], ['', null], ['INVITE', null], ['1', null], ['-1 ACK', null], ['12345678901 ACK', null], ['1 A B', null],
])('CSeq %j', (value, expected) => expect(cseqIn(value)).toEqual(expected));
