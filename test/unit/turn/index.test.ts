// The TURN handlers on real sockets: the demo's client and server through the relay, identical bytes on both sides, the pseudo hello
// in one write, denials in TURN's words.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runMsTurnClient } from '../../../demo/ms-turn-client.ts';
import { startMsTurnServer } from '../../../demo/ms-turn-server.ts';
import type { MsTurnServer } from '../../../demo/ms-turn-server.ts';
import type { TurnFacts } from '../../../src/core/verdicts.ts';
import { makeHello, msClientHello } from '../../../src/turn/hello.ts';
import { msTurn } from '../../../src/turn/index.ts';
import { startGateway } from './gateway.ts';
import type { TestGateway } from './gateway.ts';
import { Tally, captureLogin, turnDeps } from './support.ts';
import type { TestDepsOptions } from './support.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function server(options: { splitHello?: number } = {}): Promise<MsTurnServer> {
  const started = await startMsTurnServer({ host: '127.0.0.1', port: 0, users: { [captureLogin.user]: captureLogin.password }, ...options });
  cleanups.push(() => started.close());
  return started;
}

async function gateway(origin: MsTurnServer, options: TestDepsOptions = {}): Promise<TestGateway> {
  const started = await startGateway(msTurn, 'ms-turn', turnDeps(options), origin.port);
  cleanups.push(() => started.close());
  return started;
}

describe('MS-TURN through the relay', () => {
  it.each([
    { pseudoTls: true, splitBytes: undefined },
    { pseudoTls: true, splitBytes: 7 },
    { pseudoTls: false, splitBytes: undefined },
    { pseudoTls: false, splitBytes: 3 },
  ])('allocate, Send, data frames: identical bytes and right counts ($pseudoTls, pieces of $splitBytes)', async ({ pseudoTls, splitBytes }) => {
    const origin = await server();
    const meter = new Tally();
    const through = await gateway(origin, { meter });
    const report = await runMsTurnClient({
      host: '127.0.0.1', port: through.port, ...captureLogin, pseudoTls, sends: 3, dataFrames: 5, payloadBytes: 172, ...(splitBytes !== undefined && { splitBytes }),
    });
    expect(report.failure).toBeNull();
    expect(report.echoedBytes).toBe(8 * 172);
    await through.ended(1);
    expect(through.ends).toEqual(['done']);
    expect(origin.stats).toMatchObject({ sends: 3, dataFrames: 5, tampered: 0, activeDestinations: 1, pseudoTls: pseudoTls ? 1 : 0 });
    expect(origin.stats.hashes[0]).toEqual({ received: report.hashes.sent, sent: report.hashes.received });
    expect(through.sessions[0]?.details.turn).toEqual({
      allocations: [{
        relayed: report.relayed, reflexive: report.reflexive, realm: 'rtcmedia', user: captureLogin.user, lifetimeSeconds: 0, bandwidth: 500, result: 'freed', errorCode: null,
      }],
      peers: { '192.0.2.7:50007': { toPeer: 8 * 172, fromPeer: 8 * 172 } },
      messages: {
        allocate: 3, 'allocate-error': 1, 'allocate-response': 2, send: 3, 'data-indication': 3,
        'set-active-destination': 1, 'set-active-destination-response': 1, 'data-frame': 10,
      },
      dataFrames: { toUpstream: 5, toClient: 5 }, dataBytes: { toUpstream: 8 * 172, toClient: 8 * 172 }, errors: { 401: 1 },
      dataRates: { toUpstream: { frames: 0, bytes: 0, framesMax: 5, bytesMax: 8 * 172 }, toClient: { frames: 0, bytes: 0, framesMax: 5, bytesMax: 8 * 172 } },
      version: 1, activeDestination: '192.0.2.7:50007', rtpSeen: true, opaque: null,
    });
    expect(meter.values.get('turn_allocations ms-turn')).toBe(0);
    expect(meter.values.get('turn_messages_total ms-turn send')).toBe(3);
    expect(meter.values.get('turn_relayed_bytes_total ms-turn toUpstream')).toBe(8 * 172);
  });

  it('joins a pseudo hello that the server sent in two parts', async () => {
    const origin = await server({ splitHello: 40 });
    const first = async (port: number): Promise<number> => {
      const socket = connect(port, '127.0.0.1');
      socket.write(makeHello(msClientHello));
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return chunk.length;
    };
    expect(await first(origin.port)).toBe(40);
    expect(await first((await gateway(origin)).port)).toBe(83);
  });

  it('relays what is not MS-TURN after all: a TLS alert in answer to the hello', async () => {
    const alert = Buffer.from('15030100020246', 'hex');
    const strange = createServer((socket) => socket.end(alert));
    strange.listen(0, '127.0.0.1');
    await once(strange, 'listening');
    const address = strange.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const through = await startGateway(msTurn, 'ms-turn', turnDeps(), port);
    cleanups.push(() => through.close(), async () => void strange.close());
    const socket = connect(through.port, '127.0.0.1');
    socket.write(makeHello(msClientHello));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.equals(alert)).toBe(true);
    socket.destroy();
    expect(through.sessions[0]?.details.turn?.opaque).toBe('the server did not answer in pseudo-TLS');
  });
});

describe('the turn stage', () => {
  it('refuses an Allocate with 403 in MS-TURN\'s words; the connection lives on', async () => {
    const origin = await server();
    const through = await gateway(origin, { denies: ({ message }: TurnFacts) => message === 'allocate' });
    const report = await runMsTurnClient({ host: '127.0.0.1', port: through.port, ...captureLogin });
    expect(report).toMatchObject({ failure: 'Allocate refused: 403 Forbidden by policy', errorCode: 403 });
    await through.ended(1);
    expect(origin.stats).toMatchObject({ pseudoTls: 1, challenges: 0, allocations: 0 });
    expect(through.sessions[0]?.details.turn?.allocations).toMatchObject([{ result: 'failed', errorCode: 403 }]);
  });

  it('refuses a peer: Set Active Destination gets 0116, a Send silence', async () => {
    const origin = await server();
    const denies = ({ peer }: TurnFacts): boolean => peer === '192.0.2.7';
    const through = await gateway(origin, { denies });
    const refused = await runMsTurnClient({ host: '127.0.0.1', port: through.port, ...captureLogin, sends: 0, dataFrames: 1 });
    expect(refused).toMatchObject({ failure: 'Set Active Destination refused: 403 Forbidden by policy', errorCode: 403 });
    expect(refused.relayed).not.toBeNull();
    const silent = await runMsTurnClient({ host: '127.0.0.1', port: through.port, ...captureLogin, sends: 1, timeoutMs: 300 });
    expect(silent.failure).toBe('the connection closed');
    expect(origin.stats.sends).toBe(0);
    const other = await runMsTurnClient({ host: '127.0.0.1', port: through.port, ...captureLogin, peer: { ip: '192.0.2.8', port: 9 }, splitBytes: 11 });
    expect(other.failure).toBeNull();
  });
});
