import { expect, test } from 'vitest';
import { isMethod, methodLabel, statusLabel } from '../../../src/http/methods.ts';

test('labels are of closed sets', () => {
  expect([methodLabel('GET'), methodLabel('get'), methodLabel('EVIL'), isMethod('PROPFIND'), isMethod('SIP')]).toEqual(['GET', 'other', 'other', true, false]);
  expect([200, 404, 101, 0, 999].map(statusLabel)).toEqual(['2xx', '4xx', '1xx', 'none', 'none']);
});
