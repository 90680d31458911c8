// Decisions of every stage: defaults, first match, and what services and defaults settle where a rule is silent.

import { describe, expect, it } from 'vitest';
import { tunnelOnErrorDefault } from '../../../src/core/errors.ts';
import { policyStages } from '../../../src/core/verdicts.ts';
import type { HttpFacts } from '../../../src/core/verdicts.ts';
import { protocolNames, protocolStates } from '../../../src/core/protocols.ts';
import { optionsWith, policyOf, sessionWith } from './support.ts';

const get: HttpFacts = { method: 'GET', host: 'www.example.com', path: '/', headers: new Set(), upgrade: null };

describe('whether names must be looked up beforehand', () => {
  it('only where a rule asks, plainly or by not', () => {
    expect(policyOf({ ssl: [{ when: { sni: 'a.example' }, then: 'tunnel' }] }).asksForClaim).toBe(false);
    expect(policyOf({ ssl: [{ when: { address: 'other' }, then: 'deny' }] }).asksForClaim).toBe(true);
    expect(policyOf({ http: [{ when: { not: { address: 'named' } }, then: 'deny' }] }).asksForClaim).toBe(true);
  });
});

describe('no rule matched', () => {
  const policy = policyOf({});
  const session = sessionWith();
  it('allows connections', () => expect(policy.connection(session)).toMatchObject({ action: 'allow', rule: 'connection/default', serverFirst: false }));
  it('tunnels TLS', () => expect(policy.ssl(session)).toMatchObject({ action: 'tunnel', rule: 'ssl/default' }));
  it('denies bad certificates', () => expect(policy.certificate(session, ['expired'])).toEqual({ action: 'deny', rule: 'certificate/default' }));
  it('hands known protocols off and relays the rest', () => {
    expect(policy.protocol(session, 'sips', 'intercepted')).toEqual({ action: 'handoff', rule: 'protocol/default' });
    expect(policy.protocol(session, 'unknown', 'intercepted').action).toBe('relay');
    expect(policy.protocol(session, 'undetected', 'none').action).toBe('relay');
    expect(policy.protocol(session, 'tls', 'tunnelled').action).toBe('relay');
  });
  it('allows requests', () => {
    expect(policy.http(session, get)).toEqual({ action: 'allow', rule: 'http/default', status: null });
    expect(policy.sip(session, { method: 'INVITE', from: null, to: null, agent: null }).rule).toBe('sip/default');
    expect(policy.turn(session, { message: 'Allocate request', peer: null }).rule).toBe('turn/default');
  });
  it('has rules in no stage', () => expect(policyStages.some((stage) => policy.has(stage))).toBe(false));
  it('an allow rule can deny nothing', () => expect(policyOf({ sip: [{ then: 'allow' }] }).has('sip')).toBe(false));
});

