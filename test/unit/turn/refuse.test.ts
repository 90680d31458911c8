// Refusals on real sockets: the pseudo hello answered, the first request refused in its dialect and framing, and the bounds of it.

import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameSocket } from '../../../demo/turn-frames.ts';
import type { Refusal } from '../../../src/core/flow.ts';
import { decodeMessage, encodeMessage, errorOf } from '../../../src/turn/codec.ts';
import { makeHello, msClientHello, msServerHello, ssltcpClientHello, ssltcpServerHello } from '../../../src/turn/hello.ts';
import { msTurn, ssltcp, turn } from '../../../src/turn/index.ts';
import { rfcAttributes, rfcMethods } from '../../../src/turn/names.ts';
import { startGateway } from './gateway.ts';
import { turnDeps } from './support.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const refusal: Refusal = { code: 'PROTOCOL_DENIED', detail: null, rule: 'protocol/no-turn', status: null };

describe('refusals', () => {
  const refused = async (protocol: typeof msTurn, hello: boolean, why: Refusal = refusal): Promise<FrameSocket> => {
    const through = await startGateway(protocol, 'ms-turn', turnDeps({ limits: { turnRefusalMs: 500 } }), 1, why);
    cleanups.push(() => through.close());
    const socket = connect(through.port, '127.0.0.1');
    cleanups.push(async () => void socket.destroy());
    const frames = new FrameSocket(socket);
    if (hello) frames.send(protocol === ssltcp ? makeHello(ssltcpClientHello) : makeHello(msClientHello));
    return frames;
  };
  const allocate = encodeMessage({ dialect: 'ms', type: 0x0003, attributes: [] });
  const head = (length: number): Buffer => Buffer.from([2, 0, length >> 8, length & 0xff]);

  it.each([true, false])('MS-TURN, pseudo-TLS %s: the hello is answered, then the Allocate with 0113 and 403', async (hello) => {
    const frames = await refused(msTurn, hello);
    if (hello) expect((await frames.take(msServerHello.fixed.length))?.length).toBe(83);
    frames.send(Buffer.concat([head(allocate.length), allocate]));
    const frame = await frames.frame();
    expect(frame?.type).toBe(2);
    const message = decodeMessage(frame?.body ?? Buffer.alloc(0), 'ms');
    expect(message?.name).toBe('allocate-error');
    expect(message?.transaction.equals(allocate.subarray(4, 20))).toBe(true);
    expect(message === null ? null : errorOf(message)).toEqual({ code: 403, reason: 'Forbidden by policy' });
    expect(await frames.frame()).toBeNull();
  });

  it('a client that never asks is closed after turnRefusalMs', async () => {
    const frames = await refused(msTurn, true);
    expect((await frames.take(83))?.length).toBe(83);
    expect(await frames.frame()).toBeNull();
  });

  it('ssltcp: the 79 bytes, then a STUN error behind two bytes of length', async () => {
    const frames = await refused(ssltcp, true);
    expect((await frames.take(79))?.equals(ssltcpServerHello.fixed)).toBe(true);
    const binding = encodeMessage({ dialect: 'rfc', type: rfcMethods.binding, attributes: [] });
    frames.send(Buffer.concat([Buffer.from([0, binding.length]), binding]));
    const length = (await frames.take(2))?.readUInt16BE(0) ?? 0;
    const message = decodeMessage((await frames.take(length)) ?? Buffer.alloc(0), 'rfc');
    expect(message?.name).toBe('binding-error');
  });

  it('standard TURN: the error response of the request, padded', async () => {
    const frames = await refused(turn, false);
    const request = encodeMessage({ dialect: 'rfc', type: rfcMethods.allocate, attributes: [{ type: rfcAttributes['requested-transport'], value: Buffer.from([17, 0, 0, 0]) }] });
    frames.send(request);
    const start = await frames.take(20);
    const rest = await frames.take(start?.readUInt16BE(2) ?? 0);
    const message = decodeMessage(Buffer.concat([start ?? Buffer.alloc(0), rest ?? Buffer.alloc(0)]), 'rfc');
    expect(message?.name).toBe('allocate-error');
    expect(message === null ? null : errorOf(message)?.code).toBe(403);
  });

  it('what failed is a 500, and a rule\'s own status is kept', async () => {
    for (const [why, code] of [[{ ...refusal, code: 'DIAL_REFUSED', rule: null }, 500], [{ ...refusal, status: 486 }, 486]] as const) {
      const frames = await refused(msTurn, false, why);
      frames.send(Buffer.concat([head(allocate.length), allocate]));
      const message = decodeMessage((await frames.frame())?.body ?? Buffer.alloc(0), 'ms');
      expect(message === null ? null : errorOf(message)?.code).toBe(code);
    }
  });
});
