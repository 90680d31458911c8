// The turn stage asked of messages: every peer counts, what cannot be read is refused, responses pass, answers in the right framing.

import { describe, expect, it } from 'vitest';
import type { TurnFacts } from '../../../src/core/verdicts.ts';
import { addressValue, decodeMessage, encodeMessage, errorOf, newTransaction, xorAddressValue } from '../../../src/turn/codec.ts';
import type { TurnAttribute } from '../../../src/turn/codec.ts';
import { FrameWalker } from '../../../src/turn/frames.ts';
import type { Framing } from '../../../src/turn/frames.ts';
import { Judge, framed } from '../../../src/turn/judge.ts';
import type { Refused } from '../../../src/turn/judge.ts';
import { msAttributes, msTypes, rfcAttributes, rfcMethods } from '../../../src/turn/names.ts';
import { TurnObserver } from '../../../src/turn/observer.ts';
import type { Toward } from '../../../src/turn/traffic.ts';
import { turnDeps, turnSession } from './support.ts';

const asked: TurnFacts[] = [];

function judged(frame: Buffer, framing: Framing, denies: (facts: TurnFacts) => boolean | number, toward: Toward = 'toUpstream'): Refused | null {
  asked.length = 0;
  const deps = turnDeps({ denies: (facts) => (asked.push(facts), denies(facts)) });
  const session = turnSession();
  const observer = new TurnObserver(session, deps.limits, deps.meter, deps.clock);
  const walker = new FrameWalker({ framing, hello: false, messageBytesMax: deps.limits.turnMessageBytesMax });
  walker.feed(frame);
  expect(walker.next()).toBe('control');
  return new Judge({ ...deps, session, observer, framing }, toward).control(walker);
}

const msFrame = (type: number, attributes: readonly TurnAttribute[] = []): Buffer => framed('ms', encodeMessage({ dialect: 'ms', type, attributes }), Buffer.from('02000000', 'hex'));
const to = (ip: string): TurnAttribute => ({ type: msAttributes['destination-address'], value: addressValue({ ip, port: 9 }) });
const noTen = ({ peer }: TurnFacts): boolean => peer?.startsWith('10.') === true;

describe('what is asked', () => {
  it('message and every peer; one denied peer denies', () => {
    expect(judged(msFrame(msTypes.send, [to('192.0.2.1'), to('10.0.0.1')]), 'ms', noTen)).toEqual({ answer: null });
    expect(asked).toEqual([{ message: 'send', peer: '192.0.2.1' }, { message: 'send', peer: '10.0.0.1' }]);
    expect(judged(msFrame(msTypes.allocate), 'ms', noTen)).toBeNull();
    expect(asked).toEqual([{ message: 'allocate', peer: null }]);
    const transaction = newTransaction('rfc');
    const permission = encodeMessage({
      dialect: 'rfc', type: rfcMethods['create-permission'], transaction,
      attributes: ['192.0.2.1', '10.1.1.1'].map((ip) => ({ type: rfcAttributes['xor-peer-address'], value: xorAddressValue({ ip, port: 0 }, transaction) })),
    });
    expect(judged(permission, 'rfc', noTen)?.answer).not.toBeNull();
  });

  it('a peer hidden as IPv4 in IPv6 is met', () => {
    const hidden = { type: msAttributes['destination-address'], value: Buffer.from('0002000900000000000000000000ffff0a000001', 'hex') };
    expect(judged(msFrame(msTypes.send, [hidden]), 'ms', noTen)).not.toBeNull();
  });

  it('responses pass unasked, both ways; indications from upstream are judged and dropped silently', () => {
    for (const type of [msTypes['allocate-response'], msTypes['allocate-error']]) {
      for (const toward of ['toUpstream', 'toClient'] as const) expect(judged(msFrame(type), 'ms', () => true, toward)).toBeNull();
    }
    expect(judged(msFrame(msTypes['data-indication'], [{ type: msAttributes['remote-address'], value: addressValue({ ip: '10.0.0.1', port: 1 }) }]), 'ms', noTen, 'toClient')).toEqual({ answer: null });
    expect(judged(msFrame(msTypes.allocate), 'ms', () => true, 'toClient')).toBeNull();
  });
});

