import { expect, test } from 'vitest';
import { netPlan } from '../../../src/net/plan.ts';
import { hasRoute, routedFamilies, routingLines, ruleCount } from '../../../src/net/routing.ts';

const own = { priority: 23_057, src: 'all', fwmark: '0x5a11', table: '23057' };

test('own rules are told from others', () => {
  const others = [{ priority: 0, src: 'all', table: 'local' }, { ...own, fwmark: '0x1' }, { ...own, table: '100' }, { ...own, priority: 5 }];
  expect(ruleCount(JSON.stringify([...others, own, own]))).toBe(2);
  expect(ruleCount(JSON.stringify(others))).toBe(0);
  for (const text of ['', '{}', 'Error', '[2', 'null', '[null, 3]']) expect(ruleCount(text)).toBe(0);
});

test('the route is recognised as both families print it', () => {
  expect(hasRoute('[{"type":"local","dst":"default","dev":"lo","scope":"host","flags":[]}]')).toBe(true);
  expect(hasRoute('[{"type":"local","dst":"default","dev":"lo","metric":1024,"flags":[],"pref":"medium"}]')).toBe(true);
  expect(hasRoute('[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}]')).toBe(false);
  expect(hasRoute('[]')).toBe(false);
});

const add = ['route replace local default dev lo table 23057', 'rule add pref 23057 fwmark 0x5a11 lookup 23057'];
const remove = 'rule del pref 23057 fwmark 0x5a11 lookup 23057';
test.each([
  ['from nothing', true, 0, false, add],
  ['again', true, 1, true, []],
  ['the rule doubled', true, 3, true, [remove, remove]],
  ['the route lost', true, 1, false, add.slice(0, 1)],
  ['the rule lost', true, 0, true, add.slice(1)],
  ['away', false, 1, true, [remove, 'route del local default dev lo table 23057']],
  ['away again', false, 0, false, []],
] as const)('%s', (_name, wanted, rules, route, lines) => {
  expect(routingLines(wanted, rules, route)).toEqual(lines);
});

test('families of redirected services that dial from their clients\' addresses are routed too', () => {
  const plan = netPlan([{ name: 'x', type: 'ssl', listen: { host: '0.0.0.0', port: 1 }, acquire: 'redirect', source: 'client', intercept: null }]);
  expect(routedFamilies(plan)).toEqual([4]);
});

test('only families with TPROXY are routed', () => {
  const plan = (host: string, acquire: 'redirect' | 'tproxy') => netPlan([{ name: 'x', type: 'ssl', listen: { host, port: 1 }, acquire, intercept: null }]);
  expect(routedFamilies(plan('::', 'tproxy'))).toEqual([4, 6]);
  expect(routedFamilies(plan('0.0.0.0', 'tproxy'))).toEqual([4]);
  expect(routedFamilies(plan('::', 'redirect'))).toEqual([]);
});
