// Questions to explain: every word is checked and the right ones are said.

import { describe, expect, it } from 'vitest';
import { readQuestion } from '../../../src/policy/explain-facts.ts';
import { optionsWith } from './support.ts';

const services = optionsWith({ proxy: { type: 'http-explicit' }, https: {} }).services;
const read = (question: unknown): ReturnType<typeof readQuestion> => readQuestion(question, services, 1000);

describe('readQuestion', () => {
  it.each([
    [null, 'expected an object of facts'],
    [[], 'expected an object of facts'],
    [{}, 'dst: expected IP:PORT'],
    [{ dst: '203.0.113.9' }, 'found 203.0.113.9'],
    [{ dst: '203.0.113.9:0' }, 'dst: expected'],
    [{ dst: '[10.0.0.1]:5' }, 'dst: expected'],
    [{ dst: 'a:1', foo: 'x' }, 'unknown fact foo; known: dst, client'],
    [{ dst: 'a:1', sni: 5 }, 'sni: expected a text'],
    [{ dst: 'a:1', sni: ['x', 'y'] }, 'sni: expected one value'],
    [{ dst: 'a:1', protocol: 'https-any' }, 'there is no "https-any"; known: ms-turn'],
    [{ dst: 'a:1', problem: ['expired', 'old'] }, 'there is no "old"; known: expired'],
    [{ dst: 'a:1', service: 'nope' }, 'there is no "nope"; known: proxy, https'],
    [{ dst: 'a:1', address: 'wrong' }, 'address: there is no "wrong"; known: named, other, unresolved'],
    [{ dst: 'a:1', client: 'me' }, 'client: expected an address'],
    [{ dst: 'a:1', time: 'noon' }, 'time: expected a date'],
  ])('%j', (question, problem) => {
    const answer = read(question);
    expect(answer.ok ? '' : answer.problem).toContain(problem);
  });
  it('reads what is there and fills in the rest', () => {
    const answer = read({ dst: '[2001:db8::1]:5061', sni: 'x', alpn: ['h2', 'http/1.1'], header: 'X-A', time: undefined });
    expect(answer).toMatchObject({ ok: true, facts: { tls: true, protocol: null, session: { service: 'https', startedAt: 1000, destination: { ip: '2001:db8::1', port: 5061, host: null }, alpn: ['h2', 'http/1.1'], client: { ip: '192.0.2.1' } } } });
    expect(answer.ok && answer.facts.http).toEqual({ method: 'GET', host: 'x', path: '/', headers: new Set(['x-a']), upgrade: null });
    expect(read({ dst: 'www.example.com:443' })).toMatchObject({ facts: { session: { destination: { ip: null, host: 'www.example.com' } } } });
  });
  it('address is about the name in the hello, else the request\'s host; what is not said stays open', () => {
    expect(read({ dst: 'a:1', sni: 'x', host: 'y', address: 'other' })).toMatchObject({ facts: { session: { claim: { name: 'x', address: 'other' } } } });
    expect(read({ dst: 'a:1', host: 'y', address: 'named' })).toMatchObject({ facts: { session: { claim: { name: 'y', address: 'named' } } } });
    const open = read({ dst: 'a:1', sni: 'x' });
    expect(open.ok && Object.hasOwn(open.facts.session, 'claim')).toBe(false);
  });
  it('a method belongs to SIP where the protocol says so', () => {
    expect(read({ dst: 'a:1', protocol: 'sips', method: 'BYE' })).toMatchObject({ facts: { http: null, sip: { method: 'BYE' } } });
    expect(read({ dst: 'a:1', method: 'PUT' })).toMatchObject({ facts: { sip: null, http: { method: 'PUT' } } });
    expect(read({ dst: 'a:1', peer: '10.0.0.1' })).toMatchObject({ facts: { turn: { peer: '10.0.0.1' } } });
  });
});
