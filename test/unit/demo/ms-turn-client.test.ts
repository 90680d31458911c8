// The demo's MS-TURN client: a good run through a connection of its own making, and faults told, never thrown.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { runMsTurnClient } from '../../../demo/ms-turn-client.ts';
import { startMsTurnServer } from '../../../demo/ms-turn-server.ts';

const login = { host: '127.0.0.1', user: 'alice', password: 'secret' };

describe('the client', () => {
  it('runs an exchange over the connection it is given, in pieces too', async () => {
    const server = await startMsTurnServer({ host: '127.0.0.1', port: 0, users: { alice: 'secret' } });
    for (const splitBytes of [1, 1000]) {
      const report = await runMsTurnClient({
        ...login, port: 1, splitBytes, sends: 1, dataFrames: 1, payloadBytes: 40,
        connect: async () => {
          const socket = connect(server.port, '127.0.0.1');
          await once(socket, 'connect');
          return socket;
        },
      });
      expect(report).toMatchObject({ failure: null, indications: 1, dataFrames: 1, echoedBytes: 80, lifetimeSeconds: 600 });
      expect(report.reflexive).toMatch(/^127\.0\.0\.1:\d+$/);
    }
    expect(server.stats).toMatchObject({ connections: 2, allocations: 4, sends: 2, dataFrames: 2, tampered: 0 });
    await server.close();
  });

  it('runs exchanges of several sessions in turns on one connection', async () => {
    const server = await startMsTurnServer({ host: '127.0.0.1', port: 0, users: { alice: 'secret' } });
    for (const pseudoTls of [true, false]) {
      const report = await runMsTurnClient({ ...login, port: server.port, pseudoTls, sessions: 3, sends: 2, dataFrames: 4, payloadBytes: 10 });
      expect(report).toMatchObject({ failure: null, indications: 6, dataFrames: 12, echoedBytes: 180 });
    }
    // For each session: a challenge, an Allocate, two Sends, an active destination, four data frames, the end.
    expect(server.stats).toMatchObject({ connections: 2, pseudoTls: 1, sessions: 6, multiplexedFrames: 60, challenges: 6, allocations: 12, sends: 12, activeDestinations: 6, dataFrames: 24, tampered: 0 });
    await server.close();
  });

  it('tells faults: nobody there, no pseudo-TLS, silence', async () => {
    const silent = createServer((socket) => void socket.resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect((await runMsTurnClient({ ...login, port, timeoutMs: 100 })).failure).toBe('no pseudo-TLS answer');
    expect((await runMsTurnClient({ ...login, port, pseudoTls: false, timeoutMs: 100 })).failure).toBe('the connection closed');
    silent.close();
    await once(silent, 'close');
    expect((await runMsTurnClient({ ...login, port })).failure).toMatch(/^cannot connect/);
  });
});
