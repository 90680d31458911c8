import { describe, expect, it } from 'vitest';
import { parseGlob } from '../../../src/sessions/glob.ts';

describe('globs', () => {
  it.each([
    ['*.contoso.com', 'sip.contoso.com', true],
    ['*.contoso.com', 'a.b.CONTOSO.com', true],
    ['*.contoso.com', 'contoso.com', false],
    ['*.contoso.com', 'sip.contoso.com.evil.example', false],
    ['sip.*', 'SIP.contoso.com', true],
    ['*', '', true],
    ['**', 'x', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'a-c-b-c', true],
    ['a*b*c', 'acb', false],
    ['ssl/banks', 'SSL/Banks', true],
    ['a.c', 'abc', false],
    ['*ab*ab', 'xab', false],
  ])('%s on %s is %s', (pattern, text, expected) => {
    expect(parseGlob(pattern)(text)).toBe(expected);
  });

  it('is quick on patterns that drown regular expressions', () => {
    const matches = parseGlob(`${'*a'.repeat(50)}*b`);
    const started = performance.now();
    expect(matches('a'.repeat(10_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(100);
  });
});