describe('rules', () => {
  it('the first that matches decides, named or by index', () => {
    const policy = policyOf({ connection: [{ when: { client: '192.0.2.0/24' }, then: 'deny' }, { name: 'mine', when: { client: '10.0.0.0/8' }, then: 'tunnel' }, { then: 'deny' }] });
    expect(policy.connection(sessionWith())).toMatchObject({ action: 'tunnel', rule: 'connection/mine' });
    expect(policy.connection(sessionWith({ client: { ip: '192.0.2.7', port: 1 } }))).toMatchObject({ action: 'deny', rule: 'connection/#0' });
    expect(policy.connection(sessionWith({ client: { ip: '2001:db8::1', port: 1 } })).rule).toBe('connection/#2');
  });
  it('two sessions in turn do not see each other\'s facts', () => {
    const policy = policyOf({ ssl: [{ when: { sni: '*.bank.example', client: '10.0.0.0/8' }, then: 'tunnel' }, { then: 'deny' }] });
    const bank = sessionWith({ sni: 'www.bank.example' });
    for (let round = 0; round < 3; round += 1) {
      expect(policy.ssl(bank).action).toBe('tunnel');
      expect(policy.ssl(sessionWith({ sni: 'bank.example' })).action).toBe('deny');
      expect(policy.ssl({ ...bank, client: { ip: '11.0.0.1', port: 1 } }).action).toBe('deny');
    }
  });
  it('a session that changes between stages is seen as it is', () => {
    const policy = policyOf({ ssl: [{ when: { sni: 'a.example', user: 'alice' }, then: 'deny' }] });
    const session = sessionWith();
    expect(policy.ssl(session).action).toBe('tunnel');
    session.sni = 'A.Example.';
    session.user = 'Alice';
    expect(policy.ssl(session).action).toBe('deny');
  });
  it('equal decisions share one verdict object', () => {
    const policy = policyOf({ ssl: [{ then: 'intercept' }] });
    expect(policy.ssl(sessionWith())).toBe(policy.ssl(sessionWith({ sni: 'other.example' })));
    expect(policy.connection(sessionWith())).toBe(policy.connection(sessionWith()));
  });
  it('remembers no more verdicts than its bound', () => {
    const services = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`s${index}`, {}]));
    const policy = policyOf({ ssl: [{ then: 'intercept' }] }, optionsWith(services, { verdictsMax: 5 }));
    const first = policy.ssl(sessionWith({ service: 's0' }));
    for (const service of Object.keys(services)) expect(policy.ssl(sessionWith({ service })).rule).toBe('ssl/#0');
    expect(policy.ssl(sessionWith({ service: 's0' }))).not.toBe(first);
    expect(policy.ssl(sessionWith({ service: 's0' }))).toEqual(first);
  });
  it('handoff to a state that has no handler is a relay', () => {
    const policy = policyOf({ protocol: [{ name: 'all', then: 'handoff' }] });
    expect(policy.protocol(sessionWith(), 'unknown', 'intercepted')).toEqual({ action: 'relay', rule: 'protocol/all' });
    expect(policy.protocol(sessionWith(), 'https', 'intercepted')).toEqual({ action: 'handoff', rule: 'protocol/all' });
  });
  it('requests are refused with the rule\'s status', () => {
    const policy = policyOf({ http: [{ when: { method: ['POST', 'PUT'], path: '/admin/*' }, then: 'deny', status: 404 }], sip: [{ when: { method: 'MESSAGE' }, then: 'deny', status: 488 }], turn: [{ when: { peer: '10.0.0.0/8' }, then: 'deny' }] });
    expect(policy.http(sessionWith(), { ...get, method: 'PUT', path: '/admin/users' })).toEqual({ action: 'deny', rule: 'http/#0', status: 404 });
    expect(policy.http(sessionWith(), { ...get, path: '/admin/users' }).action).toBe('allow');
    expect(policy.sip(sessionWith(), { method: 'MESSAGE', from: null, to: null, agent: null })).toEqual({ action: 'deny', rule: 'sip/#0', status: 488 });
    for (const peer of ['10.9.9.9', '10.9.9.9:3478']) expect(policy.turn(sessionWith(), { message: 'Send request', peer }).action).toBe('deny');
    for (const peer of ['11.0.0.1:10', '[2001:db8::1]:5', null]) expect(policy.turn(sessionWith(), { message: 'Send request', peer }).action).toBe('allow');
  });
});

describe('certificates', () => {
  const accept = policyOf({ certificate: [{ when: { problem: ['expired', 'name'] }, then: 'accept' }, { when: { problem: ['expired'] }, then: 'mirror-untrusted' }] });
  it('an accepting rule matches only when every problem is listed', () => {
    expect(accept.certificate(sessionWith(), ['expired']).action).toBe('accept');
    expect(accept.certificate(sessionWith(), ['name', 'expired']).action).toBe('accept');
    expect(accept.certificate(sessionWith(), ['expired', 'untrusted']).action).toBe('mirror-untrusted');
    expect(accept.certificate(sessionWith(), ['untrusted']).action).toBe('deny');
  });
  it('invalid is neither accepted nor mirrored, even by a rule without conditions', () => {
    const policy = policyOf({ certificate: [{ then: 'accept' }, { then: 'mirror-untrusted' }, { name: 'let go', then: 'tunnel' }] });
    expect(policy.certificate(sessionWith(), ['weak']).action).toBe('accept');
    expect(policy.certificate(sessionWith(), ['weak', 'invalid'])).toEqual({ action: 'tunnel', rule: 'certificate/let go' });
    expect(policyOf({ certificate: [{ then: 'accept' }] }).certificate(sessionWith(), ['invalid'])).toEqual({ action: 'deny', rule: 'certificate/default' });
  });
  it('asks by the SNI, else by the destination\'s host', () => {
    const policy = policyOf({ certificate: [{ when: { name: '*.bank.example' }, then: 'tunnel' }] });
    expect(policy.certificate(sessionWith({ sni: 'www.bank.example' }), ['expired']).action).toBe('tunnel');
    expect(policy.certificate(sessionWith({ destination: { ip: null, port: 443, host: 'www.bank.example' } }), ['expired']).action).toBe('tunnel');
    expect(policy.certificate(sessionWith({ sni: 'x.example', destination: { ip: null, port: 443, host: 'www.bank.example' } }), ['expired']).action).toBe('deny');
  });
});

