// The stages of core/verdicts.ts agree with the config that is keyed by them.

import { expect, test } from 'vitest';
import { policyStages } from '../../../src/core/verdicts.ts';
import { configSchema } from '../../../src/config/schema.ts';

test('the config\'s policy has exactly the stages', () => {
  const config = configSchema.parse({ services: [{ name: 'proxy', type: 'http-explicit', listen: '127.0.0.1:3128' }] });
  expect(Object.keys(config.policy)).toEqual([...policyStages]);
});
