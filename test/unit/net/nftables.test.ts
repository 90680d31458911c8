// That a kernel takes these rules and does what they say is proven in test/lab/net.test.ts.

import { expect, test } from 'vitest';
import { listedComments, removalText, renderTable } from '../../../src/net/nftables.ts';
import { netPlan } from '../../../src/net/plan.ts';
import type { NetService } from '../../../src/net/plan.ts';

const services: NetService[] = [
  { name: 'https', type: 'ssl', listen: { host: '::', port: 8443 }, acquire: 'redirect', intercept: { interfaces: ['eth1', 'wg*'], clients: ['10.0.0.0/8', '192.168.0.0/16'], except: ['192.0.2.0/24'] } },
  { name: 'http', type: 'http', listen: { host: '198.51.100.1', port: 8080 }, acquire: 'redirect', intercept: { interfaces: ['eth1'] } },
  { name: 'sip', type: 'tcp-tunnel', listen: { host: '::', port: 8061 }, acquire: 'tproxy', intercept: null },
];

test('the whole table', () => {
  const { text, comments } = renderTable(netPlan(services));
  expect(text.replaceAll(/ comment "sallyport ([\w-]+) [0-9a-f]{10}"/g, ' # $1')).toBe(`table inet sallyport {}
delete table inet sallyport
table inet sallyport {
  chain take_tproxy {
    type filter hook prerouting priority mangle; policy accept;
    iifname "lo" return # loopback
    meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set 0x5a11 accept # established
    fib daddr type { local, broadcast, anycast, multicast } return # own-addresses
    meta nfproto ipv4 tcp dport { 5061 } counter tproxy ip to :8061 meta mark set 0x5a11 accept # sip
    meta nfproto ipv6 tcp dport { 5061 } counter tproxy ip6 to :8061 meta mark set 0x5a11 accept # sip
  }
  chain take_redirect {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "lo" return # loopback
    fib daddr type { local, broadcast, anycast, multicast } return # own-addresses
    meta mark 0x5a11 return # tproxied
    iifname { "eth1", "wg*" } meta nfproto ipv4 ip saddr { 10.0.0.0/8, 192.168.0.0/16 } ip daddr != { 192.0.2.0/24 } tcp dport { 443 } counter redirect to :8443 # https
    iifname "eth1" meta nfproto ipv4 tcp dport { 80 } counter dnat ip to 198.51.100.1:8080 # http
  }
  chain refuse_quic {
    type filter hook forward priority filter; policy accept;
    iifname { "eth1", "wg*" } meta nfproto ipv4 ip saddr { 10.0.0.0/8, 192.168.0.0/16 } ip daddr != { 192.0.2.0/24 } udp dport { 443 } counter reject with icmpx type port-unreachable # https
  }
}
`);
  expect(comments).toHaveLength(text.match(/ comment /g)?.length ?? 0);
  expect(new Set(comments).size).toBe(comments.length);
});

test('a redirected service that dials from its clients\' addresses has the answers marked', () => {
  const { text } = renderTable(netPlan([{ name: 'x', type: 'ssl', listen: { host: '0.0.0.0', port: 1 }, acquire: 'redirect', intercept: null, source: 'client' }]));
  expect(text).toContain('meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set 0x5a11 accept');
  expect(text).toContain('meta mark 0x5a11 return');
  expect(text).not.toContain('counter tproxy');
});

test('IPv6 addresses of listeners are bracketed', () => {
  const rendered = (acquire: 'redirect' | 'tproxy'): string => renderTable(netPlan([{ name: 'x', type: 'ssl', listen: { host: '2001:db8::1', port: 1 }, acquire, intercept: null }])).text;
  expect(rendered('redirect')).toContain('dnat ip6 to [2001:db8::1]:1');
  expect(rendered('tproxy')).toContain('tproxy ip6 to [2001:db8::1]:1');
});

test('the same plan renders the same; a changed rule changes its comment alone', () => {
  const changed = services.map((service) => (service.name === 'http' ? { ...service, listen: { host: '198.51.100.2', port: 8080 } } : service));
  const [one, same, other] = [services, services, changed].map((list) => renderTable(netPlan(list)));
  expect(one).toEqual(same);
  expect(one?.comments.filter((comment) => other?.comments.includes(comment) !== true)).toEqual([expect.stringMatching(/^sallyport http /)]);
});

test('odd service names do not break out of their comment', () => {
  const { text } = renderTable(netPlan([{ name: 'a" drop; "', type: 'ssl', listen: { host: '0.0.0.0', port: 1 }, acquire: 'redirect', intercept: null }]));
  expect(text).toMatch(/comment "sallyport a__drop___ [0-9a-f]{10}"/);
});

test('a plan with problems is not rendered', () => {
  expect(() => renderTable(netPlan([{ name: 'x', type: 'ssl', listen: { host: '127.0.0.1', port: 1 }, acquire: 'redirect', intercept: null }]))).toThrow(/problems/);
});

test('removal names the own table alone', () => {
  expect(removalText).toBe('table inet sallyport {}\ndelete table inet sallyport\n');
});

test('comments are read from a listing, and nothing from anything else', () => {
  const listing = { nftables: [{ metainfo: {} }, { table: { name: 'sallyport' } }, { rule: { comment: 'one', expr: [] } }, { rule: { expr: [] } }, null, 7] };
  expect(listedComments(JSON.stringify(listing))).toEqual(['one', '']);
  expect(listedComments('{"nftables":[]}')).toEqual([]);
  for (const text of ['', 'Error: no', '[]', 'null', '{"nftables":{}}']) expect(listedComments(text)).toBeNull();
});
