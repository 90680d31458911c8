// The few words of core/flow.ts that exist at run time agree with everything that is keyed by them.

import { expect, test } from 'vitest';
import { certificateProblems, policyStages } from '../../../src/core/flow.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { problemCodes } from '../../../src/tls/verify.ts';

test('every certificate problem has its code, and no other has', () => {
  expect(Object.keys(problemCodes)).toEqual([...certificateProblems]);
});

test('the config\'s policy has exactly the stages', () => {
  const config = configSchema.parse({ services: [{ name: 'proxy', type: 'http-explicit', listen: '127.0.0.1:3128' }] });
  expect(Object.keys(config.policy)).toEqual([...policyStages]);
});
