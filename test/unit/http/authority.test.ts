import { expect, test } from 'vitest';
import { Authorities } from '../../../src/http/authority.ts';
import { depsFor, sessionFor } from './harness.ts';

test('a name is judged by its own verdict, once', () => {
  let asked = 0;
  const deps = depsFor({ tunnelled: 'bank.example' });
  const counting = { ...deps, policy: { ...deps.policy, ssl: (session: Parameters<typeof deps.policy.ssl>[0]) => ((asked += 1), deps.policy.ssl(session)) } };
  const authorities = new Authorities({ ...sessionFor(), sni: 'www.example' }, counting);
  expect(authorities.judge('WWW.example:443')).toBeNull();
  expect(asked).toBe(0);
  expect([authorities.judge('bank.example'), authorities.judge('Bank.Example.'), authorities.judge('other.example')]).toEqual(['ssl/1', 'ssl/1', null]);
  expect(asked).toBe(3);
});

test('without SNI there was no name to judge by', () => {
  expect(new Authorities(sessionFor(), depsFor({ tunnelled: 'bank.example' })).judge('bank.example')).toBeNull();
});
