// Each condition by itself: what matches, what does not, and that an absent fact matches nothing.

import { describe, expect, it } from 'vitest';
import { policyStages } from '../../../src/core/verdicts.ts';
import { addressMatches } from '../../../src/core/session.ts';
import type { AddressMatch, Session } from '../../../src/core/session.ts';
import type { HttpFacts } from '../../../src/core/verdicts.ts';
import { compileWhen, testsOf } from '../../../src/policy/conditions.ts';
import { Facts } from '../../../src/policy/facts.ts';
import { parseHostList } from '../../../src/policy/host-list.ts';
import { stageConditions } from '../../../src/policy/rules.ts';
import type { When } from '../../../src/policy/rules.ts';
import { policyOf, rulesOf, sessionWith } from './support.ts';

const lists = new Map([['names.txt', parseHostList(Buffer.from('bank.example\n'), 10).list]]);

function holds(when: When, session: Partial<Session> = {}, prepare: (facts: Facts) => void = () => {}): boolean {
  const facts = new Facts().begin(sessionWith(session));
  prepare(facts);
  return testsOf(compileWhen(when, { lists, everyProblem: false })).every((test) => test(facts));
}

const request: HttpFacts = { method: 'POST', host: 'Www.Example.com:8080', path: '/a/b?q=1', headers: new Set(['x-token', 'range']), upgrade: 'websocket' };
const http = (facts: Partial<HttpFacts>) => (all: Facts): void => {
  all.http = { ...request, ...facts };
};

describe('the session', () => {
  it('client: networks of both families', () => {
    expect(holds({ client: ['10.0.0.0/8'] })).toBe(true);
    expect(holds({ client: ['10.1.2.3'] })).toBe(true);
    expect(holds({ client: ['10.1.2.4', '2001:db8::/32'] })).toBe(false);
    expect(holds({ client: ['2001:db8::/32'] }, { client: { ip: '2001:db8:1::5', port: 1 } })).toBe(true);
    expect(holds({ client: ['10.0.0.0/8'] }, { client: { ip: '::ffff:10.1.1.1', port: 1 } })).toBe(true);
  });
  it('destination: networks, and patterns of the name asked for', () => {
    expect(holds({ destination: ['203.0.113.0/24'] })).toBe(true);
    expect(holds({ destination: ['*.contoso.com'] })).toBe(false);
    const named = { destination: { ip: null, port: 443, host: 'Sip.Contoso.com' } };
    expect(holds({ destination: ['192.0.2.0/24', '*.contoso.com'] }, named)).toBe(true);
    expect(holds({ destination: ['0.0.0.0/0', '::/0'] }, named)).toBe(false);
  });
  it('port: numbers and ranges, ends included', () => {
    const to = (port: number): Partial<Session> => ({ destination: { ip: '203.0.113.9', port, host: null } });
    expect([443, 5060, 5065, 5070].every((port) => holds({ port: [443, '5060-5070'] }, to(port)))).toBe(true);
    expect([442, 5059, 5071].some((port) => holds({ port: [443, '5060-5070'] }, to(port)))).toBe(false);
  });
  it('service and user', () => {
    expect(holds({ service: ['proxy', 'https'] })).toBe(true);
    expect(holds({ service: ['http'] })).toBe(false);
    expect(holds({ user: ['*'] })).toBe(false);
    expect(holds({ user: ['DOM\\*'] }, { user: 'dom\\alice' })).toBe(true);
  });
  it('time: judged at the session\'s start', () => {
    const at = new Date(2026, 2, 4, 9, 30).getTime();
    expect(holds({ time: ['wed 09:00-10:00'] }, { startedAt: at })).toBe(true);
    expect(holds({ time: ['thu', '10:00-12:00'] }, { startedAt: at })).toBe(false);
  });
});

