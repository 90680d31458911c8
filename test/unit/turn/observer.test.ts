// What an operator sees of a TURN connection: allocations through all their fates, the gauge, bounds.

import { describe, expect, it } from 'vitest';
import type { LimitName } from '../../../src/core/limits.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { addressValue, encodeMessage, errorValue, newTransaction, uint32, xorAddressValue } from '../../../src/turn/codec.ts';
import type { TurnAttribute } from '../../../src/turn/codec.ts';
import { sessionNumber } from '../../../src/turn/multiplex.ts';
import { msAttributes, msTypes, rfcAttributes, rfcMethods } from '../../../src/turn/names.ts';
import type { Dialect } from '../../../src/turn/names.ts';
import { TurnObserver } from '../../../src/turn/observer.ts';
import { Tally, turnSession } from './support.ts';

class Bench {
  now = 1_000_000;
  readonly meter = new Tally();
  readonly session = turnSession();
  readonly observer: TurnObserver;
  readonly #dialect: Dialect;

  constructor(dialect: Dialect, limits: Partial<Record<LimitName, number>> = {}) {
    this.#dialect = dialect;
    this.observer = new TurnObserver(this.session, limitsWith(limits), this.meter, () => this.now);
  }

  /** A message each way; answers its transaction. */
  say(toward: 'toUpstream' | 'toClient', type: number, attributes: readonly TurnAttribute[] = [], transaction = newTransaction(this.#dialect), session = 0): Buffer {
    const bytes = encodeMessage({ dialect: this.#dialect, type, attributes, transaction });
    this.observer.control(bytes, 0, bytes.length, this.#dialect, toward, session);
    return transaction;
  }

  exchange(type: number, asked: readonly TurnAttribute[], answer: number, given: readonly TurnAttribute[], session = 0): void {
    this.say('toClient', answer, given, this.say('toUpstream', type, asked, newTransaction(this.#dialect), session), session);
  }

  get gauge(): number {
    return this.meter.values.get('turn_allocations ms-turn') ?? 0;
  }
}

const lifetime = (seconds: number): TurnAttribute => ({ type: msAttributes.lifetime, value: uint32(seconds) });
const error = (code: number): TurnAttribute => ({ type: msAttributes['error-code'], value: errorValue(code, 'reason') });
const { allocate } = msTypes;
const granted = msTypes['allocate-response'];
const refused = msTypes['allocate-error'];

describe('the fates of an allocation', () => {
  it('challenged, allocated, refreshed, freed; the gauge follows', () => {
    const bench = new Bench('ms');
    bench.exchange(allocate, [], refused, [error(401), { type: msAttributes.realm, value: Buffer.from('rtcmedia') }]);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'challenged', errorCode: 401, realm: 'rtcmedia' }]);
    bench.exchange(allocate, [{ type: msAttributes.username, value: Buffer.from('alice') }], granted, [
      lifetime(600), { type: msAttributes.bandwidth, value: uint32(750) }, { type: msAttributes['mapped-address'], value: addressValue({ ip: '192.0.2.9', port: 50_001 }) },
    ]);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'allocated', errorCode: null, user: 'alice', relayed: '192.0.2.9:50001', bandwidth: 750, lifetimeSeconds: 600 }]);
    expect(bench.gauge).toBe(1);
    bench.exchange(allocate, [lifetime(600)], granted, [lifetime(600)]);
    expect(bench.gauge).toBe(1);
    bench.exchange(allocate, [lifetime(0)], granted, []);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'freed' }]);
    expect(bench.gauge).toBe(0);
    bench.exchange(allocate, [], granted, []);
    expect(bench.observer.details.allocations).toHaveLength(2);
    bench.observer.end();
    expect(bench.gauge).toBe(0);
    expect(bench.observer.details.allocations[1]?.result).toBe('allocated');
  });

  it('failed by another error; stale nonce on a refresh does not end it', () => {
    const bench = new Bench('ms');
    bench.exchange(allocate, [], refused, [error(486)]);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'failed', errorCode: 486 }]);
    bench.exchange(allocate, [], granted, [lifetime(60)]);
    bench.exchange(allocate, [lifetime(60)], refused, [error(438)]);
    expect(bench.observer.details.allocations[1]).toMatchObject({ result: 'allocated', errorCode: 438 });
  });

  it('expires when its lifetime is over', () => {
    const bench = new Bench('ms');
    bench.exchange(allocate, [], granted, [lifetime(60)]);
    bench.now += 59_999;
    bench.observer.tick();
    expect(bench.gauge).toBe(1);
    bench.now += 1;
    bench.observer.tick();
    expect([bench.gauge, bench.observer.details.allocations[0]?.result]).toEqual([0, 'freed']);
  });

  it('RFC: XORed addresses, Refresh with lifetime 0, channels', () => {
    const bench = new Bench('rfc');
    const transaction = bench.say('toUpstream', rfcMethods.allocate, [{ type: rfcAttributes.username, value: Buffer.from('bob') }, { type: rfcAttributes.realm, value: Buffer.from('example.org') }]);
    bench.say('toClient', 0x0103, [
      { type: rfcAttributes['xor-relayed-address'], value: xorAddressValue({ ip: '192.0.2.15', port: 50_000 }, transaction) },
      { type: rfcAttributes['xor-mapped-address'], value: xorAddressValue({ ip: '2001:db8::7', port: 7_000 }, transaction) }, lifetime(1200),
    ], transaction);
    expect(bench.observer.details.allocations).toMatchObject([
      { result: 'allocated', relayed: '192.0.2.15:50000', reflexive: '[2001:db8::7]:7000', user: 'bob', realm: 'example.org', lifetimeSeconds: 1200 },
    ]);
    const bind = newTransaction('rfc');
    bench.say('toUpstream', rfcMethods['channel-bind'], [
      { type: rfcAttributes['channel-number'], value: Buffer.from([0x40, 0x01, 0, 0]) }, { type: rfcAttributes['xor-peer-address'], value: xorAddressValue({ ip: '192.0.2.210', port: 49_191 }, bind) },
    ], bind);
    bench.say('toClient', 0x0109, [], bind);
    bench.observer.data(2, 344, true, 0x4001, 'toUpstream');
    expect(bench.observer.details).toMatchObject({ peers: { '192.0.2.210:49191': { toPeer: 344, fromPeer: 0 } }, messages: { 'channel-data': 2 }, rtpSeen: true });
    bench.exchange(rfcMethods.refresh, [lifetime(0)], 0x0104, [lifetime(0)]);
    expect([bench.gauge, bench.observer.details.allocations[0]?.result]).toEqual([0, 'freed']);
  });
});

