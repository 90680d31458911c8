import { expect, test } from 'vitest';
import { HeadFields, fieldLines, fieldNames } from '../../../src/http/fields.ts';
import { latin1 } from './messages.ts';

const lines = latin1('Host: a\r\nuPgrade: h2c\r\nX-Y: z:\r\nUpgrade:b\r\n\r\n');

test('names are listed in lower case, once', () => {
  expect(fieldNames(lines, 0, lines.length)).toEqual(new Set(['host', 'upgrade', 'x-y']));
});

test('lines of a name are found whole', () => {
  expect(fieldLines(lines, 0, lines.length, 'upgrade').map(([from, to]) => lines.toString('latin1', from, to))).toEqual(['uPgrade: h2c\r\n', 'Upgrade:b\r\n']);
});

test('one line each: a second length or host is a fault', () => {
  const fields = new HeadFields();
  const take = (name: string, value: string): unknown => fields.take(latin1(name + value), 0, name.length, name.length, name.length + value.length);
  expect(take('content-length', '5')).toBeNull();
  expect(take('Content-Length', '5')).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
  expect(take('Host', 'a')).toBeNull();
  expect(take('hOST', 'a')).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
  expect(fields).toMatchObject({ fields: 4, contentLength: 5, host: 'a' });
});