describe('the ClientHello', () => {
  it('sni: names, everything below, and patterns; case and a trailing dot do not count', () => {
    for (const sni of ['www.bank.example', 'A.B.Bank.Example.']) expect(holds({ sni: ['*.bank.example'] }, { sni })).toBe(true);
    for (const sni of ['bank.example', 'xbank.example', 'bank.example.org', null]) expect(holds({ sni: ['*.bank.example'] }, { sni })).toBe(false);
    for (const sni of ['bank.example', 'x.bank.example']) expect(holds({ sni: ['.bank.example'] }, { sni })).toBe(true);
    expect(holds({ sni: ['BANK.example'] }, { sni: 'bank.example' })).toBe(true);
    expect(holds({ sni: ['edge-??.example'] }, { sni: 'edge-07.example' })).toBe(true);
  });
  it('a hello without a name is found by not', () => {
    expect(holds({ not: { sni: ['*'] } })).toBe(true);
    expect(holds({ not: { sni: ['*'] } }, { sni: 'x.example' })).toBe(false);
  });
  it('alpn: one of those offered; ja4: patterns', () => {
    expect(holds({ alpn: ['h2'] }, { alpn: ['h2', 'http/1.1'] })).toBe(true);
    expect(holds({ alpn: ['h3', 'sip'] }, { alpn: ['h2'] })).toBe(false);
    expect(holds({ alpn: ['*'] })).toBe(false);
    expect(holds({ ja4: ['t13d1516h2_*'] }, { ja4: 't13d1516h2_8daaf6152771_02713d6af862' })).toBe(true);
    expect(holds({ ja4: ['t12*'] }, { ja4: 't13d1516h2_8daaf6152771_02713d6af862' })).toBe(false);
  });
  it('address: what was found of the name claimed; nothing found matches nothing', () => {
    const claim = (address: AddressMatch): Partial<Session> => ({ sni: 'a.example', claim: { name: 'a.example', address } });
    for (const address of addressMatches) {
      expect(addressMatches.filter((word) => holds({ address: [word] }, claim(address)))).toEqual([address]);
      expect(holds({ not: { address: [address] } }, claim(address))).toBe(false);
    }
    expect(holds({ address: addressMatches }, { sni: 'a.example' })).toBe(false);
    expect(holds({ address: addressMatches }, { claim: null })).toBe(false);
  });
  it('address of a request: the connection\'s name only, unless its host is what was dialled', () => {
    const claim = { name: 'www.example.com', address: 'named' } as const;
    expect(holds({ address: ['named'] }, { claim }, http({}))).toBe(true);
    expect(holds({ address: ['other'] }, { claim }, http({ host: 'else.example.com' }))).toBe(true);
    expect(holds({ address: ['unresolved'] }, { claim: null }, http({}))).toBe(true);
    expect(holds({ address: addressMatches }, {}, http({}))).toBe(false);
    expect(holds({ address: ['named'] }, { destination: { ip: null, port: 80, host: 'www.example.com' } }, http({}))).toBe(true);
  });
  it('file: by SNI, else by the host asked for, and by the request\'s host where there is a request', () => {
    const named = { destination: { ip: null, port: 443, host: 'www.bank.example' } };
    expect(holds({ file: ['names.txt'] }, { sni: 'www.bank.example' })).toBe(true);
    expect(holds({ file: ['names.txt'] }, named)).toBe(true);
    expect(holds({ file: ['names.txt'] }, { ...named, sni: 'other.example' })).toBe(false);
    expect(holds({ file: ['names.txt'] }, { sni: 'other.example' }, http({ host: 'bank.example:443' }))).toBe(true);
    expect(holds({ file: ['names.txt'] })).toBe(false);
  });
});