describe('tunnel on error', () => {
  const session = sessionWith();
  it('true lists exactly the codes of the table', () => {
    const policy = policyOf({ ssl: [{ then: 'intercept', tunnelOnError: true }] });
    expect([...policy.ssl(session).tunnelOnError].sort()).toEqual([...tunnelOnErrorDefault].sort());
  });
  it('a rule goes over the service, the service over the default', () => {
    const options = optionsWith({ https: { tunnelOnError: ['NOT_TLS'] }, plain: {} }, { tunnelOnError: ['MINT_FAILED'] });
    const ruled = policyOf({ ssl: [{ then: 'intercept', tunnelOnError: ['CA_EXPIRED'] }] }, options);
    const silent = policyOf({ ssl: [{ then: 'intercept' }] }, options);
    expect([...ruled.ssl(session).tunnelOnError]).toEqual(['CA_EXPIRED']);
    expect(ruled.errorSetting(session, 'ssl').from).toBe('rule ssl/#0');
    expect([...silent.ssl(session).tunnelOnError]).toEqual(['NOT_TLS']);
    expect(silent.errorSetting(session, 'ssl').from).toBe('service https');
    expect([...silent.ssl(sessionWith({ service: 'plain' })).tunnelOnError]).toEqual(['MINT_FAILED']);
    expect(silent.errorSetting(sessionWith({ service: 'plain' }), 'ssl').from).toBe('default');
  });
  it('an empty list or false of a rule switches a service\'s setting off', () => {
    const options = optionsWith({ https: { tunnelOnError: true } });
    for (const tunnelOnError of [false, []]) expect(policyOf({ ssl: [{ then: 'intercept', tunnelOnError }] }, options).ssl(session).tunnelOnError.size).toBe(0);
  });
  it('before a ClientHello was read, the ssl rule that takes nameless flows speaks for its stage', () => {
    const policy = policyOf({ ssl: [{ when: { sni: '*.bank.example' }, then: 'tunnel', tunnelOnError: ['CA_EXPIRED'] }, { then: 'intercept', tunnelOnError: true }] });
    expect(policy.connection(session).tunnelOnError.has('NOT_TLS')).toBe(true);
    expect(policy.connection(session).tunnelOnError.has('HELLO_MALFORMED')).toBe(true);
  });
  it('of a connection and an ssl rule, the one of the stage at hand goes first', () => {
    const policy = policyOf({ connection: [{ then: 'allow', tunnelOnError: ['NOT_TLS'] }], ssl: [{ then: 'intercept', tunnelOnError: ['CA_EXPIRED'] }] });
    expect([...policy.connection(session).tunnelOnError]).toEqual(['NOT_TLS']);
    expect([...policy.ssl(session).tunnelOnError]).toEqual(['CA_EXPIRED']);
    const silent = policyOf({ connection: [{ then: 'allow', tunnelOnError: ['NOT_TLS'] }], ssl: [{ then: 'intercept' }] });
    expect([...silent.ssl(session).tunnelOnError]).toEqual(['NOT_TLS']);
  });
  it('clientCert: tunnel acts on required ones, on offered ones only when listed', () => {
    const only = policyOf({ ssl: [{ then: 'intercept', tunnelOnError: false, clientCert: 'tunnel' }] }).ssl(session);
    expect([...only.tunnelOnError]).toEqual(['UPSTREAM_WANTS_CLIENT_CERT']);
    const both = policyOf({ ssl: [{ then: 'intercept', tunnelOnError: ['UPSTREAM_OFFERS_CLIENT_CERT'], clientCert: 'tunnel' }] }).ssl(session);
    expect([...both.tunnelOnError].sort()).toEqual(['UPSTREAM_OFFERS_CLIENT_CERT', 'UPSTREAM_WANTS_CLIENT_CERT']);
  });
  it.each(['continue', 'deny'] as const)('clientCert: %s tunnels neither', (clientCert) => {
    const verdict = policyOf({ ssl: [{ then: 'intercept', tunnelOnError: true, clientCert }] }).ssl(session);
    expect(verdict.clientCert).toBe(clientCert);
    expect(verdict.tunnelOnError.has('UPSTREAM_WANTS_CLIENT_CERT')).toBe(false);
    expect(verdict.tunnelOnError.has('NOT_TLS')).toBe(true);
  });
  it('clientCert unsaid follows tunnelOnError', () => {
    expect(policyOf({ ssl: [{ then: 'intercept', tunnelOnError: true }] }).ssl(session).clientCert).toBe('tunnel');
    expect(policyOf({ ssl: [{ then: 'intercept', tunnelOnError: false }] }).ssl(session).clientCert).toBe('continue');
  });
});

