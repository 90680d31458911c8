// The demo's MS-TURN server: what it refuses, and that its numbers tell the truth.

import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runMsTurnClient } from '../../../demo/ms-turn-client.ts';
import { startMsTurnServer } from '../../../demo/ms-turn-server.ts';
import type { MsTurnServer } from '../../../demo/ms-turn-server.ts';
import { FrameSocket, controlFrame, frameBytes } from '../../../demo/turn-frames.ts';
import { attributeOf, decodeMessage, encodeMessage, errorOf, longTermKey, uint32 } from '../../../src/turn/codec.ts';
import { msAttributes, msTypes } from '../../../src/turn/names.ts';

const open: MsTurnServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
async function start(): Promise<MsTurnServer> {
  const server = await startMsTurnServer({ host: '127.0.0.1', port: 0, users: { alice: 'secret' }, realm: 'lab' });
  open.push(server);
  return server;
}

describe('the server', () => {
  it.each([['alice', 'wrong', 431], ['mallory', 'secret', 430]])('refuses %s with password %s: %i', async (user, password, code) => {
    const server = await start();
    const report = await runMsTurnClient({ host: '127.0.0.1', port: server.port, user, password });
    expect(report).toMatchObject({ errorCode: code, relayed: null });
    expect(server.stats).toMatchObject({ challenges: 1, refused: 1, allocations: 0 });
  });

  it('notices a Send that was changed on the way', async () => {
    const server = await start();
    const socket = connect(server.port, '127.0.0.1');
    const frames = new FrameSocket(socket);
    const ask = async (message: Buffer): Promise<ReturnType<typeof decodeMessage>> => {
      frames.send(frameBytes(controlFrame, message));
      return decodeMessage((await frames.frame())?.body ?? Buffer.alloc(0), 'ms');
    };
    const challenge = await ask(encodeMessage({ dialect: 'ms', type: msTypes.allocate, attributes: [] }));
    const nonce = challenge === null ? null : attributeOf(challenge, msAttributes.nonce);
    expect(challenge === null ? null : errorOf(challenge)?.code).toBe(401);
    const login = [{ type: msAttributes.username, value: Buffer.from('alice') }, { type: msAttributes.nonce, value: nonce ?? Buffer.alloc(0) }];
    const key = longTermKey('alice', 'lab', 'secret');
    expect((await ask(encodeMessage({ dialect: 'ms', type: msTypes.allocate, attributes: login, key })))?.name).toBe('allocate-response');
    const send = encodeMessage({ dialect: 'ms', type: msTypes.send, attributes: [...login, { type: msAttributes.data, value: uint32(7) }], key });
    send[33] = (send[33] ?? 0) ^ 1;
    frames.send(frameBytes(controlFrame, send));
    const stale = await ask(encodeMessage({ dialect: 'ms', type: msTypes.allocate, attributes: [login[0] ?? { type: 0, value: Buffer.alloc(0) }, { type: msAttributes.nonce, value: Buffer.from('old') }], key }));
    expect(stale === null ? null : errorOf(stale)?.code).toBe(438);
    expect(server.stats).toMatchObject({ sends: 0, tampered: 1 });
    socket.destroy();
  });

  it('ends a connection that speaks something else', async () => {
    const server = await start();
    const frames = new FrameSocket(connect(server.port, '127.0.0.1'));
    frames.send(Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${' '.repeat(60)}`));
    expect(await frames.frame()).toBeNull();
  });
});