describe('what cannot be read to its end', () => {
  it('is refused with 400, whatever the rules: a peer could hide in it', () => {
    const broken = msFrame(msTypes['set-active-destination'], [to('10.0.0.1')]);
    broken.writeUInt16BE(200, 4 + 20 + 8 + 2);
    const refusal = judged(broken, 'ms', noTen);
    const message = decodeMessage(refusal?.answer?.subarray(4) ?? Buffer.alloc(0), 'ms');
    expect([message?.name, message === null ? null : errorOf(message)?.code]).toEqual(['set-active-destination-error', 400]);
    const long = msFrame(msTypes.send, [to('192.0.2.1'), { type: msAttributes.data, value: Buffer.alloc(9_000) }]);
    expect(judged(long, 'ms', noTen)).toEqual({ answer: null });
  });

  it('nor does a peer of an unknown family pass for none', () => {
    const odd = Buffer.from(to('10.0.0.1').value);
    odd.writeUInt8(0, 1);
    const refusal = judged(msFrame(msTypes['set-active-destination'], [{ type: msAttributes['destination-address'], value: odd }]), 'ms', noTen);
    const message = decodeMessage(refusal?.answer?.subarray(4) ?? Buffer.alloc(0), 'ms');
    expect(message === null ? null : errorOf(message)?.code).toBe(400);
  });
});

describe('answers', () => {
  it('MS-TURN: type 02 frame; multiplexed: the same session id', () => {
    const plain = judged(msFrame(msTypes.allocate), 'ms', () => 486)?.answer ?? Buffer.alloc(0);
    expect([plain.readUInt16BE(0), plain.readUInt16BE(2)]).toEqual([0x0200, plain.length - 4]);
    const message = decodeMessage(plain.subarray(4), 'ms');
    expect([message?.name, message === null ? null : errorOf(message)?.code]).toEqual(['allocate-error', 486]);
    const head = Buffer.from('ff1000000102030405060708', 'hex');
    const multiplexed = judged(framed('ms', encodeMessage({ dialect: 'ms', type: msTypes.allocate, attributes: [] }), head), 'ms', () => true)?.answer ?? Buffer.alloc(0);
    expect([multiplexed.readUInt16BE(0), multiplexed.readUInt16BE(2), multiplexed.subarray(4, 12).toString('hex')]).toEqual([0xff10, multiplexed.length - 4, '0102030405060708']);
  });

  it('RFC: no frame head; ssltcp: two bytes of length', () => {
    const binding = encodeMessage({ dialect: 'rfc', type: rfcMethods.binding, attributes: [] });
    expect(decodeMessage(judged(binding, 'rfc', () => true)?.answer ?? Buffer.alloc(0), 'rfc')?.name).toBe('binding-error');
    const answer = judged(framed('ssltcp', binding, Buffer.alloc(2)), 'ssltcp', () => true)?.answer ?? Buffer.alloc(2);
    expect(answer.readUInt16BE(0)).toBe(answer.length - 2);
  });
});

it('every verdict is counted, and the session says what was stopped, by which rule', () => {
  const deps = turnDeps({ denies: noTen });
  const session = turnSession();
  const observer = new TurnObserver(session, deps.limits, deps.meter, deps.clock);
  const sums = new Map<string, number>();
  const meter = { ...deps.meter, add: (name: string, labels: readonly string[] = [], step = 1) => void sums.set(`${name} ${labels.join()}`, (sums.get(`${name} ${labels.join()}`) ?? 0) + step) };
  for (const ip of ['192.0.2.1', '10.0.0.1', '10.0.0.2']) {
    const walker = new FrameWalker({ framing: 'ms', hello: false, messageBytesMax: deps.limits.turnMessageBytesMax });
    walker.feed(msFrame(msTypes.send, [to(ip)]));
    walker.next();
    new Judge({ ...deps, meter, session, observer, framing: 'ms' }, 'toUpstream').control(walker);
  }
  expect(Object.fromEntries(sums)).toEqual({ 'policy_decisions_total turn,allow': 1, 'policy_decisions_total turn,deny': 2 });
  expect(session.details.turn?.denied).toEqual({ messages: 2, rule: expect.any(String) });
});
