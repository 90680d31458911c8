// The table of how a claimed name relates to a destination, and when flows look at all.

import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Flow } from '../../../src/core/flow.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { AddressMatch, Destination } from '../../../src/core/session.ts';
import { matchAddress, noteHelloClaim, noteRequestClaim } from '../../../src/handoff/claim.ts';
import { nobody } from '../../../src/policy/facts.ts';

const known: Readonly<Record<string, readonly string[]>> = {
  'one.test': ['192.0.2.1'], 'two.test': ['192.0.2.2', '2001:db8::2'], 'shared.test': ['192.0.2.9', '192.0.2.1'], 'mapped.test': ['::ffff:192.0.2.1'], 'none.test': [],
};
const asked: string[] = [];
const addresses = async (host: string): Promise<readonly string[]> => {
  asked.push(host);
  const found = known[host];
  if (found === undefined) throw new Error(`no such name: ${host}`);
  return found;
};
const to = (ip: string | null, host: string | null = null): Destination => ({ ip, port: 443, host });

describe('how a name relates to a destination', () => {
  it.each<[string, Destination, AddressMatch]>([
    ['one.test', to('192.0.2.1'), 'named'],
    ['one.test', to('192.0.2.2'), 'other'],
    ['two.test', to('2001:DB8:0::2'), 'named'],
    ['two.test', to('2001:db8::3'), 'other'],
    ['mapped.test', to('192.0.2.1'), 'named'],
    ['one.test', to('::ffff:192.0.2.1'), 'named'],
    ['absent.test', to('192.0.2.1'), 'unresolved'],
    ['none.test', to('192.0.2.1'), 'unresolved'],
    ['192.0.2.1', to('192.0.2.1'), 'named'],
    ['192.0.2.1', to('192.0.2.2'), 'other'],
    ['one.test', to(null, 'shared.test'), 'named'],
    ['one.test', to(null, 'two.test'), 'other'],
    ['one.test', to(null, 'absent.test'), 'unresolved'],
    ['one.test', to('192.0.2.2', 'two.test'), 'other'],
    ['one.test', to(null), 'unresolved'],
  ])('%s to %j is %s', async (name, destination, match) => {
    expect(await matchAddress(name, destination, addresses)).toBe(match);
  });
  it('the name that is dialled is not looked up for it', async () => {
    asked.splice(0);
    expect(await matchAddress('one.test', to(null, 'One.Test.'), addresses)).toBe('named');
    expect(await matchAddress('192.0.2.1', to('192.0.2.1'), addresses)).toBe('named');
    expect(asked).toEqual([]);
  });
});

/** A flow whose client has sent these bytes. */
function flowOf(sni: string | null, sent: string): Flow {
  const client = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  client.push(sent);
  return { session: { ...nobody, sni, destination: to('192.0.2.1') }, client } as unknown as Flow;
}
const limits = limitsWith({ detectMs: 50 });
const deps = { limits, matchName: async (session: { destination: Destination }, name: string) => await matchAddress(name, session.destination, addresses) };

describe('what is noted', () => {
  it('nothing where no rule asks', async () => {
    const flow = flowOf('one.test', '');
    await noteHelloClaim(flow.session, { limits });
    await noteRequestClaim(flow, { limits });
    expect(Object.hasOwn(flow.session, 'claim')).toBe(false);
  });
  it('the SNI, folded; null without one', async () => {
    const flow = flowOf('One.Test.', '');
    await noteHelloClaim(flow.session, deps);
    expect(flow.session.claim).toEqual({ name: 'one.test', address: 'named' });
    const nameless = flowOf(null, '');
    await noteHelloClaim(nameless.session, deps);
    expect(nameless.session.claim).toBeNull();
  });
  it('the first request\'s host, whatever its method; no byte of it is taken', async () => {
    const request = 'PUT /x HTTP/1.1\r\nHost: Two.test:80\r\nContent-Length: 0\r\n\r\n';
    const flow = flowOf(null, request);
    await noteRequestClaim(flow, deps);
    expect(flow.session.claim).toEqual({ name: 'two.test', address: 'other' });
    expect(String(flow.client.read())).toBe(request);
  });
  it('a head that does not come in time claims nothing; a name of TLS stands', async () => {
    const slow = flowOf(null, 'GET / HTTP/1.1\r\nHo');
    await noteRequestClaim(slow, deps);
    expect(slow.session.claim).toBeNull();
    const inside = flowOf('one.test', 'GET / HTTP/1.1\r\nHost: two.test\r\n\r\n');
    await noteRequestClaim(inside, deps);
    expect(Object.hasOwn(inside.session, 'claim')).toBe(false);
  });
});
