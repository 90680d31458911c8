// Random and mutated PROXY protocol headers: never a throw, the same answer at every split, and no length beyond the bytes.

import { expect, it } from 'vitest';
import { readProxyHeader } from '../../src/listener/proxy-protocol-wire.ts';
import { header2, tlv, withChecksum } from '../unit/listener/proxy-headers.ts';

const rounds = 60_000;
const max = 600;

/** A small generator (mulberry32), so that a failure can be run again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const addresses = Buffer.from('c0000201cb007107d43101bb', 'hex');
const seeds = [
  Buffer.from('PROXY TCP4 192.0.2.1 203.0.113.7 54321 443\r\n'), Buffer.from('PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 2\r\n'), Buffer.from('PROXY UNKNOWN anything\r\n'),
  header2(0x21, 0x11, addresses), header2(0x20, 0, Buffer.alloc(0)), withChecksum(addresses), header2(0x21, 0x31, Buffer.alloc(216)),
  header2(0x21, 0x21, Buffer.concat([addresses, addresses, addresses, tlv(2, Buffer.from('a.example'))])),
];

it(`${rounds} headers`, () => {
  const random = randomFrom(20_260_801);
  const below = (bound: number): number => Math.floor(random() * bound);
  let accepted = 0;
  for (let round = 0; round < rounds; round += 1) {
    const bytes = Buffer.from(seeds[below(seeds.length)] ?? Buffer.alloc(0));
    for (let change = below(4); change > 0; change -= 1) bytes[below(bytes.length)] = below(256);
    const fed = random() < 0.3 ? Buffer.concat([bytes, Buffer.from(Array.from({ length: below(40) }, () => below(256)))]) : bytes;
    const whole = readProxyHeader(fed, max);
    if (typeof whole === 'object') {
      accepted += 1;
      expect(whole.lengthBytes).toBeLessThanOrEqual(fed.length);
      expect(readProxyHeader(fed.subarray(0, whole.lengthBytes), max)).toEqual(whole);
    }
    // A shorter view may only be undecided, or say the same.
    const part = readProxyHeader(fed.subarray(0, below(fed.length + 1)), max);
    if (part !== 'more') expect(part).toEqual(whole);
  }
  expect(accepted).toBeGreaterThan(rounds / 20);
});
