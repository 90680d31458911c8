// The small values of the config: what each takes and what not.

import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { bareHost, destination, dnsServer, duration, hostPattern, listenAddress, network, oneOrMany, port, serverAddress, shortName, timeWindow } from '../../../src/config/parts.ts';

const cases: readonly [string, z.ZodType, readonly unknown[], readonly unknown[]][] = [
  ['listenAddress', listenAddress, ['0.0.0.0:1', '[::]:8443', '127.0.0.1:0', '[2001:db8::1]:65535'], ['8443', ':8443', 'localhost:1', '::1:80', '[10.0.0.1]:1', '1.2.3.4:65536', '1.2.3.4', 5]],
  ['serverAddress', serverAddress, ['lync.example:5061', '10.0.0.1:1', '[::1]:1', 'a_b.example:1'], ['lync.example', 'http://a:1', 'a:0', ':1', '-a:1', 'a..b:1', '10.0.0.300:1']],
  ['bareHost', bareHost, ['proxy.example', '10.0.0.1', 'proxy.example:9080', '[2001:db8::1]:9080', '2001:db8::1', 'mycompany.com'], ['http://proxy.example', 'proxy.example/x', 'a b', '', '*.example']],
  ['dnsServer', dnsServer, ['10.0.0.53', '2001:db8::53', '10.0.0.53:5353', '[2001:db8::53]:53'], ['dns.example', '10.0.0.53:', 'x']],
  ['network', network, ['10.0.0.0/8', '10.0.0.1', '2001:db8::/32', '::/0'], ['10.0.0.0/33', '10.0.0/8', 'a.example', '', '*']],
  ['hostPattern', hostPattern, ['www.example.com', '*.example.com', '.example.com', '*', 'edge-??.example', 'bücher.example', '10.0.0.1', '2001:db8::1', '_sip.example'], ['http://x', 'a/b', 'a:1', '10.0.0.300', '', 'a b']],
  ['destination', destination, ['10.0.0.0/8', '*.example', 'a.example', '2001:db8::1'], ['10.0.0.0/99', 'a/b', '']],
  ['port', port, [1, 65_535, '5060-5070', '1-1'], [0, 65_536, '5070-5060', '5060', '1-65536', '-', 1.5, '0-5']],
  ['timeWindow', timeWindow, ['mon', 'mon-fri', 'sat,sun', 'mon-wed,fri 08:00-18:00', '22:00-06:00', '00:00-24:00'], ['monday', '8:00-9:00', '25:00-26:00', 'mon 08:00', 'mon-', '08:00-18:00 mon', '']],
  ['shortName', shortName, ['https', 'a b.c-d_e', 'Büro 1', 'x'.repeat(64)], ['', '-x', 'a/b', 'a,b', 'a&b', 'x'.repeat(65), 5]],
  ['duration', duration(100, 1_000_000), [100, '100ms', '1s', '10m', 1_000_000], [99, '1h', '10', '1 m', '-1s', 1.5, 'm', '1w', true]],
];

describe.each(cases)('%s', (_name, schema, good, bad) => {
  it.each(good)('takes %j', (value) => expect(schema.safeParse(value).success).toBe(true));
  it.each(bad)('refuses %j', (value) => expect(schema.safeParse(value).success).toBe(false));
});

it('reads addresses as host and port, durations as milliseconds, single values as lists', () => {
  expect(listenAddress.parse('[::]:8443')).toEqual({ host: '::', port: 8443 });
  expect(serverAddress.parse('a.example:5061')).toEqual({ host: 'a.example', port: 5061 });
  expect(['5ms', '2s', '10m', '12h', '7d'].map((text) => duration(0, 1e12).parse(text))).toEqual([5, 2000, 600_000, 43_200_000, 604_800_000]);
  expect(oneOrMany(network).parse('10.0.0.1')).toEqual(['10.0.0.1']);
  expect(oneOrMany(network).parse(['10.0.0.1', '::1'])).toEqual(['10.0.0.1', '::1']);
  expect(oneOrMany(network).safeParse([]).success).toBe(false);
});
