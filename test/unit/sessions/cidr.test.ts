import { BlockList, isIPv6 } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../../src/sessions/cidr.ts';

const inside = (range: string, ip: string): boolean | undefined => parseCidr(range)?.(ip);

describe('address ranges', () => {
  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3', '10.1.2.4', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['::ffff:10.0.0.0/104', '10.9.9.9', true],
    ['::ffff:10.0.0.0/104', '11.9.9.9', false],
    ['2001:db8::/32', '2001:db8:1::5', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['::/0', '2001:db8::1', true],
    ['::/0', '10.0.0.1', false],
    ['10.0.0.0/8', '', false],
    ['10.0.0.0/8', 'no address', false],
    ['192.168.128.0/17', '192.168.127.255', false],
    ['192.168.128.0/17', '192.168.200.1', true],
  ])('%s holds %s: %s', (range, ip, expected) => {
    expect(inside(range, ip)).toBe(expected);
  });

  it.each(['', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/', '10.0.0.0/-1', '2001:db8::/129', 'example.com', '010.0.0.1/8/8', 'fe80::1%eth0/64', '::ffff:10.0.0.0/8'])('%s is no range', (text) => {
    expect(parseCidr(text)).toBeNull();
  });

  it('agrees with Node on random addresses and prefixes', () => {
    let seed = 7;
    const random = (max: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * max);
    };
    const address = (six: boolean): string => (six
      ? Array.from({ length: 8 }, () => (random(3) === 0 ? '0' : random(65_536).toString(16))).join(':')
      : Array.from({ length: 4 }, () => String(random(256))).join('.'));
    for (let round = 0; round < 2_000; round += 1) {
      const six = random(2) === 1;
      const base = address(six);
      const bits = random(six ? 129 : 33);
      const ip = random(2) === 0 ? base : address(six);
      const list = new BlockList();
      const family = isIPv6(base) ? 'ipv6' : 'ipv4';
      list.addSubnet(base, bits, family);
      expect(inside(`${base}/${bits}`, ip), `${base}/${bits} ${ip}`).toBe(list.check(ip, family));
    }
  });
});
