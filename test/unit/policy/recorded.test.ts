import { expect, test } from 'vitest';
import { nobody } from '../../../src/policy/facts.ts';
import { readRecorded } from '../../../src/policy/recorded.ts';
import { accessLine } from '../../../src/sessions/access-log.ts';

const session = { ...nobody, id: 'w1-2', service: 'https', client: { ip: '192.0.2.7', port: 5 }, destination: { ip: '203.0.113.9', port: 443, host: 'a.example' }, sni: 'a.example', alpn: ['h2'], ja4: 't13', user: 'ann' };

test('a line of the access log gives its session back', () => {
  const flow = readRecorded(accessLine({ ...session, chain: ['tls', 'h2'], protocol: 'h2', action: 'intercept', rule: 'ssl/x' }));
  expect(flow).toMatchObject({ outer: 'tls', inner: 'h2', problems: [], session: { id: 'w1-2', sni: 'a.example', alpn: ['h2'], ja4: 't13', user: 'ann', destination: { ip: '203.0.113.9' } } });
});

test('what was found of the name claimed comes back; where nobody looked it stays open', () => {
  const claim = { name: 'a.example', address: 'other' } as const;
  expect(readRecorded(accessLine({ ...session, claim }))?.session.claim).toEqual(claim);
  expect(readRecorded(accessLine({ ...session, claim: null }))?.session.claim).toBeNull();
  expect(Object.hasOwn(readRecorded(accessLine(session))?.session ?? {}, 'claim')).toBe(false);
});

test.each([
  [['socks', 'tls', 'sips'], 'tls', 'sips', null], [['http-explicit', 'http'], 'http', null, null], [['tls'], 'tls', null, '203.0.113.9'], [[], null, null, '203.0.113.9'], [['unknown'], 'unknown', null, '203.0.113.9'],
] as const)('%j', (chain, outer, inner, ip) => {
  expect(readRecorded(accessLine({ ...session, chain: [...chain] }))).toMatchObject({ outer, inner, session: { destination: { ip } } });
});

test('problems come from what was noted of the server, else from the error', () => {
  const noted = { version: 'TLSv1.3', cipher: 'x', alpn: null, name: 'verified', problems: ['expired'] } as const;
  expect(readRecorded(accessLine({ ...session, tls: { ...session.tls, upstream: noted } }))?.problems).toEqual(['expired']);
  expect(readRecorded(accessLine({ ...session, error: 'UPSTREAM_CERT_NOT_YET_VALID', errorDetail: 'not-yet-valid, name' }))?.problems).toEqual(['not-yet-valid', 'name']);
  expect(readRecorded(accessLine({ ...session, error: 'UPSTREAM_CERT_SELF_SIGNED' }))?.problems).toEqual(['self-signed']);
  expect(readRecorded(accessLine({ ...session, error: 'DIAL_REFUSED', errorDetail: 'expired' }))?.problems).toEqual([]);
});

test.each(['', 'null', '[]', '{', '{"id":"x"}', 'true', accessLine({ ...session }).slice(0, -9), accessLine({ ...session }).replace('"pending"', '"skype"')])('no session: %s', (line) => {
  expect(readRecorded(line)).toBeNull();
});

test('a line with a code that there is none of is not guessed at', () => {
  expect(readRecorded(accessLine({ ...session, error: 'DIAL_REFUSED' }).replace('DIAL_REFUSED', 'NO_SUCH_CODE'))).toBeNull();
});
