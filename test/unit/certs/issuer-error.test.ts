import { expect, it } from 'vitest';
import { IssuerError } from '../../../src/certs/issuer-error.ts';

it('is an error that can be told from defects', () => {
  expect(new IssuerError('x')).toMatchObject({ name: 'IssuerError', message: 'x' });
  expect(new IssuerError('x')).toBeInstanceOf(Error);
});
