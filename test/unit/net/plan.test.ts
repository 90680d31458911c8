import { describe, expect, test } from 'vitest';
import { parseNetwork } from '../../../src/core/addresses.ts';
import { netPlan, networkText } from '../../../src/net/plan.ts';
import type { NetService } from '../../../src/net/plan.ts';

const service = (changes: Partial<NetService> = {}): NetService => ({
  name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'redirect', intercept: null, ...changes,
});

describe('defaults', () => {
  test.each([
    ['ssl', [443], true], ['http', [80], false], ['tcp-tunnel', [5061], false],
  ] as const)('%s takes %j; UDP refused: %s', (type, ports, refuseUdp) => {
    const { takings, problems } = netPlan([service({ type })]);
    expect(problems).toEqual([]);
    expect(takings.map(({ family }) => family)).toEqual([4, 6]);
    for (const taking of takings) expect(taking).toMatchObject({ ports, refuseUdp, acquire: 'redirect', address: null, port: 8443, interfaces: [], clients: [], except: [] });
  });

  test('explicit services and fixed tunnels are left out', () => {
    expect(netPlan([service({ type: 'http-explicit', acquire: null }), service({ type: 'tcp-tunnel', acquire: null })])).toEqual({ takings: [], problems: [] });
  });

  test('QUIC is let through on demand', () => {
    expect(netPlan([service()], { rejectQuic: false }).takings.some(({ refuseUdp }) => refuseUdp)).toBe(false);
  });
});

test.each([
  ['::', [4, 6], null], ['0.0.0.0', [4], null], ['192.0.2.1', [4], '192.0.2.1'], ['2001:db8::1', [6], '2001:db8::1'],
] as const)('a listener on %s takes families %j', (host, families, address) => {
  const { takings } = netPlan([service({ listen: { host, port: 1 } })]);
  expect(takings.map(({ family }) => family)).toEqual(families);
  for (const taking of takings) expect(taking.address).toBe(address);
});

test('networks go to their family, without overlap and host bits', () => {
  const { takings } = netPlan([service({ intercept: { clients: ['10.1.2.3/8', '10.9.0.0/16', '2001:db8:0:0:1::/48', '10.0.0.0/8'], except: ['192.0.2.7', 'fd00::/8'] } })], { except: ['192.0.2.0/24', '::ffff:198.51.100.1'] });
  expect(takings).toMatchObject([
    { family: 4, clients: ['10.0.0.0/8'], except: ['192.0.2.0/24', '198.51.100.1/32'] },
    { family: 6, clients: ['2001:db8::/48'], except: ['fd00::/8'] },
  ]);
});

test('naming clients of one family leaves the other alone', () => {
  expect(netPlan([service({ intercept: { clients: ['10.0.0.0/8'] } })]).takings.map(({ family }) => family)).toEqual([4]);
});

test('TPROXY comes first, as in the kernel', () => {
  const { takings } = netPlan([service(), service({ name: 'sip', type: 'tcp-tunnel', acquire: 'tproxy' })]);
  expect(takings.map((taking) => taking.service)).toEqual(['sip', 'sip', 'https', 'https']);
});

describe('problems', () => {
  test.each<[string, Partial<NetService>]>([
    ['service https: 0 is no port', { intercept: { ports: [0, 443] } }],
    ['service https: 70000 is no port', { intercept: { ports: [70_000] } }],
    ['service https: takes no port: give intercept.ports', { intercept: { ports: [] } }],
    ['service https: "a\\" drop" is no interface name', { intercept: { interfaces: ['a" drop'] } }],
    ['service https: "0123456789abcdef" is no interface name', { intercept: { interfaces: ['0123456789abcdef'] } }],
    ['service https: "10.0.0.0/33" is no address or network', { intercept: { clients: ['10.0.0.0/33', '10.0.0.0/8'] } }],
    ['service https: localhost is no address', { listen: { host: 'localhost', port: 1 } }],
    ['service https: redirected clients cannot reach a listener on 127.0.0.1: listen on 0.0.0.0, [::] or a real address', { listen: { host: '127.0.0.1', port: 1 } }],
  ])('%s', (problem, changes) => {
    expect(netPlan([service(changes)]).problems).toEqual([problem]);
  });

  test('a loopback listener is right for TPROXY', () => {
    expect(netPlan([service({ acquire: 'tproxy', listen: { host: '127.0.0.1', port: 1 } })]).problems).toEqual([]);
  });

  const other = (changes: Partial<NetService> = {}): NetService => service({ name: 'other', ...changes });
  test.each<[string, NetService[], boolean]>([
    ['the same ports', [service(), other()], true],
    ['other ports', [service(), other({ intercept: { ports: [8443] } })], false],
    ['the narrower first', [service({ intercept: { clients: ['10.0.0.0/8'] } }), other()], false],
    ['the narrower behind', [service(), other({ intercept: { clients: ['10.0.0.0/8'] } })], true],
    ['the narrower first, but TPROXY behind', [service({ intercept: { clients: ['10.0.0.0/8'] } }), other({ acquire: 'tproxy' })], true],
    ['other interfaces', [service({ intercept: { interfaces: ['a'] } }), other({ intercept: { interfaces: ['b'] } })], false],
    ['some of its interfaces', [service({ intercept: { interfaces: ['a', 'b'] } }), other({ intercept: { interfaces: ['b'] } })], true],
    ['what the first excepts', [service({ intercept: { except: ['192.0.2.0/24'] } }), other()], false],
    ['other families', [service({ listen: { host: '0.0.0.0', port: 1 } }), other({ listen: { host: '2001:db8::1', port: 1 } })], false],
  ])('a service behind one with %s: void %j', (_name, services, isVoid) => {
    const { problems } = netPlan(services);
    expect(problems.length > 0).toBe(isVoid);
    for (const problem of problems) expect(problem).toMatch(/^service \w+: port 443 already goes to service \w+/);
  });
});

test.each([
  ['0.0.0.0/0', '0.0.0.0/0'], ['255.255.255.255', '255.255.255.255/32'], ['192.0.2.129/25', '192.0.2.128/25'], ['::/0', '::/0'],
  ['2001:db8::1', '2001:db8:0:0:0:0:0:1/128'], ['fd77:1::/64', 'fd77:1::/64'], ['fe80::/10', 'fe80::/10'], ['2001:db8:0:10::/60', '2001:db8:0:10::/60'], ['::1', '0:0:0:0:0:0:0:1/128'],
])('%s is written %s', (text, written) => {
  const network = parseNetwork(text);
  if (network === undefined) throw new Error('no network');
  expect(networkText(network)).toBe(written);
  expect(parseNetwork(written)).toEqual(network);
});
