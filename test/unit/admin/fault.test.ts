import { expect, it } from 'vitest';
import { AdminFault } from '../../../src/admin/fault.ts';

it('a fault carries its status, word, sentence and what would be right', () => {
  const fault = new AdminFault(400, 'BAD_LIMIT', 'limit is a whole number', ['1', '2']);
  expect(fault).toBeInstanceOf(Error);
  expect(fault).toMatchObject({ name: 'AdminFault', status: 400, code: 'BAD_LIMIT', message: 'limit is a whole number', allowed: ['1', '2'] });
  expect(new AdminFault(404, 'NOT_FOUND', 'nothing').allowed).toEqual([]);
});
