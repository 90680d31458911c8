// Rules as written: which keys a rule of each stage takes, and what a list or a single value becomes.

import { describe, expect, it } from 'vitest';
import { policySchema } from '../../../src/config/policy-schema.ts';

const takes = (stages: object): boolean => policySchema.safeParse(stages).success;

describe('rules', () => {
  it('need a then of their stage', () => {
    expect(takes({ connection: [{}] })).toBe(false);
    expect([takes({ connection: [{ then: 'intercept' }] }), takes({ ssl: [{ then: 'allow' }] }), takes({ protocol: [{ then: 'tunnel' }] }), takes({ http: [{ then: 'handoff' }] })]).toEqual([false, false, false, false]);
  });
  it('take the keys of their stage alone', () => {
    expect(takes({ connection: [{ then: 'allow', serverFirst: true, detect: { on: 'tls' }, tunnelOnError: true }] })).toBe(true);
    expect(takes({ connection: [{ then: 'allow', handoff: true }] })).toBe(false);
    expect(takes({ turn: [{ then: 'deny', status: 403 }] })).toBe(false);
    expect([200, 399, 600].some((status) => takes({ http: [{ then: 'deny', status }] }))).toBe(false);
    expect(takes({ sip: [{ then: 'deny', status: 603 }] })).toBe(true);
  });
  it('handoff is the default of interception', () => expect(policySchema.parse({ ssl: [{ then: 'intercept' }] }).ssl[0]?.handoff).toBe(true));
  it('single values become lists, under not as well', () => {
    expect(policySchema.parse({ ssl: [{ when: { sni: 'a', not: { port: 443 } }, then: 'tunnel' }] }).ssl[0]?.when).toEqual({ sni: ['a'], not: { port: [443] } });
  });
  it('not does not nest', () => expect(takes({ ssl: [{ when: { not: { not: { sni: 'a' } } }, then: 'tunnel' }] })).toBe(false));
  it('no stage is needed', () => expect(policySchema.parse({})).toEqual({ connection: [], ssl: [], certificate: [], protocol: [], http: [], sip: [], turn: [] }));
});
