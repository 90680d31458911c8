// Patterns against a plain regular expression as a second opinion, hosts and paths as rules see them.

import { describe, expect, it } from 'vitest';
import { comparablePath, compileTexts, foldHost, hostOfAuthority, matchesPattern } from '../../../src/policy/text.ts';

describe('matchesPattern', () => {
  const expression = (pattern: string): RegExp => new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')}$`, 's');
  it('agrees with a regular expression on every short pattern and text', () => {
    const texts = (letters: string, length: number): string[] => (length === 0 ? [''] : texts(letters, length - 1).flatMap((text) => [text, ...[...letters].map((letter) => text + letter)]));
    for (const pattern of new Set(texts('a*?', 4))) for (const text of new Set(texts('ab', 4))) expect([pattern, text, matchesPattern(pattern, text)]).toEqual([pattern, text, expression(pattern).test(text)]);
  });
  it('does not stall on a pattern made to go back and forth', () => {
    const started = performance.now();
    expect(matchesPattern('*a'.repeat(200) + 'b', 'a'.repeat(5000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('compileTexts', () => {
  it('long suffix lists match like short ones', () => {
    const many = compileTexts(Array.from({ length: 50 }, (_, index) => `*.s${index}.example`), 'host');
    expect([many('www.s7.example'), many('a.b.s49.example'), many('s7.example'), many('xs7.example'), many('example'), many('')]).toEqual([true, true, false, false, false, false]);
  });
  it('mixes names, suffixes and patterns', () => {
    const test = compileTexts(['one.example', '.two.example', 'th*.example'], 'host');
    expect(['one.example', 'two.example', 'x.two.example', 'three.example'].every(test)).toBe(true);
    expect(['x.one.example', 'xtwo.example', 'four.example'].some(test)).toBe(false);
  });
  it('compares international names in ASCII', () => {
    expect(compileTexts(['*.bücher.example'], 'host')('www.xn--bcher-kva.example')).toBe(true);
    expect(compileTexts(['BÜCHER.example'], 'host')('xn--bcher-kva.example')).toBe(true);
  });
  it('an empty list matches nothing', () => expect(compileTexts([], 'exact')('')).toBe(false));
  it('exact texts keep their case', () => {
    expect(compileTexts(['/A'], 'exact')('/a')).toBe(false);
    expect(compileTexts(['/A*'], 'exact')('/Ab')).toBe(true);
  });
});

describe('hosts', () => {
  it('folds case and the trailing dot', () => expect(foldHost('WWW.Example.COM.')).toBe('www.example.com'));
  it.each([['Example.com:8080', 'example.com'], ['[2001:DB8::1]:443', '2001:db8::1'], ['[::1]', '::1'], ['[::1', '::1'], ['a.', 'a'], ['', '']])('takes the host of %s', (authority, host) => {
    expect(hostOfAuthority(authority)).toBe(host);
  });
});

describe('comparablePath', () => {
  it.each([
    ['/', '/'], ['/a/b', '/a/b'], ['/a/b/?x', '/a/b/'], ['/a#b', '/a'], ['/a/./b/../c', '/a/c'], ['/../../a', '/a'], ['/a/..', '/'], ['/a/b/..', '/a/'], ['//a//b//', '/a/b/'],
    ['/%7Euser', '/~user'], ['/%e2%82%ac', '/%E2%82%AC'], ['/a%20b', '/a%20b'], ['/%', '/%'], ['*', '*'], ['http://h', '/'], ['http://h/x?y', '/x'], ['host:443', 'host:443'], ['', ''], ['/a\\..\\b', '/b'], ['/.well-known/x', '/.well-known/x'],
  ])('reads %s as %s', (target, path) => expect(comparablePath(target)).toBe(path));
});
