import { once } from 'node:events';
import { connect as connectH2, createSecureServer } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { issueServer } from '../../support/certs.ts';
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

const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('000000040000000000', 'hex')]);
/** HEADERS of `GET https://site.test/`, stream 1, from HPACK's static table and literals. */
const get = Buffer.concat([Buffer.from('00000e010500000001828784', 'hex'), Buffer.from([0x41, 9]), Buffer.from('site.test')]);
const ping = Buffer.from('0000080600000000000000000000000000', 'hex');

async function origin(cert = issueServer(serverRoot, { names: ['site.test'] })): Promise<TestServer> {
  const server = await tcpServer(() => {}, () => createSecureServer({ cert: cert.chainPem, key: cert.keyPem }, (_request, response) => void response.end('hello'))
    .on('sessionError', () => {}).on('tlsClientError', () => {}));
  toClose.push(server);
  return server;
}

async function gateway(upstream: TestServer, options: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const made = await startGateway(world, {
    destination: { ip: '127.0.0.1', port: upstream.port, host: null }, ...options, limits: { httpIdleMs: 1_000, lingerMs: 300, detectMs: 300, ...options.limits },
  });
  toClose.push(made);
  return made;
}

/** A client that speaks h2 by hand and never closes, whatever it is told. */
async function stubborn(port: number): Promise<TLSSocket> {
  const raw = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  const client = connectTls({ socket: raw, servername: 'site.test', ca: world.caPem, ALPNProtocols: ['h2'] });
  for (const socket of [raw, client]) socket.on('error', () => {});
  clients.push(client, raw);
  await once(client, 'secureConnect');
  client.resume();
  return client;
}

test('a client that offers h2 alone is told in h2 why its server is refused', async () => {
  const at = await gateway(await origin(issueServer(null, { names: ['site.test'] })));
  const session = connectH2(`https://site.test:${String(at.port)}`, { host: '127.0.0.1', servername: 'site.test', ca: world.caPem });
  session.on('error', () => {});
  const stream = session.request({ ':path': '/', accept: 'application/json' });
  const [headers] = await once(stream, 'response');
  let body = '';
  for await (const chunk of stream) body += String(chunk);
  expect(headers[':status']).toBe(502);
  expect(body).toContain('UPSTREAM_CERT_SELF_SIGNED');
  session.destroy();
  expect(await at.ended()).toMatchObject({ action: 'deny', error: 'UPSTREAM_CERT_SELF_SIGNED', tls: { client: { alpn: 'h2' } } });
});

describe('a client that never closes its connection does not hold the flow', () => {
  test.each([['asked nothing', preface], ['was answered', Buffer.concat([preface, get])]])('when it is idle and %s', async (_name, bytes) => {
    const upstream = await origin();
    const at = await gateway(upstream);
    const client = await stubborn(at.port);
    client.write(bytes);
    const session = await at.ended();
    expect(session).toMatchObject({ protocol: 'h2', error: null });
    await at.quiet(2_000);
  });

  test.each([['asked nothing', preface], ['was answered', Buffer.concat([preface, get])], ['goes on pinging', Buffer.concat([preface, get, ping, ping])]])('when it is refused and %s', async (_name, bytes) => {
    const upstream = await origin(issueServer(null, { names: ['site.test'] }));
    const at = await gateway(upstream);
    const raw = connectTcp({ port: at.port, host: '127.0.0.1', allowHalfOpen: true });
    const client = connectTls({ socket: raw, servername: 'site.test', ca: world.caPem, ALPNProtocols: ['h2', 'http/1.1'] });
    for (const socket of [raw, client]) socket.on('error', () => {});
    clients.push(client, raw);
    await once(client, 'secureConnect');
    client.resume();
    client.write(bytes);
    expect(await at.ended()).toMatchObject({ error: 'UPSTREAM_CERT_SELF_SIGNED', action: 'deny' });
    await at.quiet(2_000);
  });

  test('when it breaks the protocol', async () => {
    const upstream = await origin();
    const at = await gateway(upstream);
    const client = await stubborn(at.port);
    client.write(Buffer.concat([preface, get, Buffer.alloc(5_000, 'x')]));
    expect(await at.ended()).toMatchObject({ protocol: 'h2', error: 'HTTP2_PROTOCOL' });
    await at.quiet(2_000);
  });

  test('nor one that reads nothing any more', async () => {
    const upstream = await origin();
    const at = await gateway(upstream);
    const client = await stubborn(at.port);
    client.pause();
    client.write(preface);
    const pings = setInterval(() => {
      if (client.writable && client.writableLength < 1 << 20) client.write(Buffer.concat(Array.from({ length: 5_000 }, () => ping)));
    }, 20);
    setTimeout(() => clearInterval(pings), 1_500);
    expect(await at.ended()).toMatchObject({ protocol: 'h2' });
    await at.quiet(3_000);
  });
});
