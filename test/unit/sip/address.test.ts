// Addresses, parameters, lists and the one spelling of a URI.

import { describe, expect, test } from 'vitest';
import { addressIn, isPlainAddress, listIn, paramIn, plainUri } from '../../../src/sip/address.ts';

describe('addressIn', () => {
  test.each<[string, string, string]>([
    ['<sip:a@b>;tag=1', 'sip:a@b', ';tag=1'],
    ['sip:a@b;tag=1', 'sip:a@b', ';tag=1'],
    ['"A, B; <c>" <sip:a@b;x=y> ; tag = 1', 'sip:a@b;x=y', '; tag = 1'],
    ['"quote \\" <sip:no@no>" <sip:a@b>', 'sip:a@b', ''],
    ['Alice Cooper < sip:a@b >', 'sip:a@b', ''],
    ['"open <sip:a@b>;tag=1', 'sip:a@b', ';tag=1'],
    ['<sip:a@b', 'sip:a@b', ''],
    ['tel:+1-201;ext=4', 'tel:+1-201', ';ext=4'],
    ['*', '*', ''],
    ['', '', ''],
  ])('%j', (value, uri, params) => expect(addressIn(value)).toEqual({ uri, params }));
});

describe('paramIn', () => {
  const params = ';tag=a;EPID = "q;u\\"o" ;flag; empty=;tag=second';
  test.each<[string, string | null]>([['tag', 'a'], ['epid', 'q;u"o'], ['flag', ''], ['empty', ''], ['missing', null], ['ta', null]])('%s', (name, value) => expect(paramIn(params, name)).toBe(value));
  test('nothing in nothing', () => expect(paramIn('', 'tag')).toBeNull());
});

test('lists split at commas outside quotes and brackets', () => {
  expect(listIn('"a, b" <sip:a,b@c>, <sip:d> ,, e')).toEqual(['"a, b" <sip:a,b@c>', '<sip:d>', 'e']);
  expect(listIn(' ')).toEqual([]);
});

describe('plainUri', () => {
  test.each([
    ['sip:alice@contoso.test', 'sip:alice@contoso.test'],
    ['SIP:%61lice@CONTOSO.Test;user=phone?subject=x', 'sip:alice@contoso.test'],
    ['sip:a%40b@c', 'sip:a%40b@c'],
    ['sip:user;par=u%40x@example.com', 'sip:user;par=u%40x@example.com'],
    ['sip:alice@contoso.test?body=x@evil.test', 'sip:alice@contoso.test'],
    ['sip:10.0.0.1:5060;transport=tls', 'sip:10.0.0.1:5060'],
    ['sip:a@[2001:DB8::1]:5061', 'sip:a@[2001:db8::1]:5061'],
    ['tel:+1-201;phone-context=x', 'tel:+1-201'],
    ['no uri', 'no uri'],
  ])('%s', (uri, expected) => expect(plainUri(uri)).toBe(expected));
});

describe('isPlainAddress', () => {
  test.each(['<sip:a@b>;tag=1', 'sip:a@b', '"x, y" <sips:a@b>', 'tel:+1', 'isbn:2983792873', '<http://www.example.com>'])('%j is', (value) => expect(isPlainAddress(value)).toBe(true));
  test.each(['', '<>', 'sip:', '"open <sip:a@b>', '<sip:a@b>, <sip:c@d>', '<sip:a@b@c>', '<sip:a b@c>', '<alice>', '"a <sip:x@y>;z="b" <sip:c@d>'])('%j is not', (value) => expect(isPlainAddress(value)).toBe(false));
});
