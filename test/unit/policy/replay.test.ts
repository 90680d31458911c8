// That a policy says of real sessions what the gateway did with them is held after every lab test (test/lab/support/replayed.ts); here it is
// what a changed policy would change.

import { describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { compilePolicy } from '../../../src/policy/decide.ts';
import { nobody } from '../../../src/policy/facts.ts';
import { readRecorded } from '../../../src/policy/recorded.ts';
import { replay } from '../../../src/policy/replay.ts';
import type { PolicyRules, ServiceSettings } from '../../../src/policy/rules.ts';
import { accessLine } from '../../../src/sessions/access-log.ts';

const upstream = { version: 'TLSv1.3', cipher: 'x', alpn: null, name: 'verified', problems: [] } as const;
const base: Session = {
  ...nobody, id: 'w0-1', service: 'https', client: { ip: '192.0.2.7', port: 50_000 }, destination: { ip: '203.0.113.9', port: 443, host: null },
  startedAt: 1, endedAt: 2, state: 'closed', sni: 'www.example.com', ja4: 't13d', chain: ['tls', 'https'], protocol: 'https', action: 'intercept', rule: 'ssl/all',
};

function ask(changes: Partial<Session>, rules: Partial<PolicyRules>, service: Partial<ServiceSettings> = {}): unknown {
  const policy = compilePolicy({ connection: [], ssl: [{ name: 'all', then: 'intercept' }], certificate: [], protocol: [], http: [], sip: [], turn: [], ...rules }, {
    services: new Map([['https', { type: 'ssl', detectProtocol: true, ...service }]]), tunnelOnError: false, lists: new Map(), verdictsMax: 10,
  });
  const flow = readRecorded(accessLine({ ...base, ...changes }));
  if (flow === null) throw new Error('not read');
  return replay(policy, flow)?.would ?? null;
}

describe('what a policy would do with a recorded session', () => {
  it.each<[string, Partial<Session>, Partial<PolicyRules>, string, string]>([
    ['nothing changed', {}, {}, 'intercept', 'ssl/all'],
    ['a connection rule denies', {}, { connection: [{ name: 'no', when: { client: ['192.0.2.0/24'] }, then: 'deny' }] }, 'deny', 'connection/no'],
    ['a name is tunnelled', {}, { ssl: [{ name: 'bank', when: { sni: ['www.example.com'] }, then: 'tunnel' }] }, 'tunnel', 'ssl/bank'],
    ['closed TLS is denied by the protocol stage', {}, { ssl: [], protocol: [{ name: 'no-tls', when: { protocol: ['tls'] }, then: 'deny' }] }, 'deny', 'protocol/no-tls'],
    ['a tunnel is opened: what is inside was never seen', { chain: ['tls'], protocol: 'tls', action: 'tunnel', rule: 'ssl/default' }, {}, 'intercept', 'ssl/all'],
    ['a protocol inside is denied', { chain: ['tls', 'unknown'], protocol: 'unknown', action: 'relay' }, { protocol: [{ name: 'known', when: { tls: ['intercepted'], not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' }] }, 'deny', 'protocol/known'],
    ['handoff taken away: relayed', {}, { ssl: [{ name: 'stunnel', then: 'intercept', handoff: false }] }, 'relay', 'ssl/stunnel'],
    ['detection of the protocol switched off: unknown, relayed', {}, { ssl: [{ name: 'blind', then: 'intercept', detect: { off: ['https'] } }] }, 'relay', 'ssl/blind'],
    ['a tunnelled error is no longer listed', { tunnelledOnError: 'UPSTREAM_TLS_ALERT', action: 'tunnel', chain: ['tls'], protocol: 'tls' }, {}, 'fail', 'ssl/all'],
    ['an error is listed now', { error: 'UPSTREAM_TLS_ALERT', state: 'errored', chain: ['tls'], protocol: 'tls' }, { ssl: [{ name: 'all', then: 'intercept', tunnelOnError: true }] }, 'tunnel', 'ssl/all'],
    ['a required client certificate follows clientCert', { tunnelledOnError: 'UPSTREAM_WANTS_CLIENT_CERT', action: 'tunnel', chain: ['tls'] }, { ssl: [{ name: 'all', then: 'intercept', tunnelOnError: true, clientCert: 'deny' }] }, 'fail', 'ssl/all'],
    ['a merely offered one that is no longer listed is opened', { tunnelledOnError: 'UPSTREAM_OFFERS_CLIENT_CERT', action: 'tunnel', chain: ['tls'] }, {}, 'intercept', 'ssl/all'],
    ['a bad certificate accepted, then denied', { tls: { ...base.tls, upstream: { ...upstream, problems: ['expired'] } }, rule: 'certificate/#0' }, {}, 'deny', 'certificate/default'],
    ['a bad certificate denied, then tunnelled', { error: 'UPSTREAM_CERT_EXPIRED', errorDetail: 'expired, name', action: 'deny', chain: ['tls'] }, { certificate: [{ when: { problem: ['name'] }, then: 'tunnel' }] }, 'tunnel', 'certificate/#0'],
    ['intercept-on-exception closes what has no fault', {}, { ssl: [{ name: 'careful', then: 'intercept-on-exception' }] }, 'tunnel', 'ssl/careful'],
    ['intercept-on-exception tells of what has one', { tls: { ...base.tls, upstream: { ...upstream, problems: ['expired'] } } }, { ssl: [{ name: 'careful', then: 'intercept-on-exception' }] }, 'deny', 'certificate/default'],
    ['minting failed after an accepted certificate', { error: 'MINT_FAILED', chain: ['tls'], tls: { ...base.tls, upstream: { ...upstream, problems: ['name'] } } }, { certificate: [{ then: 'accept' }] }, 'fail', 'certificate/#0'],
    ['a learned bypass holds', { rule: 'learned/www.example.com', action: 'tunnel', chain: ['tls'] }, {}, 'tunnel', 'learned/www.example.com'],
    ['a learned bypass is forbidden', { rule: 'learned/www.example.com', action: 'tunnel', chain: ['tls'] }, { ssl: [{ name: 'never', then: 'intercept', learned: false }] }, 'intercept', 'ssl/never'],
    ['not TLS on an ssl service', { tunnelledOnError: 'NOT_TLS', action: 'tunnel', chain: ['unknown'], protocol: 'unknown' }, {}, 'fail', 'connection/default'],
    ['not TLS, listed', { error: 'NOT_TLS', chain: ['unknown'], protocol: 'unknown', action: null, rule: 'connection/default' }, { connection: [{ name: 'all', then: 'allow', tunnelOnError: ['NOT_TLS'] }] }, 'tunnel', 'protocol/default'],
    ['HTTP that was none inside, no longer listed', { tunnelledOnError: 'HTTP_MALFORMED', action: 'relay', chain: ['tls', 'https'], protocol: 'unknown' }, {}, 'fail', 'ssl/all'],
    ['a tunnel of the connection stage lifted: nobody knows', { chain: ['undetected'], protocol: 'undetected', action: 'tunnel', rule: 'connection/x', sni: null }, {}, 'unseen', 'connection/default'],
  ])('%s', (_name, changes, rules, fate, rule) => {
    expect(ask(changes, rules)).toEqual({ fate, rule });
  });

  it('plain protocols are handed off, denied or relayed', () => {
    const sip: Partial<Session> = { chain: ['sip'], protocol: 'sip', action: 'handoff', rule: 'protocol/default' };
    expect(ask(sip, {}, { type: 'tcp-tunnel' })).toEqual({ fate: 'handoff', rule: 'protocol/default' });
    expect(ask(sip, { protocol: [{ name: 'no', when: { protocol: ['sip-any'] }, then: 'deny' }] }, { type: 'tcp-tunnel' })).toEqual({ fate: 'deny', rule: 'protocol/no' });
    expect(ask(sip, {}, { type: 'tcp-tunnel', detectProtocol: ['tls'] })).toEqual({ fate: 'relay', rule: 'protocol/default' });
    expect(ask(sip, { protocol: [{ name: 'off', when: { protocol: ['undetected'] }, then: 'deny' }] }, { type: 'tcp-tunnel', detectProtocol: false })).toEqual({ fate: 'deny', rule: 'protocol/off' });
  });

  it('TLS that is not looked for is unknown, and undetected only where nothing is', () => {
    const rules: Partial<PolicyRules> = { protocol: [{ name: 'unknown', when: { protocol: ['unknown'] }, then: 'deny' }, { name: 'undetected', when: { protocol: ['undetected'] }, then: 'deny' }] };
    expect(ask({}, rules, { type: 'tcp-tunnel', detectProtocol: ['http'] })).toEqual({ fate: 'deny', rule: 'protocol/unknown' });
    expect(ask({}, rules, { type: 'tcp-tunnel', detectProtocol: false })).toEqual({ fate: 'deny', rule: 'protocol/undetected' });
  });

  it('the layer of an explicit service is no layer of the flow, and its destination was asked for by name', () => {
    const socks = { chain: ['socks', 'tls', 'https'], destination: { ip: '203.0.113.9', host: 'www.example.com', port: 443 } };
    expect(ask(socks, {})).toEqual({ fate: 'intercept', rule: 'ssl/all' });
    expect(ask(socks, { connection: [{ when: { destination: ['203.0.113.0/24'] }, then: 'deny' }] })).toEqual({ fate: 'intercept', rule: 'ssl/all' });
    expect(ask(socks, { connection: [{ when: { destination: ['*.example.com'] }, then: 'deny' }] })).toEqual({ fate: 'deny', rule: 'connection/#0' });
  });

  it.each([[{ rule: null, action: null }], [{ error: 'REQUEST_DENIED' as const }], [{ error: 'AUTH_REQUIRED' as const }], [{ error: 'HTTP_MALFORMED' as const }], [{ rule: 'revocation/any-client', chain: ['http'], protocol: 'http' as const, action: 'handoff' as const }], [{ chain: ['http-explicit', 'http'], protocol: 'http' as const }]])('%j is not for these stages', (changes) => {
    expect(ask(changes, {})).toBeNull();
  });
});
