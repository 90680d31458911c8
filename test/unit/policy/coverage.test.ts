// Which rule takes what another asks for, and what may match given a few facts.

import { describe, expect, it } from 'vitest';
import { conditionsCover, isUnconditional, mayMatch, ruleCovers } from '../../../src/policy/coverage.ts';
import type { Conditions } from '../../../src/policy/rules.ts';

describe('conditionsCover', () => {
  it.each<[Conditions, Conditions]>([
    [{}, { sni: ['x'] }],
    [{ client: ['10.0.0.0/8'] }, { client: ['10.1.0.0/16', '10.2.3.4'], port: [443] }],
    [{ port: ['400-500'] }, { port: [443, '450-460'] }],
    [{ sni: ['*.example'] }, { sni: ['a.example', '*.b.example'] }],
    [{ sni: ['.example'] }, { sni: ['example', 'a.example', '*.example', '.b.example'] }],
    [{ sni: ['*'] }, { sni: ['.example'] }],
    [{ protocol: ['tls-any'] }, { protocol: ['sips', 'https'] }],
    [{ protocol: ['https-h1', 'h2'] }, { protocol: ['https'] }],
    [{ destination: ['0.0.0.0/0', '*.example'] }, { destination: ['10.0.0.1', 'a.example'] }],
    [{ path: ['/a/*'] }, { path: ['/a/b*'] }],
    [{ method: ['post', 'GET'] }, { method: ['POST'] }],
  ])('%j covers %j', (outer, inner) => expect(conditionsCover(outer, inner)).toBe(true));
  it.each<[Conditions, Conditions]>([
    [{ sni: ['x'] }, {}],
    [{ client: ['10.0.0.0/8'] }, { client: ['11.0.0.0/8'] }],
    [{ client: ['10.1.0.0/16'] }, { client: ['10.0.0.0/8'] }],
    [{ port: [443] }, { port: ['443-444'] }],
    [{ sni: ['*.example'] }, { sni: ['example'] }],
    [{ sni: ['*.example'] }, { sni: ['.example'] }],
    [{ sni: ['*.a.example'] }, { sni: ['.a.example'] }],
    [{ sni: ['?.example'] }, { sni: ['*.example'] }],
    [{ protocol: ['https-h1'] }, { protocol: ['https'] }],
    [{ path: ['/a/*'] }, { path: ['/A/b'] }],
    [{ file: ['a.txt'] }, { file: ['b.txt'] }],
    [{ sni: ['a'], port: [1] }, { sni: ['a'] }],
  ])('%j does not cover %j', (outer, inner) => expect(conditionsCover(outer, inner)).toBe(false));
});

describe('ruleCovers', () => {
  it('a rule without conditions covers all, one with `not` only its like', () => {
    expect(ruleCovers({ then: 'deny' }, { when: { sni: ['a'], not: { port: [1] } }, then: 'allow' })).toBe(true);
    expect(ruleCovers({ when: { not: { port: [1] } }, then: 'deny' }, { then: 'deny' })).toBe(false);
    expect(ruleCovers({ when: { not: { port: [1] } }, then: 'deny' }, { when: { sni: ['a'], not: { port: [1] } }, then: 'deny' })).toBe(true);
  });
  it('accepting rules pass over problems and so cover only their like', () => {
    expect(ruleCovers({ then: 'accept' }, { when: { problem: ['expired'] }, then: 'deny' })).toBe(false);
    expect(ruleCovers({ then: 'accept' }, { when: { problem: ['expired'] }, then: 'accept' })).toBe(true);
    expect(ruleCovers({ when: { problem: ['expired', 'name'] }, then: 'deny' }, { when: { problem: ['expired'] }, then: 'accept' })).toBe(true);
  });
});

describe('mayMatch', () => {
  const known = { service: 'https', protocol: 'undetected', tls: 'none' } as const;
  it.each([
    [undefined, 'yes'],
    [{ service: ['https'] }, 'yes'],
    [{ service: ['socks'] }, 'no'],
    [{ protocol: ['undetected', 'unknown'], tls: ['none' as const] }, 'yes'],
    [{ protocol: ['https'] }, 'no'],
    [{ protocol: ['undetected'], client: ['10.0.0.0/8'] }, 'maybe'],
    [{ not: { protocol: ['https'] } }, 'yes'],
    [{ not: { protocol: ['undetected'] } }, 'no'],
    [{ not: { protocol: ['undetected'], client: ['10.0.0.0/8'] } }, 'maybe'],
    [{ client: ['10.0.0.0/8'], not: { service: ['https'] } }, 'no'],
  ])('%j: %s', (when, answer) => expect(mayMatch(when, known)).toBe(answer));
});

it('a rule with an empty when is unconditional', () => {
  expect(isUnconditional({ when: {}, then: 'allow' })).toBe(true);
  expect(isUnconditional({ when: { not: {} }, then: 'allow' })).toBe(false);
});
