import { expect, test } from 'vitest';
import { entryRefusal } from '../../../src/core/entry-verdict.ts';
import type { Session } from '../../../src/core/session.ts';
import { compilePolicy } from '../../../src/policy/decide.ts';
import { nobody } from '../../../src/policy/facts.ts';
import type { PolicyRules } from '../../../src/policy/rules.ts';

const denyUndetected: PolicyRules['protocol'] = [{ name: 'no', when: { tls: ['none'], protocol: ['undetected'] }, then: 'deny' }];

function ask(detectProtocol: boolean | string[], rules: Partial<PolicyRules>): { refusal: string | null; session: Session; counted: string[] } {
  const counted: string[] = [];
  const session: Session = { ...nobody, service: 'proxy', destination: { ip: null, host: 'a.example', port: 443 }, chain: [], details: {} };
  const policy = compilePolicy({ connection: [], ssl: [], certificate: [], protocol: [], http: [], sip: [], turn: [], ...rules }, {
    services: new Map([['proxy', { type: 'http-explicit', detectProtocol }]]), tunnelOnError: false, lists: new Map(), verdictsMax: 10,
  });
  const meter = { add: (name: string, labels: readonly string[] = []) => void counted.push([name, ...labels].join(' ')), set() {}, observe() {} };
  return { refusal: entryRefusal(session, { policy, meter })?.code ?? null, session, counted };
}

test('a connection rule denies', () => {
  const { refusal, session, counted } = ask(true, { connection: [{ name: 'no', then: 'deny' }] });
  expect([refusal, session.action, session.rule, counted]).toEqual(['CONNECTION_DENIED', 'deny', 'connection/no', ['policy_decisions_total connection deny']]);
});

test('with detection off what follows is undetected already', () => {
  const { refusal, session, counted } = ask(false, { protocol: denyUndetected });
  expect([refusal, session.action, session.rule, counted]).toEqual(['PROTOCOL_DENIED', 'deny', 'protocol/no', ['policy_decisions_total protocol deny']]);
});

test.each<[string, boolean | string[], Partial<PolicyRules>]>([
  ['nothing denies', false, {}],
  ['detection is on', true, { protocol: denyUndetected }],
  ['something is looked for', ['tls'], { protocol: denyUndetected }],
  ['a rule switches it on', false, { connection: [{ then: 'allow', detect: { on: ['tls'] } }], protocol: denyUndetected }],
  ['a connection rule tunnels', false, { connection: [{ then: 'tunnel' }], protocol: denyUndetected }],
  ['an earlier rule lets it pass', false, { protocol: [{ when: { service: ['proxy'] }, then: 'relay' }, ...denyUndetected] }],
])('goes on where %s', (_name, detect, rules) => {
  const { refusal, session, counted } = ask(detect, rules);
  expect([refusal, session.action, session.rule, counted]).toEqual([null, null, null, []]);
});