describe('sessions of a multiplexed connection', () => {
  const [one, other] = [sessionNumber(Buffer.alloc(8, 1), 0), sessionNumber(Buffer.alloc(8, 2), 0)];
  const peer = (ip: string): TurnAttribute => ({ type: msAttributes['destination-address'], value: addressValue({ ip, port: 9 }) });

  it('each has an allocation and an active destination of its own', () => {
    const bench = new Bench('ms');
    for (const session of [one, other]) {
      bench.exchange(allocate, [], refused, [error(401)], session);
      bench.exchange(allocate, [], granted, [lifetime(600)], session);
    }
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'allocated' }, { result: 'allocated' }]);
    expect(bench.gauge).toBe(2);
    bench.exchange(msTypes['set-active-destination'], [peer('192.0.2.1')], msTypes['set-active-destination-response'], [], one);
    bench.exchange(msTypes['set-active-destination'], [peer('192.0.2.2')], msTypes['set-active-destination-response'], [], other);
    bench.observer.data(1, 100, false, one, 'toUpstream');
    bench.observer.data(2, 7, true, other, 'toClient');
    bench.observer.data(1, 9, true, 0, 'toClient');
    expect(bench.observer.details).toMatchObject({
      peers: { '192.0.2.1:9': { toPeer: 100, fromPeer: 0 }, '192.0.2.2:9': { toPeer: 0, fromPeer: 7 } }, messages: { 'data-frame': 4 }, dataBytes: { toUpstream: 100, toClient: 16 },
    });
    bench.exchange(allocate, [lifetime(0)], granted, [], one);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'freed' }, { result: 'allocated' }]);
    expect(bench.gauge).toBe(1);
  });

  it('a refusal of ours is of its session', () => {
    const bench = new Bench('ms');
    bench.exchange(allocate, [], granted, [lifetime(600)], one);
    bench.observer.refused(encodeMessage({ dialect: 'ms', type: allocate, attributes: [] }), 'ms', 403, other);
    expect(bench.observer.details.allocations).toMatchObject([{ result: 'allocated', errorCode: null }, { result: 'failed', errorCode: 403 }]);
  });
});

