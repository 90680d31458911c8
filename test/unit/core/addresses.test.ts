// Addresses against Node's own parser and BlockList as a second opinion, and the set against a plain scan.

import { BlockList, isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import { networkCovers, NetworkSet, parseAddress, parseNetwork } from '../../../src/core/addresses.ts';

const good = ['0.0.0.0', '255.255.255.255', '10.1.2.3', '::', '::1', '1::', '2001:db8::1', 'fe80::1%eth0', '1:2:3:4:5:6:7:8', '::ffff:10.0.0.1',
  '64:ff9b::192.0.2.33', '1:2:3:4:5:6:1.2.3.4', 'ABCD:EF01::', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', '1::8', '1:2::1.2.3.4', '1:2:3::1.2.3.4'];
const bad = ['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1..2.3', '1.2.3.4 ', 'a.b.c.d', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3',
  '12345::', 'g::', '::1%', '1:2:3:4:5:6:7:1.2.3.4', '1:', ':1', '1:2:3:4:5:6:7:8::', '::1.2.3', '1.2.3.4::', '::1.2.3.4:5', '1:2:3:1.2.3.4'];

describe('parseAddress', () => {
  it.each(good)('reads %s as Node does', (text) => {
    expect(isIP(text)).not.toBe(0);
    expect(parseAddress(text)).toBeDefined();
  });
  it.each(bad)('refuses %j as Node does', (text) => {
    expect(isIP(text)).toBe(0);
    expect(parseAddress(text)).toBeUndefined();
  });
  it('reads an IPv4-mapped address as IPv4', () => {
    expect(parseAddress('::ffff:10.0.0.1')).toEqual(parseAddress('10.0.0.1'));
  });
  it('puts each group where it belongs', () => {
    expect([...(parseAddress('2001:db8::a:b')?.words ?? [])]).toEqual([0x20010db8, 0, 0, 0x000a000b]);
    expect([...(parseAddress('1:2::1.2.3.4')?.words ?? [])]).toEqual([0x00010002, 0, 0, 0x01020304]);
    expect([...(parseAddress('ffff::')?.words ?? [])]).toEqual([0xffff0000, 0, 0, 0]);
    expect([...(parseAddress('192.168.1.255')?.words ?? [])]).toEqual([0xc0a801ff, 0, 0, 0]);
  });
  it('agrees with Node on random mutations of good texts', () => {
    const characters = '0123456789abcf:.%';
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let round = 0; round < 20_000; round += 1) {
      const text = [...(good[random(good.length)] ?? '')];
      for (let change = random(3); change >= 0; change -= 1) text.splice(random(text.length + 1), random(2), characters[random(characters.length)] ?? '');
      const mutated = text.join('');
      expect([mutated, parseAddress(mutated) !== undefined]).toEqual([mutated, isIP(mutated) !== 0]);
    }
  });
});

describe('networks', () => {
  it.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/08', '::/129', '::ffff:10.0.0.0/95', 'x/8', '/8', '10.0.0.0/8/8'])('refuses %s', (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  });
  it('reads a mapped network as IPv4, and ignores bits behind the prefix', () => {
    expect(parseNetwork('::ffff:10.0.0.0/104')).toEqual(parseNetwork('10.0.0.0/8'));
    expect(parseNetwork('10.9.8.7/8')).toEqual(parseNetwork('10.0.0.0/8'));
  });
  it('knows what covers what', () => {
    const covers = (outer: string, inner: string): boolean => {
      const [one, other] = [parseNetwork(outer), parseNetwork(inner)];
      return one !== undefined && other !== undefined && networkCovers(one, other);
    };
    expect(covers('10.0.0.0/8', '10.1.0.0/16')).toBe(true);
    expect(covers('10.1.0.0/16', '10.0.0.0/8')).toBe(false);
    expect(covers('0.0.0.0/0', '::/0')).toBe(false);
    expect(covers('2001:db8::/32', '2001:db8:1::/48')).toBe(true);
  });
  it('finds as BlockList does, with overlapping and touching networks', () => {
    const texts = ['10.0.0.0/8', '10.1.0.0/16', '192.168.0.0/17', '192.168.128.0/17', '203.0.113.7', '0.0.0.0/30', '255.255.255.255', '2001:db8::/33', '2001:db8:8000::/33', 'fe80::/10', '::1'];
    const list = new BlockList();
    for (const text of texts) {
      const [address = '', prefix] = text.split('/');
      const family = address.includes(':') ? 'ipv6' : 'ipv4';
      list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family);
    }
    const set = new NetworkSet(texts.flatMap((text) => parseNetwork(text) ?? []));
    const probes = ['9.255.255.255', '10.0.0.0', '10.255.255.255', '11.0.0.0', '192.167.255.255', '192.168.0.0', '192.168.255.255', '192.169.0.0', '203.0.113.6',
      '203.0.113.7', '203.0.113.8', '0.0.0.0', '0.0.0.3', '0.0.0.4', '255.255.255.255', '255.255.255.254', '2001:db7:ffff::', '2001:db8::', '2001:db8:ffff::1', '2001:db9::',
      'fe80::1', 'febf::1', 'fec0::1', '::', '::1', '::2'];
    for (const probe of probes) {
      const address = parseAddress(probe);
      expect([probe, address !== undefined && set.has(address)]).toEqual([probe, list.check(probe, probe.includes(':') ? 'ipv6' : 'ipv4')]);
    }
  });
  it('an empty set has nothing', () => {
    const address = parseAddress('10.0.0.1');
    expect(address !== undefined && new NetworkSet([]).has(address)).toBe(false);
  });
});
