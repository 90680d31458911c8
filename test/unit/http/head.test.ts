// http/head.ts: one object serves every head of a direction, so nothing of the last one may stay.

import { expect, test } from 'vitest';
import { Head } from '../../../src/http/head.ts';

test('a reset head is a new one', () => {
  const used = new Head();
  Object.assign(used, { lengthBytes: 90, fieldsStart: 16, method: 'POST', target: '/a', status: 200, minor: 0, host: 'a.example', chunked: true });
  used.reset();
  expect(used).toEqual(new Head());
});
