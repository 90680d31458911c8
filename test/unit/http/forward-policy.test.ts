import { describe, expect, it } from 'vitest';
import { goTo, judgeOrigin } from '../../../src/http/forward-policy.ts';
import type { Deps } from '../../../src/core/flow.ts';
import { policyOf, sessionWith } from '../policy/support.ts';
import { depsFor } from './harness.ts';

const counted: string[] = [];
const depsWith = (policy: object): Deps => ({ ...depsFor({ count: (name, labels) => counted.push([name, ...labels].join(' ')) }), policy: policyOf(policy) });

describe('an origin', () => {
  it('is the session\'s destination, an address at once', () => {
    const session = sessionWith({ destination: { ip: '198.51.100.1', port: 80, host: 'old.test' } });
    goTo(session, { host: 'old.test', port: 80 });
    expect(session.destination.ip).toBe('198.51.100.1');
    goTo(session, { host: 'old.test', port: 81 });
    expect(session.destination).toEqual({ ip: null, host: 'old.test', port: 81 });
    goTo(session, { host: '2001:db8::1', port: 80 });
    expect(session.destination).toEqual({ ip: '2001:db8::1', host: '2001:db8::1', port: 80 });
  });

  it('is judged by both stages, and counted', () => {
    const session = sessionWith();
    counted.length = 0;
    expect(judgeOrigin(session, depsWith({ protocol: [{ name: 'plain', then: 'relay' }] }), { host: 'a.test', port: 80 })).toBeNull();
    expect(session.rule).toBe('protocol/plain');
    expect(counted).toEqual(['policy_decisions_total connection allow', 'policy_decisions_total protocol relay']);
  });

  it.each([
    ['CONNECTION_DENIED', { connection: [{ name: 'no', when: { destination: '192.0.2.0/24' }, then: 'deny' }] }, 'connection/no'],
    ['PROTOCOL_DENIED', { protocol: [{ name: 'no', when: { protocol: 'http' }, then: 'deny' }] }, 'protocol/no'],
  ])('%s', (code, policy, rule) => {
    const session = sessionWith();
    expect(judgeOrigin(session, depsWith(policy), { host: '192.0.2.9', port: 80 })).toEqual({ code, detail: code === 'PROTOCOL_DENIED' ? 'http' : null, rule, status: null });
    expect(session).toMatchObject({ action: 'deny', rule });
    const used = sessionWith({ action: 'handoff' });
    judgeOrigin(used, depsWith(policy), { host: '192.0.2.9', port: 80 });
    expect(used.action).toBe('handoff');
  });
});
