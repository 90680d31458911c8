// Facts of a decision: read when asked for, remembered for the same session, and never another session's.

import { describe, expect, it } from 'vitest';
import { Facts } from '../../../src/policy/facts.ts';
import { sessionWith } from './support.ts';

describe('Facts', () => {
  it('folds names once and follows changes', () => {
    const facts = new Facts();
    const session = sessionWith({ sni: 'A.Example.' });
    expect(facts.begin(session).sni).toBe('a.example');
    session.sni = 'B.Example';
    expect(facts.sni).toBe('b.example');
    session.sni = null;
    expect(facts.sni).toBeNull();
    expect(facts.name).toBeNull();
    session.destination.host = 'C.Example';
    expect(facts.name).toBe('c.example');
  });
  it('addresses belong to the session at hand; no address is family 0', () => {
    const facts = new Facts();
    facts.begin(sessionWith({ client: { ip: '10.0.0.1', port: 1 } }));
    expect(facts.client.words[0]).toBe(0x0a000001);
    facts.begin(sessionWith({ client: { ip: 'nonsense', port: 1 }, destination: { ip: null, port: 1, host: 'x' } }));
    expect([facts.client.family, facts.destination.family]).toEqual([0, 0]);
    facts.begin(sessionWith({ client: { ip: '10.0.0.1', port: 1 } }));
    expect(facts.client.family).toBe(4);
  });
  it('begin forgets the last request', () => {
    const facts = new Facts().begin(sessionWith());
    facts.http = { method: 'GET', host: 'a', path: '/', headers: new Set(), upgrade: null };
    expect(facts.requestHost).toBe('a');
    facts.begin(sessionWith());
    expect([facts.http, facts.requestHost, facts.path]).toEqual([null, null, '']);
  });
});
