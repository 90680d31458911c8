import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { Dialer } from '../../../src/handoff/dial.ts';
import { judgeSuspect } from '../../../src/handoff/suspect.ts';
import { makeHello, msServerHello } from '../../../src/turn/hello.ts';
import { issueServer } from '../../support/certs.ts';
import { readBytes } from '../../support/pair.ts';
import { serverRoot, tcpServer } from './support.ts';
import type { TestServer } from './support.ts';

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** A hello of the old kind with another list of suites than MS-TURN's template. */
const nearMiss = Buffer.concat([Buffer.from('160301002f0100002b0301', 'hex'), Buffer.alloc(32, 7), Buffer.from('000004000400050100', 'hex')]);

async function judged(server: TestServer): Promise<{ verdict: 'ms-turn' | 'tls'; session: Session; tookMs: number }> {
  servers.push(server);
  const session: Session = {
    id: '1', service: 's', client: { ip: '127.0.0.1', port: 1 }, destination: { ip: '127.0.0.1', port: server.port, host: null }, startedAt: 0, endedAt: null,
    state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'pending', chain: [], action: null, tunnelledOnError: null, rule: null,
    error: null, errorDetail: null, note: null, bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 },
    tls: { client: null, upstream: null, leaf: null }, details: {},
  };
  const limits = limitsWith({ pseudoHelloMs: 200 });
  const dialer = new Dialer({ limits, ownPorts: new Set(), allowLocal: true, transparentServices: new Set(), clock: Date.now });
  const startedAt = performance.now();
  const verdict = await judgeSuspect(nearMiss, session, { limits, dialEarly: (each) => dialer.early(each), dropEarly: (each) => dialer.drop(each) });
  const tookMs = performance.now() - startedAt;
  for (let waits = 0; server.sockets.size > 0 && waits < 100; waits += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(server.sockets.size).toBe(0);
  return { verdict, session, tookMs };
}

const answering = (answer: (socket: Socket) => void): Promise<TestServer> => tcpServer((socket) => {
  socket.once('data', () => answer(socket));
  socket.on('end', () => socket.end());
});

test('a pseudo server gets the hello as it was and is told by its answer, in one piece or several', async () => {
  let heard: Buffer = Buffer.alloc(0);
  const hello = makeHello(msServerHello);
  const whole = await tcpServer((socket) => {
    void readBytes(socket, nearMiss.length).then((bytes) => {
      heard = bytes;
      socket.write(hello);
      socket.resume().on('end', () => socket.end());
    });
  });
  expect((await judged(whole)).verdict).toBe('ms-turn');
  expect(heard).toEqual(nearMiss);
  const pieces = await answering((socket) => {
    socket.setNoDelay(true);
    for (let at = 0; at < hello.length; at += 7) setTimeout(() => socket.write(hello.subarray(at, at + 7)), at);
  });
  expect((await judged(pieces)).verdict).toBe('ms-turn');
});

test('a real TLS server that refuses such an old hello is TLS', async () => {
  const cert = issueServer(serverRoot, { names: ['site.test'], key: 'rsa' });
  const server = await tcpServer(() => {}, (accept) => createTlsServer({ cert: cert.chainPem, key: cert.keyPem }, accept).on('tlsClientError', () => {}));
  expect((await judged(server)).verdict).toBe('tls');
});

test('a server of those days, which sends its certificate after its hello, is TLS', async () => {
  const server = await answering((socket) => {
    const hello = Buffer.concat([Buffer.from('02000046', 'hex'), Buffer.from([3, 1]), Buffer.alloc(32, 9), Buffer.from([32]), Buffer.alloc(32, 8), Buffer.from('000400', 'hex')]);
    const certificate = Buffer.concat([Buffer.from('0b000103000100', 'hex'), Buffer.alloc(0x100)]);
    const body = Buffer.concat([hello, certificate]);
    socket.write(Buffer.concat([Buffer.from([0x16, 3, 1, body.length >> 8, body.length & 0xff]), body]));
  });
  expect((await judged(server)).verdict).toBe('tls');
});

test.each([
  ['silence', (): void => {}, 180, 1_000],
  ['a close', (socket: Socket): void => void socket.end(), 0, 150],
  ['a reset', (socket: Socket): void => void socket.resetAndDestroy(), 0, 150],
] as const)('%s is TLS', async (_name, answer, atLeastMs, atMostMs) => {
  const { verdict, tookMs } = await judged(await answering(answer));
  expect(verdict).toBe('tls');
  expect(tookMs).toBeGreaterThanOrEqual(atLeastMs);
  expect(tookMs).toBeLessThan(atMostMs);
});

test('what the dial rejects with is passed on', async () => {
  const gone = await tcpServer(() => {});
  await gone.close();
  await expect(judged(gone)).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
  servers.splice(0);
});
