import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { h2, http } from '../../../src/http/index.ts';
import { latin1 } from './messages.ts';

test('both protocols detect their own first bytes and not each other\'s', () => {
  const [one, two] = [latin1('GET / HTTP/1.1\r\n'), latin1('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')];
  const answers = [http, h2].flatMap((protocol) => [one, two].map((bytes) => protocol.detect(bytes, 'client', limitsWith())));
  expect(answers).toEqual([{ facts: null }, 'no', 'no', { facts: null }]);
  expect([http, h2].every((protocol) => protocol.refuse !== undefined)).toBe(true);
});
