import { expect, test } from 'vitest';
import { hostName, httpFacts, normalPath } from '../../../src/http/judge.ts';

test.each([
  ['/', '/'], ['/a?b=c', '/a'], ['/a#b', '/a'], ['/%61dmin', '/admin'], ['/x/../admin', '/admin'], ['/./a//b/', '/a/b/'], ['/../../a', '/a'], ['/a/..', '/'], ['/a/.', '/a/'],
  ['/%2e%2e/a', '/a'], ['/a%2Fb', '/a/b'], ['/%zz', '/%zz'], ['/%c3%a4', '/%C3%A4'], ['http://h/x/../y?z', '/y'], ['http://h', '/'], ['*', '*'], ['a:443', 'a:443'],
])('path of %j is %j', (target, path) => {
  expect(normalPath(target)).toBe(path);
});

test('a host is compared without port, case, brackets and final dot', () => {
  expect(['A.Example.:443', '[::1]:80', 'b', '[FE80::1]', 'c.example.'].map(hostName)).toEqual(['a.example', '::1', 'b', 'fe80::1', 'c.example']);
});

test('facts are those of the request; field names are looked for when a rule asks, and once', () => {
  const names = new Set(['host']);
  let looks = 0;
  const headers = (): ReadonlySet<string> => {
    looks += 1;
    return names;
  };
  for (const given of [names, headers]) {
    const facts = httpFacts({ method: 'GET', host: 'A:80', target: '/x?y', headers: given, upgrade: null });
    expect([facts.method, facts.host, facts.path, facts.upgrade, looks]).toEqual(['GET', 'a', '/x', null, 0]);
    expect([facts.headers, facts.headers]).toEqual([names, names]);
  }
  expect(looks).toBe(1);
  expect(httpFacts({ method: 'GET', host: null, target: '*', headers, upgrade: 'h2c' })).toMatchObject({ host: null, upgrade: 'h2c' });
});