describe('what is shown', () => {
  it('error codes of all messages', () => {
    const bench = new Bench('ms');
    bench.exchange(allocate, [], refused, [error(401)]);
    bench.exchange(allocate, [], refused, [error(438)]);
    bench.exchange(allocate, [], refused, [error(401)]);
    bench.exchange(msTypes['set-active-destination'], [], msTypes['set-active-destination-error'], [error(400)]);
    bench.exchange(msTypes['set-active-destination'], [], msTypes['set-active-destination-error'], []);
    expect(bench.observer.details.errors).toEqual({ 400: 1, 401: 2, 438: 1 });
  });

  it('users: text where printable and short, else the SHA-256 of their bytes', () => {
    const shown = (user: Buffer): string | null | undefined => {
      const bench = new Bench('ms');
      bench.say('toUpstream', allocate, [{ type: msAttributes.username, value: user }]);
      return bench.observer.details.allocations[0]?.user;
    };
    expect(shown(Buffer.from('マトリックス'))).toBe('マトリックス');
    for (const user of [Buffer.from([0xff, 0xfe, 1]), Buffer.from('a\nb'), Buffer.alloc(300, 0x61)]) expect(shown(user)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('active destination only once granted; unasked and foreign answers change nothing', () => {
    const bench = new Bench('ms');
    const peer = { type: msAttributes['destination-address'], value: addressValue({ ip: '192.0.2.7', port: 5 }) };
    bench.say('toClient', msTypes['set-active-destination-response'], [peer]);
    bench.say('toClient', granted, [lifetime(600)]);
    expect(bench.observer.details).toMatchObject({ activeDestination: null, allocations: [] });
    bench.exchange(msTypes['set-active-destination'], [peer], msTypes['set-active-destination-error'], [error(400)]);
    expect(bench.observer.details.activeDestination).toBeNull();
    bench.exchange(msTypes['set-active-destination'], [peer], msTypes['set-active-destination-response'], []);
    expect(bench.observer.details.activeDestination).toBe('192.0.2.7:5');
  });

  it('a ConnectionBind response ends the framing (RFC 6062)', () => {
    const bench = new Bench('rfc');
    const bytes = encodeMessage({ dialect: 'rfc', type: 0x010b, attributes: [] });
    expect(bench.observer.control(bytes, 0, bytes.length, 'rfc', 'toClient')).toBe(true);
  });

  it('counts reach the meters once', () => {
    const bench = new Bench('ms');
    bench.say('toUpstream', allocate);
    bench.say('toUpstream', 0x0777);
    bench.observer.data(3, 30, false, 0, 'toClient');
    bench.observer.tick();
    bench.observer.tick();
    bench.observer.end();
    const { values } = bench.meter;
    expect([values.get('turn_messages_total ms-turn allocate'), values.get('turn_messages_total ms-turn other'), values.get('turn_messages_total ms-turn data-frame'), values.get('turn_relayed_bytes_total ms-turn toClient')]).toEqual([1, 1, 3, 30]);
  });
});

describe('bounds', () => {
  it('allocations and pending requests', () => {
    const bench = new Bench('ms', { turnAllocationsMax: 2, turnPendingMax: 3 });
    for (let index = 0; index < 5; index += 1) bench.exchange(allocate, [], refused, [error(500)]);
    expect(bench.observer.details.allocations).toHaveLength(2);
    expect(bench.meter.values.get('limits_hit_total turnAllocationsMax')).toBe(3);
    const waiting = new Bench('ms', { turnPendingMax: 3 });
    const first = waiting.say('toUpstream', allocate);
    for (let index = 0; index < 3; index += 1) waiting.say('toUpstream', allocate);
    waiting.say('toClient', granted, [], first);
    expect(waiting.observer.details.allocations).toMatchObject([{ result: 'pending' }]);
    expect(waiting.meter.values.get('limits_hit_total turnPendingMax')).toBe(1);
  });
});
