// The walker by itself: frames of all three framings at every split, runs of data frames, bounds, and what makes a stream opaque.

import { describe, expect, it } from 'vitest';
import { encodeMessage } from '../../../src/turn/codec.ts';
import { sessionNumber } from '../../../src/turn/multiplex.ts';
import { FrameWalker } from '../../../src/turn/frames.ts';
import type { Framing } from '../../../src/turn/frames.ts';
import { makeHello, msClientHello, ssltcpClientHello } from '../../../src/turn/hello.ts';

const bytesMax = 8192;

/** What was met, runs and parts joined, so that it can be compared between splits. */
interface Met {
  readonly controls: string[];
  frames: number;
  payloadBytes: number;
  rtp: boolean;
  readonly channels: Set<number>;
  opaqueBytes: number;
}

function walk(stream: Buffer, framing: Framing, cuts: readonly number[], hello = false, messageBytesMax = bytesMax): { met: Met; walker: FrameWalker } {
  const walker = new FrameWalker({ framing, hello, messageBytesMax });
  const met: Met = { controls: [], frames: 0, payloadBytes: 0, rtp: false, channels: new Set(), opaqueBytes: 0 };
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    const piece = stream.subarray(from, to);
    from = to;
    walker.feed(piece);
    let at = 0;
    for (let step = walker.next(); step !== 'end'; step = walker.next()) {
      // Steps cover the chunk without gap or overlap.
      expect(walker.from).toBe(at);
      at = walker.to;
      if (step === 'control') met.controls.push(`${walker.dialect} ${walker.whole} ${walker.message.toString('hex')}`);
      if (step === 'opaque') met.opaqueBytes += walker.to - walker.from + walker.carried.length;
      if (step !== 'data') continue;
      met.frames += walker.frames;
      met.payloadBytes += walker.payloadBytes;
      met.rtp ||= walker.rtp;
      met.channels.add(walker.channel);
    }
    expect(at).toBe(piece.length);
  }
  return { met, walker };
}

/** Walks at every cut in two, and byte by byte, and expects the same. */
function everywhere(stream: Buffer, framing: Framing, expected: Partial<Met>, hello = false): void {
  const all = Array.from({ length: stream.length }, (_, index) => index);
  for (const cuts of [...all.map((cut) => [cut]), all]) {
    const { met, walker } = walk(stream, framing, cuts, hello);
    expect(met).toMatchObject(expected);
    expect(walker.opaque).toBeNull();
    expect(walker.between).toBe(true);
  }
}

const ms = encodeMessage({ dialect: 'ms', type: 0x0003, attributes: [{ type: 0x0006, value: Buffer.from('odd') }] });
const rfc = encodeMessage({ dialect: 'rfc', type: 0x0001, attributes: [] });
const framedBy = (head: string, body: Buffer): Buffer => Buffer.concat([Buffer.from(head.replace('LLLL', body.length.toString(16).padStart(4, '0')), 'hex'), body]);
const rtp = Buffer.alloc(20, 0x80);

describe('MS-TURN framing', () => {
  const session = Buffer.from('0102030405060708', 'hex');
  const stream = Buffer.concat([
    framedBy('0200LLLL', ms), framedBy('0300LLLL', rtp), framedBy('0300LLLL', Buffer.alloc(0)), framedBy('0300LLLL', Buffer.from([1])),
    framedBy('ff10LLLL', Buffer.concat([session, ms])), framedBy('ff10LLLL', Buffer.concat([session, rtp])), framedBy('ff10LLLL', session), framedBy('0200LLLL', ms),
  ]);
  const control = `ms true ${ms.toString('hex')}`;
  const expected = { controls: [control, control, control], frames: 5, payloadBytes: 20 + 0 + 1 + 20 + 0, rtp: true, channels: new Set([0]), opaqueBytes: 0 };

  it('control, data, empty data and multiplexed frames', () => everywhere(stream, 'ms', expected));
  it('multiplexed frames say whose they are, whether whole or in pieces', () => {
    for (let cut = 0; cut < stream.length; cut += 1) {
      const walker = new FrameWalker({ framing: 'ms', hello: false, messageBytesMax: 8192 });
      const sessions: number[] = [];
      for (const piece of [stream.subarray(0, cut), stream.subarray(cut)]) {
        walker.feed(piece);
        for (let step = walker.next(); step !== 'end'; step = walker.next()) if (step === 'control' || step === 'data') sessions.push(walker.session);
      }
      const id = sessionNumber(session, 0);
      expect([...new Set(sessions)]).toEqual([0, id]);
      expect(sessions.slice(-4)).toEqual([id, id, id, 0]);
    }
  });
  it('behind the pseudo hello', () => everywhere(Buffer.concat([makeHello(msClientHello), stream]), 'ms', expected, true));

  it('only RTP counts as RTP', () => {
    const first = (payload: Buffer): boolean => walk(framedBy('0300LLLL', payload), 'ms', []).met.rtp;
    expect([first(rtp), first(Buffer.alloc(20, 0xbf)), first(Buffer.alloc(11, 0x80)), first(Buffer.alloc(20, 0x00)), first(Buffer.alloc(20, 0xc0))]).toEqual([true, true, false, false, false]);
    const inRun = Buffer.concat([framedBy('0300LLLL', Buffer.alloc(20)), framedBy('0300LLLL', rtp)]);
    expect(walk(inRun, 'ms', []).met).toMatchObject({ frames: 2, rtp: true });
  });

  it('the longest frames do not wrap', () => {
    const longest = framedBy('0300LLLL', Buffer.alloc(65_535));
    const { met, walker } = walk(Buffer.concat([longest, longest]), 'ms', [65_538, 65_539, 65_540]);
    expect(met).toMatchObject({ frames: 2, payloadBytes: 131_070 });
    expect(walker.between).toBe(true);
  });

  it('a control frame over the bound is looked into as far as the bound, the rest passes over', () => {
    const long = encodeMessage({ dialect: 'ms', type: 0x0003, attributes: [{ type: 0x0013, value: Buffer.alloc(3_000) }] });
    const stream = Buffer.concat([framedBy('0200LLLL', long), framedBy('0300LLLL', rtp)]);
    for (const cuts of [[], [2], [100], [600], [1000, 3000]]) {
      const { met, walker } = walk(stream, 'ms', cuts, false, 512);
      expect(met.controls).toEqual([`ms false ${long.subarray(0, 512).toString('hex')}`]);
      expect(met.frames).toBe(1);
      expect(walker.between).toBe(true);
    }
  });

  it.each(['0100000a', '02010028', '02000013', '0300000000', 'ff100007', 'ff110010', '16030100', '00030008'])('a frame it cannot read makes the stream opaque: %s', (hex) => {
    const bad = Buffer.concat([framedBy('0300LLLL', Buffer.from([7])), Buffer.from(hex, 'hex'), Buffer.alloc(50, 0x55)]);
    const isBad = hex !== '0300000000';
    for (let cut = 1; cut < bad.length; cut += 1) {
      const { met, walker } = walk(bad, 'ms', [cut]);
      expect(walker.opaque).toBe('a frame that cannot be read');
      // After the empty frame of the fourth row the filling is what cannot be read.
      if (isBad) expect(met.opaqueBytes).toBe(bad.length - 5);
      expect(walker.between).toBe(false);
    }
  });
});

