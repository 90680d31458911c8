// The taps under rules: what is held and for how long, what leaves when a frame is refused in the middle, gaps for answers, and
// streams that stop being framed.

import { describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import type { TurnFacts } from '../../../src/core/verdicts.ts';
import type { Judgement } from '../../../src/core/relay.ts';
import { addressValue, encodeMessage } from '../../../src/turn/codec.ts';
import { makeHello, msClientHello, msServerHello, readMsServerHello } from '../../../src/turn/hello.ts';
import { framed } from '../../../src/turn/judge.ts';
import { msAttributes, msTypes } from '../../../src/turn/names.ts';
import { TurnObserver } from '../../../src/turn/observer.ts';
import { turnTaps } from '../../../src/turn/tap.ts';
import type { TurnTap } from '../../../src/turn/tap.ts';
import { turnDeps, turnSession } from './support.ts';

interface Rig {
  readonly client: TurnTap;
  readonly upstream: TurnTap;
  readonly session: Session;
}

function rig(denies?: (facts: TurnFacts) => boolean, hello = false): Rig {
  const deps = turnDeps(denies === undefined ? {} : { denies });
  const session = turnSession();
  const observer = new TurnObserver(session, deps.limits, deps.meter, deps.clock);
  return { ...turnTaps({ ...deps, session, observer, framing: 'ms', hello, serverHello: hello ? readMsServerHello : null }), session };
}

const control = (type: number, ip = '192.0.2.1'): Buffer =>
  framed('ms', encodeMessage({ dialect: 'ms', type, attributes: [{ type: msAttributes['destination-address'], value: addressValue({ ip, port: 9 }) }] }), Buffer.from('02000000', 'hex'));
const data = (bytes: number): Buffer => framed('ms', Buffer.alloc(bytes, 0x80), Buffer.from('03000000', 'hex'));
const noTen = ({ peer }: TurnFacts): boolean => peer === '10.0.0.1';
const good = control(msTypes.send);
const bad = control(msTypes['set-active-destination'], '10.0.0.1');

function out(judgement: Judgement | 'pass', chunk: Buffer): Buffer {
  return judgement === 'pass' ? chunk : (judgement.forward ?? Buffer.alloc(0));
}

describe('refused frames', () => {
  it('a message larger than is looked into cannot be judged: it is answered and the flow ends', () => {
    const huge = framed('ms', encodeMessage({ dialect: 'ms', type: msTypes.allocate, attributes: [{ type: msAttributes.data, value: Buffer.alloc(9_000) }] }), Buffer.from('02000000', 'hex'));
    const { client } = rig(noTen);
    const judgement = client.push(Buffer.concat([good, huge]));
    if (judgement === 'pass') throw new Error('it passed');
    expect([judgement.forward?.equals(good), judgement.answer?.readUInt16BE(4), judgement.close?.code]).toEqual([true, 0x0113, 'TURN_TOO_LARGE']);
    expect(rig().client.push(huge)).toBe('pass');
  });

  it('leave a gap and nothing else, at every split', () => {
    const stream = Buffer.concat([data(20), good, bad, data(7), bad, bad, good, data(1)]);
    const expected = Buffer.concat([data(20), good, data(7), good, data(1)]);
    for (let first = 1; first < stream.length; first += 3) {
      for (const second of [first, Math.min(stream.length, first + 5), stream.length]) {
        const { client, session } = rig(noTen);
        const left: Buffer[] = [];
        let answers = 0;
        for (const piece of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)]) {
          if (piece.length === 0) continue;
          const judgement = client.push(piece);
          left.push(Buffer.from(out(judgement, piece)));
          if (judgement !== 'pass' && judgement.answer !== null) answers += judgement.answer.length;
        }
        expect(Buffer.concat(left).equals(expected), `cut at ${first} and ${second}`).toBe(true);
        expect(client.betweenFrames).toBe(true);
        // One 0116 for each refused request: frame head, header, cookie, ERROR-CODE.
        expect(answers).toBe(3 * (4 + 20 + 8 + 4 + 4 + 'Forbidden by policy'.length));
        expect(session.details.turn?.messages).toMatchObject({ send: 2, 'set-active-destination': 3, 'data-frame': 3 });
      }
    }
  });

  it('the boundary is the last frame end in what leaves', () => {
    const { client } = rig(noTen);
    const chunk = Buffer.concat([good, bad, data(9), data(30).subarray(0, 10)]);
    expect(client.push(chunk)).toMatchObject({ boundary: good.length + data(9).length, close: null });
    expect(client.betweenFrames).toBe(false);
    client.push(data(30).subarray(10));
    expect(client.betweenFrames).toBe(true);
  });

  it('a frame that passes whole is a view of the chunk', () => {
    const { client } = rig(noTen);
    const chunk = Buffer.concat([good, data(9)]);
    const judgement = client.push(chunk);
    expect(judgement === 'pass' ? null : judgement.forward?.buffer).toBe(chunk.buffer);
  });
});