describe('detection switches', () => {
  const session = sessionWith();
  it('detectProtocol true leaves nothing off, false everything but what the service type knows', () => {
    const all = protocolNames.filter((name) => !Object.hasOwn(protocolStates, name));
    const off = (type: 'ssl' | 'http' | 'socks', detectProtocol: boolean): string[] => [...policyOf({}, optionsWith({ https: { type, detectProtocol } })).connection(session).detect.off];
    expect(off('ssl', true)).toEqual([]);
    expect(off('socks', false)).toEqual(all);
    expect(off('ssl', false)).toEqual(all.filter((name) => name !== 'tls'));
    expect(off('http', false)).toEqual(all.filter((name) => name !== 'http'));
  });
  it('inside TLS nothing is known by type: with detection off everything there is undetected, TLS in TLS as well', () => {
    const all = protocolNames.filter((name) => !Object.hasOwn(protocolStates, name));
    expect([...policyOf({ ssl: [{ then: 'intercept' }] }, optionsWith({ https: { detectProtocol: false } })).ssl(session).detect.off]).toEqual(all);
  });
  it('a list looks for its words alone; https stands for h2 too', () => {
    const { off } = policyOf({}, optionsWith({ https: { type: 'tcp-tunnel', detectProtocol: ['tls', 'https'] } })).connection(session).detect;
    expect([off.has('tls'), off.has('https'), off.has('h2'), off.has('sips'), off.has('ms-turn')]).toEqual([false, false, false, true, true]);
  });
  it('a connection rule switches off and on before any byte; off wins', () => {
    const policy = policyOf({ connection: [{ then: 'allow', detect: { on: ['tls-any'], off: ['sip-any'] } }] }, optionsWith({ https: { type: 'tcp-tunnel', detectProtocol: false } }));
    const { off, on } = policy.connection(session).detect;
    expect([off.has('tls'), off.has('https'), off.has('sips'), off.has('sip'), off.has('http')]).toEqual([false, false, true, true, true]);
    expect([on.has('tls'), on.has('sips')]).toEqual([true, false]);
  });
  it('switches of a connection rule hold inside TLS, and an ssl rule adds its own', () => {
    const policy = policyOf({ connection: [{ when: { port: 443 }, then: 'allow', detect: { off: ['sip-any'] } }], ssl: [{ then: 'intercept', detect: { off: ['ms-turn'] } }] });
    const { off } = policy.ssl(session).detect;
    expect([off.has('sips'), off.has('ms-turn'), off.has('https')]).toEqual([true, true, false]);
    expect(policy.connection(session).detect.off.has('ms-turn')).toBe(false);
    expect(policy.ssl(sessionWith({ destination: { ip: '203.0.113.9', port: 5061, host: null } })).detect.off.has('sips')).toBe(false);
  });
  it('serverFirst is told to the connection stage', () => {
    const policy = policyOf({ connection: [{ when: { port: [22, 25] }, then: 'allow', serverFirst: true }] });
    expect(policy.connection(sessionWith({ destination: { ip: '203.0.113.9', port: 22, host: null } })).serverFirst).toBe(true);
    expect(policy.connection(session).serverFirst).toBe(false);
  });
});

describe('TLS towards clients', () => {
  it('a rule goes over the service, the service over TLSv1.2', () => {
    const options = optionsWith({ https: { clientTls: { minVersion: 'TLSv1' } }, plain: {} });
    const ruled = policyOf({ ssl: [{ when: { sni: 'new.example' }, then: 'intercept', clientTls: { minVersion: 'TLSv1.3' } }, { then: 'intercept', issuer: undefined }] }, options);
    expect(ruled.ssl(sessionWith({ sni: 'new.example' })).clientMinVersion).toBe('TLSv1.3');
    expect(ruled.ssl(sessionWith()).clientMinVersion).toBe('TLSv1');
    expect(ruled.ssl(sessionWith({ service: 'plain' })).clientMinVersion).toBe('TLSv1.2');
  });
  it('a rule says how hard revocation is looked into, or leaves it to the config', () => {
    expect(policyOf({ ssl: [{ then: 'intercept', revocation: 'hard' }] }).ssl(sessionWith()).revocation).toBe('hard');
    expect(policyOf({ ssl: [{ then: 'intercept' }] }).ssl(sessionWith())).not.toHaveProperty('revocation');
  });
  it('a rule names its issuer', () => {
    expect(policyOf({ ssl: [{ then: 'intercept', issuer: 'lab' }] }).ssl(sessionWith()).issuer).toBe('lab');
    expect(policyOf({ ssl: [{ then: 'intercept' }] }).ssl(sessionWith()).issuer).toBeNull();
  });
});