describe('requests', () => {
  it('method, host without port, header, upgrade', () => {
    expect(holds({ method: ['post'], host: ['*.example.com'], header: ['X-Token'], upgrade: ['WebSocket'] }, {}, http({}))).toBe(true);
    expect(holds({ header: ['Cookie'] }, {}, http({}))).toBe(false);
    expect(holds({ upgrade: ['*'] }, {}, http({ upgrade: null }))).toBe(false);
    expect(holds({ host: ['*'] }, {}, http({ host: null }))).toBe(false);
    expect(holds({ host: ['[2001:db8::1]'.slice(1, -1)] }, {}, http({ host: '[2001:DB8::1]:443' }))).toBe(true);
  });
  it('path: another spelling of the same path does not get round a rule', () => {
    for (const path of ['/admin/x', '/%61dmin/x', '//admin/x', '/public/../admin/x', '/./admin/x', '/admin%2Fx', '/public/%2e%2e/admin/x?y', 'http://h/admin/x', '\\admin\\x']) {
      expect([path, holds({ path: ['/admin/*'] }, {}, http({ path }))]).toEqual([path, true]);
    }
    for (const path of ['/Admin/x', '/public/admin/x', '/admin', '/?/admin/x', '*']) expect([path, holds({ path: ['/admin/*'] }, {}, http({ path }))]).toEqual([path, false]);
  });
  it('sip and turn facts', () => {
    const sip = (facts: Facts): void => {
      facts.sip = { method: 'REGISTER', from: 'sip:alice@contoso.com', to: null, agent: 'UCCAPI/16.0 OC/16.0' };
    };
    expect(holds({ method: ['register'], from: ['sip:*@contoso.com'], agent: ['uccapi/*'] }, {}, sip)).toBe(true);
    expect(holds({ to: ['*'] }, {}, sip)).toBe(false);
    const turn = (peer: string | null) => (facts: Facts): void => {
      facts.turn = { message: 'Allocate request', peer };
    };
    expect(holds({ message: ['allocate*'] }, {}, turn(null))).toBe(true);
    expect(holds({ peer: ['0.0.0.0/0'] }, {}, turn(null))).toBe(false);
    expect(holds({ peer: ['2001:db8::/32'] }, {}, turn('[2001:db8::7]:3478'))).toBe(true);
    expect(holds({ peer: ['2001:db8::/32'] }, {}, turn('2001:db8::7'))).toBe(true);
  });
});

describe('not', () => {
  it('negates the conjunction: it must not hold as a whole', () => {
    const when = { not: { sni: ['a.example'], port: [443] } };
    expect(holds(when, { sni: 'a.example' })).toBe(false);
    expect(holds(when, { sni: 'b.example' })).toBe(true);
    expect(holds(when, { sni: 'a.example', destination: { ip: null, port: 8443, host: null } })).toBe(true);
  });
  it('joins the plain conditions by and', () => {
    const when = { client: ['10.0.0.0/8'], not: { port: [443] } };
    expect(holds(when)).toBe(false);
    expect(holds(when, { destination: { ip: null, port: 80, host: null } })).toBe(true);
    expect(holds(when, { client: { ip: '11.0.0.1', port: 1 }, destination: { ip: null, port: 80, host: null } })).toBe(false);
  });
  it('an empty when matches everything', () => {
    expect(holds({})).toBe(true);
    expect(policyOf({ connection: [{ when: {}, then: 'deny' }] }).connection(sessionWith()).action).toBe('deny');
  });
});

describe('stages', () => {
  const value: Record<string, unknown> = { client: '10.0.0.1', destination: '10.0.0.1', port: 1, service: 's', time: 'mon', address: 'other', sni: 'x', file: 'f', problem: 'expired', name: 'x', protocol: 'sip', tls: 'none', host: 'x', peer: '10.0.0.1' };
  const then: Record<string, string> = { ssl: 'tunnel', protocol: 'relay' };
  it.each(policyStages)('%s takes the conditions whose facts it has, and no other', (stage) => {
    const known: readonly string[] = stageConditions[stage];
    const every = new Set(policyStages.flatMap((name): readonly string[] => stageConditions[name]));
    for (const key of every) {
      const read = (): unknown => rulesOf({ [stage]: [{ when: { [key]: value[key] ?? 'x' }, then: then[stage] ?? 'deny' }] });
      if (known.includes(key)) expect(read).not.toThrow();
      else expect(read).toThrow();
    }
  });
});
