import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { shutDownAll } from '../../../src/handoff/serve.ts';
import { socksEntry } from '../../../src/listener/socks.ts';
import { issueServer } from '../../support/certs.ts';
import { readAll, readBytes } from '../../support/pair.ts';
import { openWorld, serverRoot, startGateway, tcpServer } from './support.ts';
import type { GatewayOptions, TestGateway, TestServer, World } from './support.ts';

let world: World;
const toClose: { close(): Promise<void> }[] = [];
const clients: Socket[] = [];
beforeAll(async () => {
  world = await openWorld();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const each of toClose.splice(0)) await each.close();
});
afterAll(() => world.certificates.close());

async function echo(): Promise<TestServer> {
  const server = await tcpServer((socket) => {
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });
  toClose.push(server);
  return server;
}

async function gateway(options: GatewayOptions): Promise<TestGateway> {
  const made = await startGateway(world, options);
  toClose.push(made);
  return made;
}

function tcp(port: number): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  clients.push(socket);
  return socket;
}

const to = (server: TestServer): { ip: string; port: number; host: null } => ({ ip: '127.0.0.1', port: server.port, host: null });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('a session\'s row: visible while it lives, its bytes as read off the sockets, closed in the end', async () => {
  const server = await echo();
  const at = await gateway({ destination: to(server), policy: 'connection: [ { then: tunnel } ]' });
  const client = tcp(at.port);
  client.write('12345');
  await readBytes(client, 5);
  const [live] = at.sessions;
  expect(live).toMatchObject({ state: 'active', service: 'test', client: { ip: '127.0.0.1', port: client.localPort }, destination: to(server), endedAt: null });
  expect(at.table.active).toBe(1);
  client.end();
  const session = await at.ended();
  expect(session).toMatchObject({ state: 'closed', error: null, bytes: { fromClient: 5, toUpstream: 5, fromUpstream: 5, toClient: 5 } });
  expect(session.endedAt).toBeGreaterThanOrEqual(session.startedAt);
  await at.quiet();
});

describe('admission', () => {
  test('a client at its limit is reset, the session says so; a place comes free when a flow ends', async () => {
    const server = await echo();
    const at = await gateway({ destination: to(server), policy: 'connection: [ { then: tunnel } ]', limits: { sessionsPerClientMax: 2 } });
    const held = [tcp(at.port), tcp(at.port)];
    for (const client of held) {
      client.write('x');
      await readBytes(client, 1);
    }
    const refused = tcp(at.port);
    const [error] = await once(refused, 'error') as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(await at.ended(3)).toMatchObject({ error: 'CLIENT_SESSIONS_FULL', state: 'errored' });
    expect(at.counts.get('limits_hit_total sessionsPerClientMax')).toBe(1);
    held[0]?.end();
    await at.ended(1);
    const next = tcp(at.port);
    next.write('y');
    expect((await readBytes(next, 1)).toString()).toBe('y');
    for (const client of [...held, next]) client.end();
    await at.quiet();
  });

  test('all places taken: SESSIONS_FULL', async () => {
    const server = await echo();
    const at = await gateway({ destination: to(server), policy: 'connection: [ { then: tunnel } ]', limits: { sessionsMax: 1 } });
    const held = tcp(at.port);
    held.write('x');
    await readBytes(held, 1);
    await readAll(tcp(at.port));
    expect(await at.ended(2)).toMatchObject({ error: 'SESSIONS_FULL' });
    held.end();
    await at.quiet();
  });
});

test('a redirected service whose destination the kernel does not know: NO_ORIGINAL_DST', async () => {
  const at = await gateway({ destination: 'redirect' });
  await readAll(tcp(at.port));
  expect(await at.ended()).toMatchObject({ error: 'NO_ORIGINAL_DST', destination: { ip: null, port: 0, host: null } });
  await at.quiet();
});

