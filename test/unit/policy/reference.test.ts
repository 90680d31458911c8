// The reference's two policies and its notes, each test named after the sentence it holds us to; and the three interception
// choices as CONTRACT maps them.

import { describe, expect, it } from 'vitest';
import { protocolNames } from '../../../src/core/protocols.ts';
import { lint } from '../../../src/policy/lint.ts';
import { optionsWith, policyOf, rulesOf, sessionWith } from './support.ts';

const denyUnknown = {
  ssl: [{ name: 'handoff', then: 'intercept', handoff: true }],
  protocol: [
    { name: 'not known inside TLS', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' },
    { name: 'undetected', when: { tls: 'none', protocol: ['undetected'] }, then: 'deny' },
  ],
} as const;
const session = sessionWith();

describe('Policy 1: Enable SSL Interception with Proxy Handoff', () => {
  const policy = policyOf({ ssl: [{ then: 'intercept', handoff: true }] });
  it('This policy allows for the detection of MS-TURN and SIPS', () => {
    const { detect, handoff } = policy.ssl(session);
    expect(handoff).toBe(true);
    for (const name of ['ms-turn', 'sips', 'https'] as const) expect(detect.off.has(name)).toBe(false);
  });
  it('hands traffic off to a proxy capable of handling it, if such a proxy is available and protocol detection is enabled for that proxy', () => {
    for (const name of ['https', 'h2', 'sips', 'ms-turn'] as const) expect(policy.protocol(session, name, 'intercepted').action).toBe('handoff');
  });
  it('In cases where protocol detection is disabled or the protocol is not recognized, this option behaves the same as Enable STunnel interception', () => {
    const off = policyOf({ ssl: [{ then: 'intercept', handoff: true }] }, optionsWith({ https: { detectProtocol: false } }));
    const stunnel = policyOf({ ssl: [{ then: 'intercept', handoff: false }] });
    for (const name of ['https', 'sips', 'ms-turn'] as const) expect(off.ssl(session).detect.off.has(name)).toBe(true);
    expect(off.connection(session).detect.off.has('tls')).toBe(false);
    expect(off.ssl(session).action).toBe('intercept');
    expect(stunnel.ssl(session)).toMatchObject({ action: 'intercept', handoff: false });
    for (const name of ['undetected', 'unknown'] as const) expect(off.protocol(session, name, 'intercepted').action).toBe('relay');
  });
  it('If you have a policy for HTTPS Interception, this policy replaces that: HTTPS interception is handoff plus a rule that denies what is not https', () => {
    const https = policyOf({ ssl: [{ then: 'intercept' }], protocol: [{ when: { tls: 'intercepted', not: { protocol: 'https' } }, then: 'deny' }] });
    expect(https.protocol(session, 'https', 'intercepted').action).toBe('handoff');
    expect(https.protocol(session, 'h2', 'intercepted').action).toBe('handoff');
    for (const name of ['sips', 'ms-turn', 'unknown', 'undetected'] as const) expect(https.protocol(session, name, 'intercepted').action).toBe('deny');
  });
});

describe('Policy 2: Deny Unknown, Undetected Protocols', () => {
  const policy = policyOf(denyUnknown);
  it('The known protocols are HTTPS, SIPS, and MS-TURN', () => {
    for (const name of ['https', 'h2', 'sips', 'ms-turn'] as const) expect(policy.protocol(session, name, 'intercepted').action).toBe('handoff');
  });
  it('The proxy denies all traffic that is traversing over an intercepted SSL connection that is not one of these three protocols', () => {
    const others = protocolNames.filter((name) => !['https', 'h2', 'sips', 'ms-turn'].includes(name));
    expect(others.length).toBeGreaterThan(5);
    for (const name of others) expect([name, policy.protocol(session, name, 'intercepted')]).toEqual([name, { action: 'deny', rule: 'protocol/not known inside TLS' }]);
  });
});

describe('Notes', () => {
  it('For non-intercepted SSL traffic, the proxy cannot apply the Detection Protocol policy. Such traffic is not affected by the rule if other policy allows it; which means it tunnels through the proxy', () => {
    const policy = policyOf({ ...denyUnknown, ssl: [{ when: { sni: '*.bank.example' }, then: 'tunnel' }, ...denyUnknown.ssl] });
    expect(policy.ssl(sessionWith({ sni: 'www.bank.example' })).action).toBe('tunnel');
    expect(policy.protocol(session, 'tls', 'tunnelled')).toEqual({ action: 'relay', rule: 'protocol/default' });
  });

  const disabled = optionsWith({
    proxy: { type: 'http-explicit', detectProtocol: false }, socks: { type: 'socks', detectProtocol: false }, tunnel: { type: 'tcp-tunnel', detectProtocol: false }, https: { type: 'ssl', detectProtocol: false },
  });
  it.each([
    ['Denies CONNECT requests through the HTTP Proxy', 'proxy', 'every CONNECT request'],
    ['Denies requests through the SOCKS Proxy', 'socks', 'every SOCKS request'],
    ['Denies all traffic through the TCP-Tunnel Proxy service', 'tunnel', 'all its traffic'],
  ])('For cases where Protocol Detection is disabled, this policy: %s', (_sentence, service, words) => {
    const policy = policyOf(denyUnknown, disabled);
    const client = sessionWith({ service });
    expect(policy.connection(client).detect.off.has('tls')).toBe(true);
    expect(policy.protocol(client, 'undetected', 'none')).toEqual({ action: 'deny', rule: 'protocol/undetected' });
    const said = lint(rulesOf(denyUnknown), disabled).map(({ problem }) => problem);
    expect(said.find((problem) => problem.includes(`service ${service}: protocol/undetected denies ${words}`))).toBeDefined();
  });
  it('If you have such a deployment, you must adjust your CPL to allow those specific services/requests in this layer before the DENY rule applies', () => {
    const adjusted = { ...denyUnknown, protocol: [{ name: 'old services', when: { service: ['proxy', 'socks', 'tunnel'], protocol: 'undetected', tls: 'none' }, then: 'relay' }, ...denyUnknown.protocol] };
    const policy = policyOf(adjusted, disabled);
    for (const service of ['proxy', 'socks', 'tunnel']) expect(policy.protocol(sessionWith({ service }), 'undetected', 'none').action).toBe('relay');
    expect(policy.protocol(session, 'unknown', 'intercepted').action).toBe('deny');
    expect(lint(rulesOf(adjusted), disabled).filter(({ problem }) => /service (proxy|socks|tunnel): .* denies/.test(problem))).toEqual([]);
  });
  it('You must enable Protocol Detection on all SGOS service listeners that intercept traffic generated by Skype for Business', () => {
    const said = lint(rulesOf(denyUnknown), disabled).map(({ problem }) => problem).join('\n');
    expect(said).toContain('service https intercepts but cannot detect');
    for (const service of ['proxy', 'socks', 'tunnel']) expect(said).toContain(`service ${service} intercepts nothing: it does not look for tls`);
    const on = lint(rulesOf(denyUnknown), optionsWith({ https: {}, proxy: { type: 'http-explicit' } })).map(({ problem }) => problem).join('\n');
    expect(on).not.toMatch(/cannot detect|intercepts nothing|detection is off/);
  });
});

describe('B#243071: Disable SSL Detection policy', () => {
  it('a policy that switches tls off opens no TLS, whatever is detected inside it', () => {
    const policy = policyOf({ connection: [{ when: { destination: '203.0.113.0/24' }, then: 'allow', detect: { off: ['tls', 'https'] } }], ssl: [{ then: 'intercept' }] });
    expect(policy.connection(session).detect.off.has('tls')).toBe(true);
  });
  it('detect_protocol[ssl,https,sips,sip](no) switches exactly these off', () => {
    const policy = policyOf({ connection: [{ then: 'allow', detect: { off: ['tls', 'https', 'sips', 'sip'] } }] });
    expect([...policy.connection(session).detect.off].sort()).toEqual(['h2', 'https', 'sip', 'sips', 'tls']);
  });
  it('a group takes every protocol of its kind, so that adding one never changes an old policy', () => {
    const off = policyOf({ connection: [{ then: 'allow', detect: { off: ['tls-any'] } }] }).connection(session).detect.off;
    for (const name of ['tls', 'https', 'h2', 'sips', 'turns'] as const) expect([name, off.has(name)]).toEqual([name, true]);
    for (const name of ['http', 'sip', 'turn', 'ms-turn'] as const) expect([name, off.has(name)]).toEqual([name, false]);
  });
});

describe('B#243333: Authentication for HTTPS traffic', () => {
  it('with deny-unknown on, https of a proxy that asks for passwords is still handed off', () => {
    const policy = policyOf(denyUnknown, optionsWith({ proxy: { type: 'http-explicit' } }));
    expect(policy.protocol(sessionWith({ service: 'proxy', user: null }), 'https', 'intercepted').action).toBe('handoff');
    expect(policy.protocol(sessionWith({ service: 'proxy' }), 'http', 'none').action).toBe('handoff');
  });
});
