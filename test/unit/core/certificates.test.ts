// The problems of core/certificates.ts agree with the codes that are keyed by them.

import { expect, test } from 'vitest';
import { certificateProblems } from '../../../src/core/certificates.ts';
import { problemCodes } from '../../../src/tls/verify.ts';

test('every certificate problem has its code, and no other has', () => {
  expect(Object.keys(problemCodes)).toEqual([...certificateProblems]);
});