describe('kill and shutdown', () => {
  /** Where in its life a flow is when it is killed. */
  const moments: [string, (server: TestServer) => Partial<GatewayOptions>, (client: Socket) => Promise<void>][] = [
    ['while detection waits', () => ({ limits: { detectRaceMs: 5_000, detectSilenceMs: 5_000 } }), () => pause(50)],
    ['while detection listens to both', () => ({ limits: { detectSilenceMs: 5_000 } }), () => pause(150)],
    ['in a relay', () => ({ policy: 'connection: [ { then: tunnel } ]' }), async (client) => {
      client.write('x');
      await readBytes(client, 1);
    }],
    ['while the server shakes hands', () => ({ tunnelOnError: 'true' }), async (client) => {
      connectTls({ socket: client, servername: 'site.test' }).on('error', () => {});
      await pause(80);
    }],
    ['while the leaf is made', () => ({ certFor: () => pause(150).then(() => Promise.reject(new FlowError('MINT_FAILED'))), tunnelOnError: 'true' }), async (client) => {
      connectTls({ socket: client, servername: 'site.test' }).on('error', () => {});
      await pause(60);
    }],
  ];

  test.each(moments)('%s: ended at once, with the code, nothing left open', async (name, options, reach) => {
    const cert = issueServer(serverRoot, { names: ['site.test'] });
    const server = name === 'while the leaf is made'
      ? await tcpServer(() => {}, (accept) => createTlsServer({ cert: cert.chainPem, key: cert.keyPem }, accept).on('tlsClientError', () => {}))
      : name === 'while the server shakes hands' ? await tcpServer((socket) => void socket.resume().on('end', () => socket.end())) : await echo();
    toClose.push(server);
    for (const [code, end] of [['KILLED_BY_OPERATOR', (at: TestGateway) => at.table.kill(at.sessions.at(-1)?.id ?? '')], ['SHUTDOWN', () => shutDownAll()]] as const) {
      const at = await gateway({ destination: to(server), ...options(server) });
      const client = tcp(at.port);
      await reach(client);
      end(at);
      expect(await at.ended()).toMatchObject({ error: code, state: 'errored', tunnelledOnError: null });
      await at.quiet();
      expect(at.defects).toEqual([]);
    }
    for (let waits = 0; server.sockets.size > 0 && waits < 100; waits += 1) await pause(10);
    expect(server.sockets.size).toBe(0);
  });
});

describe('last words', () => {
  test('of an entry reach a client that has more to say', async () => {
    const at = await gateway({ destination: socksEntry(null) });
    const client = tcp(at.port);
    const gone = await echo();
    await gone.close();
    client.write(Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, gone.port >> 8, gone.port & 0xff]), Buffer.alloc(200_000, 7)]));
    expect((await readAll(client)).toString('hex')).toBe('050005050001000000000000');
    expect(await at.ended()).toMatchObject({ error: 'DIAL_REFUSED', chain: ['socks'] });
    client.end();
    await at.quiet();
  });

  test('are not waited for longer than lingerMs', async () => {
    const at = await gateway({ destination: socksEntry(null), limits: { lingerMs: 200 } });
    const client = tcp(at.port);
    client.write(Buffer.from([5, 1, 9]));
    expect((await readBytes(client, 2)).toString('hex')).toBe('05ff');
    expect(await at.ended()).toMatchObject({ error: 'AUTH_REQUIRED' });
    await at.quiet(1_000);
  });
});

test('an unexpected exception is a defect: counted, logged with its cause, and the sockets are closed all the same', async () => {
  const server = await echo();
  const cert = issueServer(serverRoot, { names: ['site.test'] });
  const tls = await tcpServer(() => {}, (accept) => createTlsServer({ cert: cert.chainPem, key: cert.keyPem }, accept).on('tlsClientError', () => {}));
  toClose.push(tls);
  const at = await gateway({ destination: to(tls), certFor: () => Promise.reject(new TypeError('a bug')), tunnelOnError: 'true' });
  const client = connectTls({ port: at.port, host: '127.0.0.1', servername: 'site.test' });
  client.on('error', () => {});
  await readAll(client);
  expect(await at.ended()).toMatchObject({ error: 'INTERNAL', tunnelledOnError: null });
  expect(at.counts.get('internal_errors_total ')).toBe(1);
  expect(at.defects).toHaveLength(1);
  expect(at.defects[0]).toContain('a bug');
  await at.quiet();
  expect(server.accepted).toBe(0);
});
