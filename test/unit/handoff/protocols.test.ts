import { expect, test } from 'vitest';
import { detectedNames } from '../../../src/core/protocols.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { protocols } from '../../../src/handoff/protocols.ts';

test('every row of the table has its binding, and no other', () => {
  expect(Object.keys(protocols).sort()).toEqual([...detectedNames].sort());
});

test('every row but none lacks a handler, so that none is only relayed', () => {
  expect(detectedNames.filter((name) => protocols[name].handle === undefined)).toEqual([]);
});

test('detectors ask for more of nothing, or say no; they never throw on hostile bytes from either side', () => {
  const limits = limitsWith();
  const hostile = [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(100_000, 0x16), Buffer.alloc(100_000, 0xff), Buffer.from('\r\n'.repeat(9_000))];
  for (const name of detectedNames) {
    for (const side of ['client', 'upstream'] as const) {
      expect(['more', 'no']).toContain(protocols[name].detect(Buffer.alloc(0), side, limits));
      for (const bytes of hostile) expect(() => protocols[name].detect(bytes, side, limits)).not.toThrow();
    }
  }
});

test('no detector asks for more than the peek may hold', () => {
  const limits = limitsWith();
  const most = Math.max(limits.peekBytesMax, limits.helloBytesMax);
  for (const name of detectedNames) {
    for (const start of ['GET /', 'REGISTER sip:', '\x16\x03\x01', '\x02\x00\x00', '\xff\x10', '\r\n', 'A', '\x00\x01']) {
      const bytes = Buffer.concat([Buffer.from(start, 'latin1'), Buffer.alloc(most, 'a')]);
      expect([name, start, protocols[name].detect(bytes, 'client', limits)]).not.toEqual([name, start, 'more']);
    }
  }
});
