// Seeded fuzz of TURN: mutated captures and random bytes through detectors, codec, walkers and taps. Nothing throws, nothing is held
// beyond its bound, every split gives the same result, and what leaves without a refusal is what came.

import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { checkFingerprint, checkIntegrity, decodeMessage, encodeMessage, readAddress, readXorAddress } from '../../src/turn/codec.ts';
import { detectMsTurn, detectSsltcp, detectTurn } from '../../src/turn/detect.ts';
import type { Framing } from '../../src/turn/frames.ts';
import { judgePseudoAnswer, readMsServerHello, readSsltcpServerHello, ssltcpClientHello } from '../../src/turn/hello.ts';
import { TurnObserver } from '../../src/turn/observer.ts';
import { turnTaps } from '../../src/turn/tap.ts';
import type { TurnTap } from '../../src/turn/tap.ts';
import { captureSections, seeded, streamOf, turnDeps, turnSession } from '../unit/turn/support.ts';

/** Rounds of each target; SALLYPORT_FUZZ_ROUNDS and SALLYPORT_FUZZ_SEED run longer or again. */
const rounds = Number(process.env['SALLYPORT_FUZZ_ROUNDS'] ?? 1_500);
const seed = Number(process.env['SALLYPORT_FUZZ_SEED'] ?? 20_251_123);

type Random = () => number;
const pick = <T>(random: Random, items: readonly T[], fallback: T): T => items[Math.floor(random() * items.length)] ?? fallback;

const rfcStream = Buffer.concat([
  encodeMessage({ dialect: 'rfc', type: 0x0003, attributes: [{ type: 0x0006, value: Buffer.from('user') }] }), Buffer.from('40000005', 'hex'), Buffer.alloc(8, 0x80),
  encodeMessage({ dialect: 'rfc', type: 0x0016, attributes: [{ type: 0x0013, value: Buffer.alloc(21, 0x80) }, { type: 0x0012, value: Buffer.from('0001abcd01020304', 'hex') }] }),
  encodeMessage({ dialect: 'rfc', type: 0x0109, attributes: [] }), Buffer.from('40010000', 'hex'),
]);
/** Two sessions on one connection (MS-TURN 2.2.3): a login each, an active destination, a Send and media. */
const multiplexedStream = Buffer.concat([1, 2, 1, 2].flatMap((session, index) => {
  const peer = { type: 0x0011, value: Buffer.from(`0001c350c000020${session}`, 'hex') };
  const messages = index < 2 ? [{ type: 0x0003, attributes: [{ type: 0x0006, value: Buffer.from('user') }] }] : [{ type: 0x0006, attributes: [peer] }, { type: 0x0004, attributes: [peer, { type: 0x0013, value: Buffer.alloc(13, 0x80) }] }];
  const bodies = [...messages.map((message) => encodeMessage({ dialect: 'ms', ...message })), Buffer.alloc(20, 0x80)];
  return bodies.map((body) => Buffer.concat([Buffer.from([0xff, 0x10, (body.length + 8) >> 8, (body.length + 8) & 0xff]), Buffer.alloc(8, session), body]));
}));
const corpus: readonly Buffer[] = [
  multiplexedStream, multiplexedStream,
  ...captureSections().flatMap((section) => [streamOf(section, 'client'), streamOf(section, 'server')]), rfcStream, Buffer.concat([ssltcpClientHello.fixed, Buffer.from('0014', 'hex'), rfcStream]),
  Buffer.from('ff10000c010203040506070880000001', 'hex'),
];

/** A seed stream with bytes changed, cut, doubled or lengths stretched; now and then only noise. */
function mutated(random: Random): Buffer {
  if (random() < 0.05) return Buffer.from(Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
  let bytes = Buffer.from(pick(random, corpus, rfcStream));
  const changes = Math.floor(random() * 6);
  for (let change = 0; change < changes && bytes.length > 4; change += 1) {
    const at = Math.floor(random() * bytes.length);
    const kind = random();
    if (kind < 0.4) bytes[at] = Math.floor(random() * 256);
    else if (kind < 0.6) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + Math.floor(random() * 20))]);
    else if (kind < 0.8) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 40), at), bytes.subarray(at)]);
    else bytes.writeUInt16BE(pick(random, [0, 1, 4, 0x7fff, 0x8000, 0xffff], 0), Math.min(at, bytes.length - 2));
  }
  return bytes;
}

function cutsOf(random: Random, length: number): number[] {
  const count = pick(random, [0, 1, 2, 5, 40], 1);
  return Array.from({ length: count }, () => Math.floor(random() * (length + 1))).sort((a, b) => a - b);
}

interface Run {
  readonly out: Buffer;
  readonly answers: Buffer;
  readonly closed: string | null;
}

