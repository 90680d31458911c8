// Broken hellos of every kind: nothing throws, and no answer changes when more bytes come.

import { expect, test } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { detectTls, isClientHello, readClientHello } from '../../src/tls/client-hello.ts';
import { ja3, ja4 } from '../../src/tls/fingerprint.ts';
import { leafKeyFor, offerClass } from '../../src/tls/offer.ts';
import { buildSslv2, helloBytes, helloFiles, inRecords } from '../support/client-hellos.ts';

const limits = limitsWith({ helloBytesMax: 4096 });
const seed = Number(process.env['FUZZ_SEED'] ?? 20_251_123);
const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 60_000);

/** mulberry32: small, seeded, the same everywhere. */
function randomFrom(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const random = randomFrom(seed);
const seeds = [...helloFiles.map(helloBytes), buildSslv2(0x0301, [0x2f, 0x35, 0x0700c0])];

function mutated(source: Buffer): Buffer {
  let bytes: Buffer = Buffer.from(source);
  for (let step = 1 + random(4); step > 0; step -= 1) {
    const at = random(bytes.length);
    switch (random(7)) {
      case 0: bytes[at] = random(256); break;
      case 1: bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8)); break;
      case 2: bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]); break;
      case 3: bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(1 + random(8), random(256)), bytes.subarray(at)]); break;
      case 4: bytes = Buffer.concat([bytes.subarray(0, at), seeds[random(seeds.length)]?.subarray(random(64)) ?? bytes]); break;
      case 5: bytes[Math.min(at, 60)] = [0, 1, 0xff, 0x80, 3][random(5)] ?? 0; break;
      default: if (bytes[0] === 0x16 && bytes.length > 9) bytes = inRecords(bytes, 1 + random(600));
    }
    if (bytes.length === 0) return Buffer.from(source);
  }
  return bytes;
}

/** Prefix lengths to ask at: the short ones, where headers lie, and some of the others. */
function lengths(bytes: Buffer): number[] {
  const chosen = new Set<number>([bytes.length]);
  for (let length = 0; length < Math.min(16, bytes.length); length += 1) chosen.add(length);
  for (let count = 0; count < 24; count += 1) chosen.add(random(bytes.length));
  return [...chosen].sort((one, other) => one - other);
}

test(`${rounds} broken hellos, seed ${seed}`, () => {
  const outcomes = { no: 0, more: 0, malformed: 0, large: 0, fine: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const bytes = mutated(seeds[random(seeds.length)] ?? Buffer.alloc(1));
    let settled: string | null = null;
    for (const length of lengths(bytes)) {
      const answer = JSON.stringify(readClientHello(bytes.subarray(0, length), limits));
      if (settled !== null && answer !== settled) throw new Error(`flips at ${length} of ${bytes.toString('hex')}: ${settled} then ${answer}`);
      if (answer !== '"more"') settled = answer;
    }
    const found = detectTls(bytes, 'client', limits);
    if (found === 'suspect') throw new Error('never suspect');
    if (found === 'no' || found === 'more') {
      outcomes[found] += 1;
      continue;
    }
    if (!isClientHello(found.facts)) throw new Error('facts that are no hello');
    const hello = found.facts;
    outcomes[hello.problem === null ? 'fine' : hello.problem === 'HELLO_MALFORMED' ? 'malformed' : 'large'] += 1;
    if (hello.length > bytes.length || hello.length > limits.helloBytesMax) throw new Error(`length ${hello.length} of ${bytes.toString('hex')}`);
    if (hello.sni !== null && !/^[a-z0-9._-]{1,253}$/.test(hello.sni)) throw new Error(`name ${hello.sni}`);
    if (!/^[0-9a-f]{32}$/.test(ja3(hello).hash) || !/^t(1[0-3]|s[23]|00)[di]\d{4}.{2}_[0-9a-f]{12}_[0-9a-f]{12}$/.test(ja4(hello))) throw new Error(ja4(hello));
    expect(['rsa', 'ec']).toContain(leafKeyFor(hello));
    expect(offerClass(hello, 'TLSv1.2').groups).toContain('P-256');
  }
  // The mutations must reach every kind of answer, else this test tests little.
  for (const [outcome, count] of Object.entries(outcomes)) expect(count, outcome).toBeGreaterThan(rounds / 1000);
});

test('random bytes behind a true start', () => {
  for (let round = 0; round < rounds / 4; round += 1) {
    const bytes = Buffer.from(Array.from({ length: 60 + random(200) }, () => random(256)));
    Buffer.from([0x16, 3, 1, 0, bytes.length - 5 & 0xff, 1, 0, 0, Math.max(0, bytes.length - 9) & 0xff]).copy(bytes);
    let settled: string | null = null;
    for (const length of lengths(bytes)) {
      const answer = JSON.stringify(readClientHello(bytes.subarray(0, length), limits));
      if (settled !== null) expect(answer).toBe(settled);
      if (answer !== '"more"') settled = answer;
    }
  }
});
