// The index against trying every rule: the same first match for random rules and sessions.

import { describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import type { HttpFacts } from '../../../src/core/verdicts.ts';
import { Facts } from '../../../src/policy/facts.ts';
import { RuleIndex } from '../../../src/policy/rule-index.ts';
import type { When } from '../../../src/policy/rules.ts';
import { policyOf, sessionWith } from './support.ts';

let seed = 11;
const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;
const some = <T>(items: readonly T[]): T[] => Array.from({ length: 1 + random(2) }, () => pick(items));

const names = ['a.example', 'www.a.example', 'b.a.example', 'b.example', 'example', 'xn--bcher-kva.example', 'deep.www.a.example', '10.0.0.1'];
const patterns = [...names, '*.a.example', '.a.example', '*.example', '.example', '*', 'b*.example', 'WWW.A.Example', 'bücher.example', '*.www.a.example'];
const networks = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '0.0.0.0/0', '192.0.2.0/24', '2001:db8::/32', '2001:db8:1::/48', '::/0', '2001:db8::1', '::ffff:10.0.0.0/104'];
const addresses = ['10.1.2.3', '10.9.9.9', '192.0.2.1', '203.0.113.9', '2001:db8::1', '2001:db8:1::1', 'fe80::1', '::ffff:10.1.2.3'];
const ports = [443, 80, 5061, '400-500', '1-65535', '5060-5061'];

function randomWhen(): When {
  const when: Record<string, unknown> = {};
  if (random(2) === 0) when.sni = some(patterns);
  if (random(3) === 0) when.client = some(networks);
  if (random(4) === 0) when.destination = some([...networks, '*.example', 'a.example']);
  if (random(3) === 0) when.port = some(ports);
  if (random(5) === 0) when.service = some(['https', 'other']);
  if (random(5) === 0) when.not = { client: some(networks) };
  return when;
}

function randomSession(): Session {
  return sessionWith({ sni: random(4) === 0 ? null : pick(names), client: { ip: pick(addresses), port: 1 }, destination: { ip: random(3) === 0 ? null : pick(addresses), port: pick([443, 80, 5061, 450]), host: random(2) === 0 ? pick(names) : null }, service: pick(['https', 'other']) });
}

describe('RuleIndex', () => {
  it('finds the rule that trying all would find', () => {
    let matched = 0;
    for (let round = 0; round < 300; round += 1) {
      const rules = Array.from({ length: 1 + random(80) }, () => ({ when: randomWhen(), then: 'tunnel' }));
      const policy = policyOf({ ssl: rules });
      for (let probe = 0; probe < 30; probe += 1) {
        const session = randomSession();
        const facts = new Facts().begin(session);
        const first = policy.stages.ssl.find(({ tests }) => tests.every((test) => test(facts)));
        const rule = policy.ssl(session).rule;
        expect(rule).toBe(first?.name ?? 'ssl/default');
        if (first !== undefined) matched += 1;
      }
    }
    expect(matched).toBeGreaterThan(1000);
  });
  it('names few of many rules', () => {
    const index = new RuleIndex(Array.from({ length: 1000 }, (_, number) => (number % 2 === 0 ? { sni: [`h${number}.example`] } : { client: [`10.${number % 250}.0.0/16`], port: [443] })));
    const bits = index.candidates(new Facts().begin(sessionWith({ sni: 'h500.example', client: { ip: '10.7.0.1', port: 1 } })));
    const numbers = Array.from({ length: 1000 }, (_, number) => number).filter((number) => ((bits[number >>> 5] ?? 0) >>> (number & 31)) % 2 === 1);
    expect(numbers).toEqual([7, 257, 500, 507, 757]);
  });
  it('files http rules under the request\'s host', () => {
    const policy = policyOf({ http: [{ when: { host: '.paste.example', method: 'POST' }, then: 'deny' }, { when: { host: 'x*.example' }, then: 'deny' }] });
    const request = (host: string): HttpFacts => ({ method: 'POST', host, path: '/', headers: new Set(), upgrade: null });
    expect(['paste.example', 'A.Paste.Example:443', 'other.example', 'xy.example'].map((host) => policy.http(sessionWith(), request(host)).rule)).toEqual(['http/#0', 'http/#0', 'http/default', 'http/#1']);
  });
});
