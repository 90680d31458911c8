// The trace: what a real flow would get, which rule gave it, and why those before it did not match.

import { describe, expect, it } from 'vitest';
import type { CompiledPolicy } from '../../../src/policy/decide.ts';
import { explainPolicy, traceText } from '../../../src/policy/explain.ts';
import type { PolicyTrace, StageTrace } from '../../../src/policy/explain.ts';
import { readQuestion } from '../../../src/policy/explain-facts.ts';
import { optionsWith, policyOf } from './support.ts';

function trace(policy: CompiledPolicy, question: object): PolicyTrace {
  const answer = readQuestion({ dst: '203.0.113.9:443', ...question }, policy.options.services, Date.UTC(2026, 0, 1));
  if (!answer.ok) throw new Error(answer.problem);
  return explainPolicy(policy, answer.facts);
}

function stage(policy: CompiledPolicy, question: object, name: StageTrace['stage']): StageTrace | undefined {
  return trace(policy, question).stages.find((one) => one.stage === name);
}

const policy = policyOf({
  connection: [{ name: 'blocked', when: { client: '192.0.2.128/25' }, then: 'deny' }, { name: 'unseen', when: { port: 8443 }, then: 'tunnel' }],
  ssl: [{ name: 'bank', when: { sni: '*.bank.example', port: 443 }, then: 'tunnel' }, { name: 'named', when: { not: { sni: '*' } }, then: 'deny' }, { name: 'rest', then: 'intercept', tunnelOnError: ['NOT_TLS'] }],
  certificate: [{ name: 'old', when: { problem: 'expired' }, then: 'accept' }],
  protocol: [{ name: 'unknown', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' }],
  http: [{ name: 'admin', when: { path: '/admin/*', method: 'POST' }, then: 'deny', status: 404 }],
}, optionsWith({ https: {}, old: { type: 'socks', detectProtocol: false } }));

describe('explainPolicy', () => {
  it('names the rule and why the others did not match', () => {
    const ssl = stage(policy, { sni: 'www.shop.example' }, 'ssl');
    expect(ssl).toMatchObject({ action: 'intercept', rule: 'ssl/rest', settings: { tunnelOnError: 'NOT_TLS (rule ssl/rest)', clientCert: 'continue', handoff: 'true' } });
    expect(ssl?.passed).toEqual([
      { rule: 'ssl/bank', failed: [{ key: 'sni', wanted: '*.bank.example', found: 'www.shop.example' }] },
      { rule: 'ssl/named', failed: [{ key: 'not', wanted: 'sni *', found: 'sni www.shop.example' }] },
    ]);
  });
  it('says that a fact is missing', () => {
    const only = policyOf({ ssl: [{ when: { ja4: 't13*' }, then: 'deny' }] });
    expect(stage(only, {}, 'ssl')).toMatchObject({ rule: 'ssl/default', note: 'no rule matched', passed: [{ failed: [{ key: 'ja4', found: null }] }] });
    expect(traceText(trace(only, {}))).toContain('not ssl/#0: ja4 is not known, wanted t13*');
  });
  it('ends where a stage ends the flow', () => {
    const denied = trace(policy, { client: '192.0.2.200' });
    expect(denied.stages.map(({ asked }) => asked)).toEqual([true, false, false, false, false, false, false]);
    expect(denied.stages[1]?.note).toBe('connection/blocked denies the connection');
    expect(stage(policy, { dst: '203.0.113.9:8443' }, 'protocol')?.note).toBe('connection/unseen tunnels the connection unseen');
  });
  it('tunnelled TLS is judged by the protocol stage as tls, and by no request stage', () => {
    expect(stage(policy, { sni: 'www.bank.example' }, 'protocol')).toMatchObject({ action: 'relay', settings: { protocol: 'tls', tls: 'tunnelled' } });
    expect(stage(policy, { sni: 'www.bank.example', path: '/admin/x' }, 'http')?.asked).toBe(false);
  });
  it('certificates are judged when a problem is given', () => {
    expect(stage(policy, { sni: 'a.example' }, 'certificate')?.asked).toBe(false);
    expect(stage(policy, { sni: 'a.example', problem: ['expired'] }, 'certificate')).toMatchObject({ action: 'accept', rule: 'certificate/old' });
    const bad = trace(policy, { sni: 'a.example', problem: ['expired', 'invalid'] }).stages;
    expect(bad[2]).toMatchObject({ action: 'deny', rule: 'certificate/default' });
    expect(bad[2]?.passed[0]?.failed[0]?.wanted).toContain('expired');
    expect(bad[3]?.asked).toBe(false);
  });
  it('requests get the rule\'s status; the protocol comes from the facts', () => {
    const question = { sni: 'a.example', method: 'POST', path: '/admin/x' };
    expect(stage(policy, question, 'protocol')).toMatchObject({ action: 'handoff', settings: { protocol: 'https', tls: 'intercepted' } });
    expect(stage(policy, question, 'http')).toMatchObject({ action: 'deny', rule: 'http/admin', settings: { status: '404' } });
    expect(stage(policy, { ...question, method: 'GET' }, 'http')?.passed[0]?.failed.map(({ key }) => key)).toEqual(['method']);
    expect(stage(policy, { sni: 'a.example', protocol: 'sips', method: 'INVITE' }, 'sip')).toMatchObject({ action: 'allow', rule: 'sip/default' });
    expect(stage(policy, { sni: 'a.example', message: 'Allocate request' }, 'turn')).toMatchObject({ action: 'allow' });
  });
  it('says when detection is off', () => {
    const off = trace(policy, { service: 'old', sni: 'a.example', protocol: 'sips' });
    expect(off.stages[1]?.note).toContain('tls is not looked for');
    expect(off.stages[3]).toMatchObject({ settings: { protocol: 'undetected', tls: 'none' } });
    expect(off.stages[0]?.settings.detects).toBe('nothing');
    const some = policyOf({ ssl: [{ then: 'intercept', detect: { off: 'sip-any' } }] });
    expect(stage(some, { protocol: 'sips' }, 'ssl')?.settings.detects).toBe('all but sip sips');
    expect(stage(some, { protocol: 'sips' }, 'protocol')).toMatchObject({ action: 'relay', settings: { protocol: 'unknown' }, note: expect.stringContaining('sips is not looked for') });
    const stunnel = policyOf({ ssl: [{ then: 'intercept', handoff: false }] });
    expect(stage(stunnel, { protocol: 'sips' }, 'protocol')).toMatchObject({ settings: { protocol: 'undetected' }, note: 'ssl/#0 hands nothing off' });
  });
  it('a plain flow passes the ssl stage by', () => {
    expect(stage(policy, { protocol: 'sip' }, 'ssl')?.note).toBe('the flow is not TLS');
    expect(stage(policy, { tls: 'none' }, 'protocol')).toMatchObject({ action: 'relay', settings: { protocol: 'unknown', tls: 'none' } });
  });
  it('judges by the address that is said, and says where it was not', () => {
    const guarded = policyOf({ ssl: [{ name: 'forged', when: { address: ['other', 'unresolved'] }, then: 'deny' }, { name: 'bank', when: { sni: 'bank.example' }, then: 'tunnel' }] });
    for (const [address, rule] of [['named', 'ssl/bank'], ['other', 'ssl/forged'], ['unresolved', 'ssl/forged']]) {
      expect(stage(guarded, { sni: 'bank.example', address }, 'ssl')?.rule).toBe(rule);
    }
    expect(traceText(trace(guarded, { sni: 'bank.example', address: 'named' }))).toContain('not ssl/forged: address named is not other, unresolved');
    expect(traceText(trace(guarded, { sni: 'bank.example' }))).toContain('not ssl/forged: address is not known, wanted other, unresolved');
  });
  it('is plain data for the API', () => {
    const one = trace(policy, { sni: 'a.example' });
    expect(JSON.parse(JSON.stringify(one))).toEqual(one);
  });
});
