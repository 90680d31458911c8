// The plain rule types stand for what the config's schema gives: a type-level test, checked by the compiler.

import { describe, expect, expectTypeOf, it } from 'vitest';
import type { PolicyConfig, ServiceConfig } from '../../../src/config/schema.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { ruleName } from '../../../src/policy/rules.ts';
import type { PolicyRules, ServiceSettings } from '../../../src/policy/rules.ts';

describe('rules', () => {
  it('the config\'s inferred types are assignable to policy\'s own', () => {
    expectTypeOf<PolicyConfig>().toExtend<PolicyRules>();
    expectTypeOf<ServiceConfig>().toExtend<ServiceSettings>();
    const config = configSchema.parse({ services: [{ name: 'a', type: 'ssl', listen: '[::]:1' }], policy: { ssl: [{ when: { sni: 'x', not: { port: 1 } }, then: 'tunnel' }] } });
    const rules: PolicyRules = config.policy;
    const services: readonly ServiceSettings[] = config.services;
    expect(rules.ssl[0]?.when).toEqual({ sni: ['x'], not: { port: [1] } });
    expect(services[0]?.detectProtocol).toBe(true);
  });
  it('a rule is shown by its name, else by its index', () => {
    expect(ruleName('ssl', { name: 'banks', then: 'tunnel' }, 4)).toBe('ssl/banks');
    expect(ruleName('ssl', { then: 'tunnel' }, 4)).toBe('ssl/#4');
  });
});