function feed(tap: TurnTap, stream: Buffer, cuts: readonly number[]): Run {
  const out: Buffer[] = [];
  const answers: Buffer[] = [];
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    const piece = Buffer.from(stream.subarray(from, to));
    from = to;
    if (piece.length === 0) continue;
    const judgement = tap.push(piece);
    if (judgement === 'pass') out.push(piece);
    else {
      if (judgement.forward !== null) out.push(Buffer.from(judgement.forward));
      if (judgement.answer !== null) answers.push(judgement.answer);
      expect(judgement.boundary).toBeLessThanOrEqual(judgement.forward?.length ?? 0);
      if (judgement.close !== null) return { out: Buffer.concat(out), answers: Buffer.concat(answers), closed: judgement.close.code };
    }
  }
  const rest = tap.end();
  if (rest !== null) out.push(rest);
  return { out: Buffer.concat(out), answers: Buffer.concat(answers), closed: null };
}

function converse(streams: readonly [Buffer, Buffer], cuts: readonly [readonly number[], readonly number[]], framing: Framing, hello: boolean, denies: boolean | null): { client: Run; upstream: Run; details: unknown } {
  const deps = turnDeps({ limits: { turnMessageBytesMax: 256, turnPeersMax: 4 }, ...(denies !== null && { denies: ({ message, peer }) => denies && (message === 'allocate' || peer !== null) }) });
  const session = turnSession();
  const observer = new TurnObserver(session, deps.limits, deps.meter, () => 1);
  const serverHello = hello ? (framing === 'ssltcp' ? readSsltcpServerHello : readMsServerHello) : null;
  const taps = turnTaps({ ...deps, session, observer, framing, hello, serverHello });
  const client = feed(taps.client, streams[0], cuts[0]);
  const upstream = feed(taps.upstream, streams[1], cuts[1]);
  observer.end();
  return { client, upstream, details: structuredClone(session.details.turn) };
}

describe(`seed ${seed}, ${rounds} rounds`, () => {
  it('taps: no throw, no loss, the same at every split', () => {
    const random = seeded(seed);
    for (let round = 0; round < rounds; round += 1) {
      const streams = [mutated(random), mutated(random)] as const;
      const framing = pick<Framing>(random, ['ms', 'rfc', 'ssltcp'], 'ms');
      const hello = random() < 0.5 && framing !== 'rfc';
      const denies = pick(random, [null, false, true], null);
      const whole = converse(streams, [[], []], framing, hello, denies);
      const cut = converse(streams, [cutsOf(random, streams[0].length), cutsOf(random, streams[1].length)], framing, hello, denies);
      expect(cut, `round ${round}`).toEqual(whole);
      if (denies === true) continue;
      // Rules that deny nothing still refuse what they cannot see into; without rules everything passes.
      if (denies === null) expect([whole.client.out.equals(streams[0]), whole.upstream.out.equals(streams[1])]).toEqual([true, true]);
      expect(Object.keys((whole.details as { peers: object }).peers).length).toBeLessThanOrEqual(5);
    }
  });

  it('codec: no throw; what decodes whole encodes to the same bytes', () => {
    const random = seeded(seed + 1);
    const key = Buffer.from('key');
    for (let round = 0; round < rounds * 4; round += 1) {
      const stream = mutated(random);
      const bytes = stream.subarray(Math.floor(random() * 80));
      for (const dialect of ['ms', 'rfc'] as const) {
        checkIntegrity(bytes, dialect, key);
        const message = decodeMessage(bytes, dialect);
        if (message === null) continue;
        for (const { value } of message.attributes) {
          readAddress(value);
          readXorAddress(value, message.transaction);
        }
        if (!message.whole || dialect === 'rfc') continue;
        const again = encodeMessage({ dialect, type: message.type, transaction: message.transaction, attributes: message.attributes.slice(1) });
        expect(again.equals(bytes)).toBe(true);
      }
      checkFingerprint(bytes);
    }
  });

  it('detectors and hello judges: an answer once given never changes', () => {
    const random = seeded(seed + 2);
    const limits = limitsWith();
    for (let round = 0; round < rounds; round += 1) {
      const bytes = mutated(random).subarray(0, 160);
      for (const detect of [detectMsTurn, detectSsltcp, detectTurn]) {
        let settled: unknown = null;
        for (let length = 0; length <= bytes.length; length += 1) {
          const found = detect(bytes.subarray(0, length), 'client', limits);
          if (settled !== null) expect(found).toEqual(settled);
          else if (found !== 'more') settled = found;
        }
      }
      let judged: string = 'more';
      for (let length = 0; length <= bytes.length; length += 1) {
        const answer = judgePseudoAnswer(bytes.subarray(0, length));
        if (judged !== 'more') expect(answer).toBe(judged);
        judged = answer;
      }
    }
  });
});
