import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Server, Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { Dialer } from '../../../src/handoff/dial.ts';
import type { DialOptions } from '../../../src/handoff/dial.ts';
import { portOf, readAll, readBytes } from '../../support/pair.ts';

const servers: Server[] = [];
const accepted: Socket[] = [];
afterEach(() => {
  for (const socket of accepted.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function server(serve: (socket: Socket) => void = () => {}, host = '127.0.0.1'): Promise<number> {
  const made = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  servers.push(made);
  await new Promise<void>((resolve) => made.listen(0, host, resolve));
  return portOf(made);
}

let now = 1_000_000;
function dialer(options: Partial<DialOptions> = {}): Dialer {
  return new Dialer({ limits: limitsWith({ dialMs: 1_000 }), ownPorts: new Set(), allowLocal: true, transparentServices: new Set(['transparent']), clock: () => now, ...options });
}

function session(ip: string | null, port: number, host: string | null = null, service = 'explicit'): Session {
  return {
    id: '1', service, client: { ip: '127.0.0.1', port: 1 }, destination: { ip, port, host }, startedAt: 0, endedAt: null, state: 'active', sni: null, alpn: [],
    ja3: null, ja4: null, user: null, protocol: 'pending', chain: [], action: null, tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('an address, and a name whose address is noted', async () => {
  const port = await server();
  const direct = await dialer().dial({ session: session('127.0.0.1', port) });
  expect(direct.remotePort).toBe(port);
  const named = session(null, port, 'localhost');
  const socket = await dialer().dial({ session: named });
  expect(named.destination.ip).toBe(socket.remoteAddress);
  direct.destroy();
  socket.destroy();
});

test('codes: refused, no such name, no destination', async () => {
  const port = await server();
  servers.splice(0).forEach((each) => each.close());
  await expect(dialer().dial({ session: session('127.0.0.1', port) })).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
  await expect(dialer().dial({ session: session(null, 443, 'name..broken') })).rejects.toMatchObject({ code: 'DNS_FAILED' });
  await expect(dialer().dial({ session: session(null, 443) })).rejects.toMatchObject({ code: 'NO_ORIGINAL_DST' });
});

const ownAddresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []).map(({ address }) => address);

describe('loops', () => {
  test.each([
    '127.0.0.1', '127.8.7.6', '0.0.0.0', '::1', '::', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:ffff:7f00:0001', '::1%lo', ...ownAddresses,
  ])('own port on %s: DIAL_LOOP, whoever asks', async (ip) => {
    const guarded = dialer({ ownPorts: new Set([8443]) });
    await expect(guarded.dial({ session: session(ip, 8443) })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
    await expect(guarded.dial({ session: session(ip, 8443, null, 'transparent') })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
  });

  test.each(['localhost', '127.1', '0x7f000001', '2130706433'])('a name that resolves to an own address (%s) too', async (host) => {
    const guarded = dialer({ ownPorts: new Set([8443]) });
    await expect(guarded.dial({ session: session(null, 8443, host) })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
  });

  test('other ports of local addresses: transparent services always, explicit ones with allowLocal', async () => {
    const port = await server();
    await expect(dialer({ allowLocal: false }).dial({ session: session('127.0.0.1', port) })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
    await expect(dialer({ allowLocal: false }).dial({ session: session(null, port, 'localhost') })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
    (await dialer({ allowLocal: false }).dial({ session: session('127.0.0.1', port, null, 'transparent') })).destroy();
    (await dialer({ allowLocal: true }).dial({ session: session('127.0.0.1', port) })).destroy();
  });
});

describe('names', () => {
  test('are asked for once within dnsCacheMs, side by side as well; a failure is not remembered', async () => {
    const port = await server();
    const cached = dialer({ limits: limitsWith({ dnsCacheMs: 1_000, dnsMs: 2_000 }) });
    const sockets = await Promise.all(Array.from({ length: 5 }, () => cached.dial({ session: session(null, port, 'localhost') })));
    expect(new Set(sockets.map((socket) => socket.remoteAddress)).size).toBe(1);
    for (const socket of sockets) socket.destroy();
    for (let tries = 0; tries < 2; tries += 1) {
      await expect(cached.dial({ session: session(null, port, 'name..broken') })).rejects.toMatchObject({ code: 'DNS_FAILED' });
    }
    now += 2_000;
    (await cached.dial({ session: session(null, port, 'localhost') })).destroy();
  });

  test('the cache is bounded, also at none', async () => {
    const port = await server();
    for (const dnsCacheMax of [0, 1]) {
      const small = dialer({ limits: limitsWith({ dnsCacheMax }) });
      for (const host of ['localhost', '127.1', 'localhost']) (await small.dial({ session: session(null, port, host) })).destroy();
    }
  });
});

describe('early connections', () => {
  test('are taken by the dial of the same session, with what the server said meanwhile', async () => {
    let connections = 0;
    const port = await server((socket) => {
      connections += 1;
      socket.write('220 ready');
    });
    const one = dialer();
    const flow = { session: session('127.0.0.1', port) };
    const early = await one.early(flow.session);
    expect(await one.early(flow.session)).toBe(early);
    await pause(30);
    const socket = await one.dial(flow);
    expect(socket).toBe(early);
    expect((await readBytes(socket, 9)).toString()).toBe('220 ready');
    expect(connections).toBe(1);
    const next = await one.dial(flow);
    expect(next).not.toBe(early);
    socket.destroy();
    next.destroy();
  });

  test.each([
    ['closed', (socket: Socket): void => void socket.end()],
    ['reset', (socket: Socket): void => void socket.resetAndDestroy()],
  ])('that the server %s without a word are made again', async (_name, leave) => {
    let connections = 0;
    const port = await server((socket) => {
      connections += 1;
      if (connections === 1) setTimeout(() => leave(socket), 10);
    });
    const one = dialer();
    const flow = { session: session('127.0.0.1', port) };
    const early = await one.early(flow.session);
    await pause(60);
    const socket = await one.dial(flow);
    expect(socket).not.toBe(early);
    expect(early.destroyed).toBe(true);
    expect(connections).toBe(2);
    socket.destroy();
  });

  test('that ended after words are kept, words and end', async () => {
    const port = await server((socket) => void socket.end('bye'));
    const one = dialer();
    const flow = { session: session('127.0.0.1', port) };
    await one.early(flow.session);
    await pause(30);
    expect((await readAll(await one.dial(flow))).toString()).toBe('bye');
  });

  test('are closed when dropped, also while still under way; failures of dropped ones are nobody\'s', async () => {
    const closed: Promise<unknown>[] = [];
    const port = await server((socket) => void closed.push(new Promise((resolve) => socket.resume().once('end', () => resolve(socket.end())))));
    const one = dialer();
    const settled = session('127.0.0.1', port);
    await one.early(settled);
    one.drop(settled);
    const underWay = session('127.0.0.1', port);
    const opening = one.early(underWay);
    one.drop(underWay);
    expect((await opening).destroyed).toBe(true);
    while (closed.length < 2) await pause(5);
    await Promise.all(closed);
    const failing = session(null, port, 'name..broken');
    one.early(failing).catch(() => {});
    one.drop(failing);
    one.drop(session('127.0.0.1', port));
    await pause(20);
  });
});