describe('RFC 8656 framing', () => {
  it('messages and padded ChannelData of several channels', () => {
    const channel = (number: string, length: number): Buffer => {
      const body = Buffer.alloc(length, 0x80);
      return Buffer.concat([framedBy(`${number}LLLL`, body), Buffer.alloc((4 - (length % 4)) % 4, 0xff)]);
    };
    const stream = Buffer.concat([rfc, channel('4000', 13), channel('4000', 12), channel('4000', 1), channel('4fff', 0), rfc, channel('4001', 3)]);
    everywhere(stream, 'rfc', {
      controls: [`rfc true ${rfc.toString('hex')}`, `rfc true ${rfc.toString('hex')}`], frames: 5, payloadBytes: 29, rtp: true, channels: new Set([0x4000, 0x4fff, 0x4001]),
    });
  });

  it.each(['80000000', 'c0000000', '0001000800000000', '000100072112a442'])('opaque: %s', (hex) => {
    expect(walk(Buffer.from(`${hex}${'00'.repeat(30)}`, 'hex'), 'rfc', [1]).walker.opaque).not.toBeNull();
  });
});

describe('ssltcp framing', () => {
  const framed = (body: Buffer): Buffer => framedBy('LLLL', body);

  it('two bytes of length, STUN of either dialect, and media', () => {
    const stream = Buffer.concat([ssltcpClientHello.fixed, framed(rfc), framed(rtp), framed(Buffer.alloc(0)), framed(ms), framed(Buffer.alloc(3, 1)), framed(rfc)]);
    everywhere(stream, 'ssltcp', {
      controls: [`rfc true ${rfc.toString('hex')}`, `ms true ${ms.toString('hex')}`, `rfc true ${rfc.toString('hex')}`], frames: 3, payloadBytes: 23, rtp: true,
    }, true);
  });

  it('RFC 8656 framing where the cookie stands as there', () => {
    const stream = Buffer.concat([ssltcpClientHello.fixed, rfc, framedBy('4000LLLL', rtp), rfc]);
    everywhere(stream, 'ssltcp', { controls: [`rfc true ${rfc.toString('hex')}`, `rfc true ${rfc.toString('hex')}`], frames: 1, payloadBytes: 20 }, true);
  });
});

describe('ssltcp beginnings nobody sends', () => {
  it.each(['0001aaaaaaaaaaaaaaaa', '0000000000000000'])('a first frame too short to tell is opaque at every split: %s', (hex) => {
    const stream = Buffer.from(hex, 'hex');
    for (let cut = 0; cut < stream.length; cut += 1) expect(walk(stream, 'ssltcp', [cut]).met).toMatchObject({ opaqueBytes: stream.length });
  });

  it('an SSLv2 record shorter than its head is passed over', () => {
    for (let cut = 0; cut < 5; cut += 1) expect(walk(Buffer.from('800180018001', 'hex'), 'ssltcp', [cut], true).walker.holding).toBe(true);
  });
});

describe('what is in hand', () => {
  it('release gives it back, giveUp keeps it as carried', () => {
    const frame = framedBy('0200LLLL', ms);
    const half = walk(frame.subarray(0, 20), 'ms', [3]).walker;
    expect([half.holding, half.between]).toEqual([true, false]);
    expect(half.release().equals(frame.subarray(0, 20))).toBe(true);
    const head = walk(frame.subarray(0, 3), 'ms', []).walker;
    head.giveUp('why');
    expect(head.carried.equals(frame.subarray(0, 3))).toBe(true);
    expect(head.opaque).toBe('why');
    head.giveUp('later');
    expect(head.opaque).toBe('why');
  });
});