describe('what is held', () => {
  it('under rules a control frame until it is whole; data frames never', () => {
    const { client } = rig(noTen);
    expect(client.push(good.subarray(0, 30))).toMatchObject({ forward: null });
    expect(client.betweenFrames).toBe(true);
    expect(out(client.push(good.subarray(30)), good).equals(good)).toBe(true);
    expect(out(client.push(data(900).subarray(0, 100)), good).length).toBe(100);
  });

  it('without rules nothing: the chunk passes as it is', () => {
    const { client } = rig();
    expect(client.push(good.subarray(0, 3))).toBe('pass');
    expect(client.betweenFrames).toBe(false);
    expect(client.push(good.subarray(3))).toBe('pass');
    expect([client.betweenFrames, client.end()]).toEqual([true, null]);
  });

  it('leaves at the end of the stream', () => {
    const { client, upstream } = rig(noTen, true);
    client.push(makeHello(msClientHello));
    client.push(good.subarray(0, 3));
    expect(client.end()?.equals(good.subarray(0, 3))).toBe(true);
    const hello = makeHello(msServerHello).subarray(0, 60);
    expect(upstream.push(hello)).toMatchObject({ forward: null });
    expect(upstream.end()?.equals(hello)).toBe(true);
  });
});

describe('the server\'s hello', () => {
  it.each([undefined, noTen])('leaves whole, with what follows it in order', (denies) => {
    const hello = makeHello(msServerHello);
    const response = control(msTypes['set-active-destination-response']);
    for (let cut = 1; cut <= hello.length; cut += 1) {
      const { upstream } = rig(denies, true);
      expect(upstream.betweenFrames).toBe(false);
      const last = Buffer.concat([hello.subarray(cut), response, data(5).subarray(0, 6)]);
      const left = [hello.subarray(0, cut), last].map((piece) => out(upstream.push(piece), piece));
      const whole = Buffer.concat([hello, response, data(5).subarray(0, 6)]);
      expect(Buffer.concat(left).equals(whole)).toBe(true);
      expect(left[0]?.length).toBe(cut === 83 ? 83 : 0);
    }
  });

  it('anything else leaves at once and both directions are unwatched', () => {
    const { client, upstream, session } = rig(undefined, true);
    const alert = Buffer.from('15030100020246', 'hex');
    expect(out(upstream.push(alert), alert).equals(alert)).toBe(true);
    expect(session.details.turn?.opaque).toBe('the server did not answer in pseudo-TLS');
    expect([client.push(good), upstream.push(good)]).toEqual(['pass', 'pass']);
    expect(session.details.turn?.messages).toEqual({});
  });
});

describe('streams that stop being framed', () => {
  const broken = Buffer.concat([good, Buffer.from('0500'), Buffer.alloc(30)]);

  it('pass without rules, and with rules that allow it, loosing nothing at any split', () => {
    for (const denies of [undefined, noTen]) {
      for (let cut = 1; cut < broken.length; cut += 1) {
        const { client, session } = rig(denies);
        const left = [broken.subarray(0, cut), broken.subarray(cut), good].map((piece) => out(client.push(piece), piece));
        expect(Buffer.concat(left).equals(Buffer.concat([broken, good]))).toBe(true);
        expect(session.details.turn?.opaque).toBe('a frame that cannot be read');
      }
    }
  });

  it('are closed by a rule for `opaque`: what came before leaves, what follows does not', () => {
    const { client } = rig(({ message }) => message === 'opaque');
    const judgement = client.push(broken);
    expect(judgement).toMatchObject({ close: { code: 'TURN_MALFORMED' }, boundary: good.length });
    expect(out(judgement, broken).equals(good)).toBe(true);
  });

  it('get no answers of ours put in', () => {
    const { client, upstream } = rig(noTen);
    upstream.push(broken);
    expect(upstream.betweenFrames).toBe(false);
    expect(client.push(bad)).toMatchObject({ forward: null, answer: null });
  });

  it('a TCP data connection (RFC 6062) is no fault: both directions are left alone', () => {
    const deps = turnDeps({ denies: ({ message }) => message === 'opaque' });
    const session = turnSession('turn');
    const observer = new TurnObserver(session, deps.limits, deps.meter, deps.clock);
    const taps = turnTaps({ ...deps, session, observer, framing: 'rfc', hello: false, serverHello: null });
    const request = encodeMessage({ dialect: 'rfc', type: 0x000b, attributes: [] });
    const response = encodeMessage({ dialect: 'rfc', type: 0x010b, transaction: request.subarray(4, 20), attributes: [] });
    expect(out(taps.client.push(request), request).equals(request)).toBe(true);
    const both = Buffer.concat([response, Buffer.from('any bytes')]);
    expect(out(taps.upstream.push(both), both).equals(both)).toBe(true);
    const text = Buffer.from('GET / HTTP/1.1\r\n');
    expect(out(taps.client.push(text), text).equals(text)).toBe(true);
    expect(session.details.turn?.opaque).toBe('a TCP data connection (RFC 6062)');
  });
});
