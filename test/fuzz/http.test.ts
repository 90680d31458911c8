// Differential fuzzing against llhttp: what both accept is framed identically; what llhttp refuses we refuse, but for the
// differences of http-differences.ts; what only we refuse is refused for a reason listed there. SALLYPORT_FUZZ_MESSAGES
// sets how many streams are generated (10 million and more were run); CI runs a bounded share with a fixed seed.

import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { detectHttp } from '../../src/http/detect.ts';
import { latin1, readStream } from '../unit/http/messages.ts';
import { compare } from './http-differences.ts';
import { askLlhttp, generate, seeded } from './http-llhttp.ts';

const shareOfCi = 60_000;
const streams = Number(process.env.SALLYPORT_FUZZ_MESSAGES ?? shareOfCi);
const seed = Number(process.env.SALLYPORT_FUZZ_SEED ?? 20_240_601);

describe.each(['request', 'response'] as const)('%s streams', (kind) => {
  test('are framed as llhttp frames them, or refused', () => {
    const random = seeded(seed + (kind === 'request' ? 0 : 1));
    const counts = { messages: 0, both: 0, neither: 0, onlyUs: 0, onlyThem: 0 };
    const reasons = new Map<string, number>();
    for (let index = 0; index < streams; index += 1) {
      const bytes = generate(kind, random);
      const { ours, theirs, found } = compare(kind, bytes);
      if (found !== null) expect.fail(`${found}\nstream ${String(index)}: ${JSON.stringify(bytes.toString('latin1'))}`);
      const outcome = ours.why === null ? (theirs.refused === null ? 'both' : 'onlyUs') : theirs.refused === null ? 'onlyThem' : 'neither';
      counts[outcome] += 1;
      counts.messages += Math.max(ours.messages.length, theirs.messages.length, 1);
      const reason = outcome === 'onlyUs' ? (ours.end === 'head' ? 'we wait for the end of a head that llhttp refuses already' : `llhttp refuses: ${String(theirs.refused)}`) : outcome === 'onlyThem' ? `we refuse: ${String(ours.why)}` : null;
      if (reason !== null) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    if (streams > shareOfCi) console.log(JSON.stringify({ kind, seed, streams, counts, reasons: Object.fromEntries([...reasons].toSorted(([, one], [, other]) => other - one)) }, null, 1));
    // The generator is worth its time only while each outcome occurs.
    expect(counts.both).toBeGreaterThan(streams / 10);
    expect(counts.neither).toBeGreaterThan(streams / 20);
  });

  test('are read alike at any split', () => {
    const random = seeded(seed + 7);
    for (let index = 0; index < streams / 20; index += 1) {
      const bytes = generate(kind, random);
      const whole = readStream(kind, [bytes]);
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const next = at + 1 + Math.floor(random() * 9);
        pieces.push(bytes.subarray(at, next));
        at = next;
      }
      const split = readStream(kind, pieces);
      // A line without its end may be judged as soon as its bad byte is seen, or only with its end: nothing passes either way.
      const unfinished = split.end === 'head' || whole.end === 'head';
      expect(unfinished ? split.messages : split, JSON.stringify(bytes.toString('latin1'))).toEqual(unfinished ? whole.messages : whole);
    }
  });
});

test('detection answers alike at any split and finds every stream that a handler reads', () => {
  const random = seeded(seed + 9);
  const limits = limitsWith();
  for (let index = 0; index < streams / 20; index += 1) {
    const bytes = generate('request', random);
    const final = detectHttp(bytes, 'client', limits);
    let decided: unknown = 'more';
    for (let length = 0; length <= bytes.length && decided === 'more'; length += 1) decided = detectHttp(bytes.subarray(0, length), 'client', limits);
    expect(decided, JSON.stringify(bytes.toString('latin1'))).toEqual(final);
    if (readStream('request', [bytes]).messages.length > 0) expect(final).toEqual({ facts: null });
  }
});

test('the oracle refuses what it must, so that agreement means something', () => {
  expect(askLlhttp('request', latin1('GET / HTTP/1.1\nHost: a\r\n\r\n')).refused).toBe('HPE_INVALID_VERSION');
  expect(askLlhttp('request', latin1('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')).refused).not.toBeNull();
});
