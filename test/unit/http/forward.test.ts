import { createServer, request as nodeRequest } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { startProxy } from './forward-support.ts';
import type { Proxy, ProxyOptions } from './forward-support.ts';
import { connect, receive, startRawOrigin, until } from './harness.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function proxyWith(options: ProxyOptions = {}): Promise<Proxy> {
  const proxy = await startProxy(options);
  closing.push(() => proxy.close());
  return proxy;
}

async function originWith(listener: RequestListener): Promise<{ port: number; connections: () => number; server: Server }> {
  const server = createServer(listener);
  let connections = 0;
  server.on('connection', () => { connections += 1; });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => { server.close(); server.closeAllConnections(); });
  return { port: (server.address() as AddressInfo).port, connections: () => connections, server };
}

async function rawOrigin(answer: string, when = (text: string): boolean => text.includes('\r\n\r\n')): Promise<{ port: number; received(): string }> {
  const origin = await startRawOrigin(answer, when);
  closing.push(() => origin.close());
  return origin;
}

const whole = (text: string): boolean => /\r\n\r\n[\s\S]*done/.test(text);
const bodyOf = async (message: IncomingMessage): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of message) if (Buffer.isBuffer(part)) parts.push(part);
  return Buffer.concat(parts);
};

describe('requests in absolute form', () => {
  it('are re-issued in origin form, with Host from the target and without hop-by-hop fields', async () => {
    const origin = await rawOrigin('HTTP/1.1 200 Fine\r\nContent-Length: 4\r\nX-Case: A\r\nset-cookie: a\r\nSet-Cookie: b\r\nConnection: X-Hop\r\nX-Hop: no\r\nKeep-Alive: timeout=9\r\n\r\ndone');
    const proxy = await proxyWith();
    const answer = await proxy.ask(
      `GET http://Some.Test:${origin.port}/a%20b?c=d|e HTTP/1.1\r\nHost: other.test\r\nX-Kept: 1\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive, X-Gone\r\n`
      + 'X-Gone: 2\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic YTpi\r\nCookie: \xe9=1\r\n\r\n', whole);
    expect(origin.received()).toBe(`GET /a%20b?c=d|e HTTP/1.1\r\nhost: Some.Test:${origin.port}\r\nconnection: keep-alive\r\nX-Kept: 1\r\nCookie: \xe9=1\r\n\r\n`);
    expect(answer).toBe('HTTP/1.1 200 Fine\r\nContent-Length: 4\r\nX-Case: A\r\nset-cookie: a\r\nSet-Cookie: b\r\n\r\ndone');
    expect(proxy.dials).toEqual([`some.test:${origin.port}`]);
    await proxy.ended();
    expect(proxy.sessions[0]).toMatchObject({
      protocol: 'http', chain: ['http-explicit', 'http'], action: 'handoff', rule: 'protocol/test',
      destination: { host: 'some.test', port: origin.port }, details: { http: { requests: 1, method: 'GET', host: `Some.Test:${origin.port}`, status: 200 } },
    });
    expect(proxy.counted).toContain('http_requests_total http GET 2xx');
  });

  it('name Via in both directions only when asked to', async () => {
    const origin = await rawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone');
    const proxy = await proxyWith({ via: 'gate' });
    const answer = await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.0\r\n\r\n`);
    expect(origin.received()).toContain('Via: 1.0 gate\r\n');
    expect(answer).toContain('Via: 1.1 gate\r\n');
    expect(answer).toContain('Connection: close\r\n');
  });

  it('share one connection an origin, and none with another client', async () => {
    const origin = await originWith((message, response) => response.end(`${String(message.socket.remotePort)} done`));
    const proxy = await proxyWith();
    const one = `GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    const three = await proxy.ask(one + one + one, (text) => text.split(' done').length === 4);
    expect(new Set(three.match(/\d+ done/g)).size).toBe(1);
    await proxy.ask(one, whole);
    expect(origin.connections()).toBe(2);
    expect(proxy.counted.filter((line) => line.startsWith('http_requests_total'))).toHaveLength(4);
  });

  it('keep HEAD, 204 and 304 without a body, and the connection after them', async () => {
    const origin = await originWith((message, response) => {
      if (message.url === '/204' || message.url === '/304') response.writeHead(Number(message.url.slice(1))).end();
      else response.writeHead(200, { 'Content-Length': 7 }).end('content');
    });
    const proxy = await proxyWith();
    const ask = (method: string, path: string): string => `${method} http://a.test:${origin.port}${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    const answer = await proxy.ask(ask('HEAD', '/') + ask('GET', '/204') + ask('GET', '/304') + ask('GET', '/'), (text) => text.endsWith('content'));
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 304', 'HTTP/1.1 200']);
    expect(answer.split('content')).toHaveLength(2);
    expect(origin.connections()).toBe(1);
  });

  it('have bodies with a length and in chunks, streamed both ways', async () => {
    const origin = await originWith((message, response) => {
      void bodyOf(message).then((body) => response.end(`${message.headers['content-length'] ?? message.headers['transfer-encoding'] ?? ''} ${body.toString()} done`));
    });
    const proxy = await proxyWith();
    const head = `POST http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n`;
    expect(await proxy.ask(`${head}Content-Length: 5\r\n\r\nhello`, whole)).toContain('5 hello done');
    // A body that is whole when its head is sent has a length by then.
    expect(await proxy.ask(`${head}Transfer-Encoding: chunked\r\n\r\n3;a="\\"x"\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n`, whole)).toContain('5 hello done');
    const slow = await connect(proxy.port);
    closing.push(() => slow.destroy());
    slow.write(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nhe`);
    setTimeout(() => slow.write('l\r\n2\r\nlo\r\n0\r\n\r\n'), 50);
    expect(await receive(slow, whole)).toContain('chunked hello done');
    expect(await proxy.ask(`${head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`, whole)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
  });

  it('pass 103 and trailers of the response on; an answer of unknown length is chunked, for HTTP/1.0 it ends with the connection', async () => {
    const origin = await originWith((_message, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      response.writeHead(200, { Trailer: 'X-Sum' });
      response.write('con');
      response.addTrailers({ 'X-Sum': '42' });
      response.end('tent');
    });
    const proxy = await proxyWith();
    const modern = await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`, (text) => text.endsWith('42\r\n\r\n'));
    expect(modern).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    expect(modern).toContain('Transfer-Encoding: chunked\r\n\r\n3\r\ncon\r\n4\r\ntent\r\n0\r\nX-Sum: 42\r\n\r\n');
    const old = await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.0\r\n\r\n`);
    expect(old.endsWith('\r\n\r\ncontent')).toBe(true);
    expect(old).not.toContain('103');
  });

  it('OPTIONS: * is answered here, a target without path asks the server itself, Max-Forwards counts down', async () => {
    const origin = await rawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone');
    const proxy = await proxyWith();
    expect(await proxy.ask('OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK\r\nAllow: /);
    expect(await proxy.ask(`OPTIONS http://a.test:${origin.port} HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n`)).toContain('Allow: ');
    expect(proxy.dials).toEqual([]);
    await proxy.ask(`OPTIONS http://a.test:${origin.port} HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 3\r\n\r\n`, whole);
    expect(origin.received()).toMatch(new RegExp(`^OPTIONS http://a\\.test:${origin.port} HTTP/1\\.1\r\n`));
    expect(origin.received()).toContain('Max-Forwards: 2\r\n');
  });

  it('tell a client behind a proxy that logins bound to the connection work (RFC 4559)', async () => {
    const origin = await rawOrigin('HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 4\r\n\r\ndone');
    const proxy = await proxyWith();
    const answer = await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`, whole);
    expect(answer).toContain('Proxy-Support: Session-Based-Authentication\r\nConnection: Proxy-Support\r\n');
  });
});

describe('back-pressure', () => {
  const bytes = 64 * 1024 * 1024;

  it('a client that does not read stops the server', async () => {
    let sent = 0;
    const origin = await originWith((_message, response) => {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const write = (): void => {
        while (sent < bytes) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', write);
        }
        response.end();
      };
      write();
    });
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    closing.push(() => socket.destroy());
    socket.write(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    let before = -1;
    for (let still = 0; still < 10; still = sent === before ? still + 1 : 0) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(sent).toBeLessThan(bytes / 2);
    let received = 0;
    socket.on('data', (chunk: Buffer) => { received += chunk.length; });
    socket.resume();
    await until(() => sent === bytes);
    await until(() => received > bytes);
  });

  it('a server that does not read stops the client', async () => {
    const held: Socket[] = [];
    const server = net.createServer((socket) => { held.push(socket); socket.pause(); });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => { server.close(); for (const socket of held) socket.destroy(); });
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    closing.push(() => socket.destroy());
    socket.write(`PUT http://a.test:${(server.address() as AddressInfo).port}/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${bytes}\r\n\r\n`);
    const chunk = Buffer.alloc(64 * 1024);
    let room = true;
    for (let sent = 0; sent < bytes && room; sent += chunk.length) {
      if (socket.write(chunk)) continue;
      room = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), 500);
        socket.once('drain', () => { clearTimeout(timer); resolve(true); });
      });
    }
    expect(room).toBe(false);
  });
});

describe('what goes wrong', () => {
  it('a request in origin form is told that this is a proxy', async () => {
    const proxy = await proxyWith();
    const answer = await proxy.ask('GET / HTTP/1.1\r\nHost: a.test\r\nAccept: application/json\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('this is a proxy');
    expect(await proxy.ended()).toMatchObject({ code: 'HTTP_MALFORMED' });
  });

  it.each([['https://a.test/'], ['ftp://a.test/'], ['http://a b/'], ['http://u:p@a.test/'], ['http://a.test:99999/'], ['http://[::1/'], ['http://a%2eb/']])('%s is not forwarded', async (target) => {
    const proxy = await proxyWith();
    expect(await proxy.ask(`GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(proxy.dials).toEqual([]);
  });

  it('both lengths are refused before anything is dialled', async () => {
    const proxy = await proxyWith();
    await proxy.ask('POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
    expect(await proxy.ended()).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
    expect(proxy.dials).toEqual([]);
  });

  it('a bad chunk breaks the server\'s connection and is told', async () => {
    const origin = await rawOrigin('', () => false);
    const proxy = await proxyWith();
    const answer = await proxy.ask(`POST http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(await proxy.ended()).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
    expect(origin.received()).not.toContain('zz');
  });

  it.each([
    ['garbage instead of a status line', 'FOO\r\n\r\n', 'HTTP_MALFORMED'],
    ['a 101 nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'RESET_BY_UPSTREAM'],
    ['a coding that cannot be taken off', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 'HTTP_MALFORMED'],
  ])('%s is a 502', async (_what, text, code) => {
    const origin = await rawOrigin(text);
    const proxy = await proxyWith();
    expect(await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toMatch(/^HTTP\/1\.1 502 /);
    expect(await proxy.ended()).toMatchObject({ code });
  });

  it('a server that is not there is a 502 with its code', async () => {
    const proxy = await proxyWith({ dial: () => Promise.reject(new FlowError('DIAL_LOOP', '127.0.0.1:1')) });
    const answer = await proxy.ask('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).toContain('Code: DIAL_LOOP');
    expect(await proxy.ended()).toMatchObject({ code: 'DIAL_LOOP' });
  });

  it('a server that breaks off mid-answer breaks the client\'s connection', async () => {
    const origin = await originWith((_message, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('part', () => response.socket?.destroy());
    });
    const proxy = await proxyWith();
    expect(await proxy.ask(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toContain('part');
    expect(await proxy.ended()).toMatchObject({ code: 'RESET_BY_UPSTREAM' });
  });

  it('a client that leaves mid-answer frees the server', async () => {
    let closed = false;
    const origin = await originWith((_message, response) => {
      response.on('close', () => { closed = true; });
      response.write('part');
    });
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    socket.write(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    await receive(socket, (text) => text.includes('part'));
    socket.resetAndDestroy();
    expect(await proxy.ended()).toMatchObject({ code: 'RESET_BY_CLIENT' });
    await until(() => closed);
  });

  it('a client that leaves mid-request frees the server', async () => {
    let closed = false;
    const origin = await originWith((message) => {
      message.on('error', () => {});
      message.on('close', () => { closed = true; });
      message.resume();
    });
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    socket.write(`POST http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nsome`);
    await until(() => proxy.dials.length === 1);
    setTimeout(() => socket.destroy(), 100);
    expect(await proxy.ended()).toMatchObject({ code: 'RESET_BY_CLIENT' });
    await until(() => closed);
  });

  it('an answer before the request is complete reaches the client, whose connection then ends', async () => {
    const origin = await rawOrigin('HTTP/1.1 413 No\r\nContent-Length: 4\r\n\r\ndone');
    const proxy = await proxyWith();
    const answer = await proxy.ask(`POST http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nsome`);
    expect(answer).toMatch(/^HTTP\/1\.1 413 No\r\n[\s\S]*done$/);
    expect(await proxy.ended()).toBe('done');
  });

  it('a kept connection that the server has closed is opened anew for a GET', async () => {
    let answered = 0;
    const origin = await originWith((_message, response) => {
      answered += 1;
      if (answered === 2) response.socket?.destroy();
      else response.end('done');
    });
    const proxy = await proxyWith();
    const get = `GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    const answer = await proxy.ask(get + get, (text) => text.split('done').length === 3);
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answered).toBe(3);
  });

  it('a slow head is 408, a silent server 504', async () => {
    const silent = await rawOrigin('', () => false);
    const proxy = await proxyWith({ limits: { httpHeadMs: 100, httpIdleMs: 1500 } });
    expect(await proxy.ask('GET http://a')).toMatch(/^HTTP\/1\.1 408 /);
    expect(await proxy.ask(`GET http://a.test:${silent.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toMatch(/^HTTP\/1\.1 504 /);
    await proxy.ended(2);
    expect(proxy.results).toMatchObject([{ code: 'FIRST_BYTES_STALLED' }, { code: 'IDLE_TIMEOUT' }]);
  });
});

describe('policy', () => {
  it('the connection stage judges every origin of a connection', async () => {
    const origin = await originWith((_message, response) => response.end('done'));
    const proxy = await proxyWith({ connection: ({ destination }) => (destination.host === 'bad.test' ? 'deny' : 'allow') });
    const ask = (host: string): string => `GET http://${host}:${origin.port}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    const answer = await proxy.ask(ask('good.test') + ask('bad.test') + ask('good.test'), (text) => text.split('HTTP/1.1 200').length === 3);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 403', 'HTTP/1.1 200']);
    expect(answer).toContain('CONNECTION_DENIED');
    expect(await proxy.ended()).toMatchObject({ code: 'CONNECTION_DENIED' });
  });

  it('rules on networks see an address that the client wrote', async () => {
    const proxy = await proxyWith({ connection: ({ destination }) => (destination.ip === '192.0.2.7' ? 'deny' : 'allow') });
    expect(await proxy.ask('GET http://192.0.2.7/ HTTP/1.1\r\nHost: 192.0.2.7\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 403/);
    expect(await proxy.ask('CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n')).toMatch(/^HTTP\/1\.1 403/);
  });

  it('the protocol and http stages deny with a page', async () => {
    const denied = await proxyWith({ protocol: 'deny' });
    expect(await denied.ask('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')).toContain('PROTOCOL_DENIED');
    const proxy = await proxyWith({ http: ({ host, path }) => ({ action: host === 'a.test' && path === '/admin' ? 'deny' : 'allow', rule: 'http/admin', status: 451 }) });
    const answer = await proxy.ask('GET http://A.test/x/../%61dmin HTTP/1.1\r\nHost: ignored.test\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 451/);
    expect(proxy.sessions[0]).toMatchObject({ rule: 'http/admin' });
    expect(proxy.dials).toEqual([]);
  });
});

describe('the revocation host', () => {
  const limits = { limits: { detectRaceMs: 10 } };

  it('is answered in-band, whatever policy and login say', async () => {
    const proxy = await proxyWith({ ...limits, revocationHost: 'crl.test', connection: () => 'deny', login: { check: async () => false, realm: 'x' } });
    expect(await proxy.ask('GET http://crl.test/ssl/crl/a.crl HTTP/1.1\r\nHost: crl.test\r\nConnection: close\r\n\r\n')).toContain('GET /ssl/crl/a.crl 0');
    expect(await proxy.ask('POST http://crl.test/ocsp HTTP/1.1\r\nHost: crl.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc')).toContain('POST /ocsp 3');
    expect(await proxy.ask('GET /ocsp HTTP/1.1\r\nHost: crl.test\r\nConnection: close\r\n\r\n')).toContain('GET /ocsp 0');
    expect(proxy.dials).toEqual([]);
  });

  it('is answered inside CONNECT without a dial, and nothing else is', async () => {
    const proxy = await proxyWith({ ...limits, revocationHost: 'crl.test', connection: () => 'deny' });
    // The harness knows one spelling of the host; the product's knows the port as well.
    const answer = await proxy.ask('CONNECT crl.test HTTP/1.1\r\nHost: crl.test\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
    const spelt = await proxyWith({ ...limits, revocationHost: 'crl.test:80', connection: () => 'deny' });
    const socket = await connect(spelt.port);
    closing.push(() => socket.destroy());
    socket.write('CONNECT crl.test:80 HTTP/1.1\r\nHost: crl.test:80\r\n\r\n');
    await receive(socket, (text) => text.endsWith('established\r\n\r\n'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write('GET /ssl/crl/a.crl HTTP/1.1\r\nHost: crl.test:80\r\n\r\n');
    expect(await receive(socket, (text) => text.includes('a.crl'))).toContain('GET /ssl/crl/a.crl 0');
    socket.write('GET / HTTP/1.1\r\nHost: other.test\r\n\r\n');
    expect(await receive(socket)).toContain('421');
    expect(spelt.dials).toEqual([]);
    expect(spelt.sessions[0]).toMatchObject({ chain: ['http-explicit', 'http'] });
  });
});

describe('CONNECT', () => {
  it('comes back as a flow once the destination is reached, with what followed still in the stream', async () => {
    const origin = await rawOrigin('', () => false);
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    closing.push(() => socket.destroy());
    socket.write(`CONNECT a.test:${origin.port} HTTP/1.1\r\nHost: a.test:${origin.port}\r\n\r\nearly`);
    expect(await receive(socket, (text) => text.endsWith('\r\n\r\n'))).toBe('HTTP/1.1 200 Connection established\r\n\r\n');
    const flow = await proxy.ended();
    if (flow === 'done' || flow instanceof FlowError) throw new Error(`no flow: ${String(flow)}`);
    expect(flow.repliedBytes).toBe(flow.raw.bytesWritten);
    expect(flow.raw.read()?.toString()).toBe('early');
    expect(proxy.sessions[0]).toMatchObject({ chain: ['http-explicit'], destination: { host: 'a.test', port: origin.port } });
  });

  it('works after plain requests of the same connection', async () => {
    const origin = await originWith((_message, response) => response.end('done'));
    const proxy = await proxyWith();
    const socket = await connect(proxy.port);
    closing.push(() => socket.destroy());
    socket.write(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\nCONNECT b.test:${origin.port} HTTP/1.1\r\nHost: b.test:${origin.port}\r\n\r\n`);
    expect(await receive(socket, (text) => text.endsWith('established\r\n\r\n'))).toContain('done');
    expect(proxy.dials).toEqual([`a.test:${origin.port}`, `b.test:${origin.port}`]);
  });

  it.each([['a.test'], ['a.test:0'], ['a.test:70000'], ['a_%:443'], ['-:443']])('to %s is refused', async (target) => {
    const proxy = await proxyWith();
    expect(await proxy.ask(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400/);
    expect(proxy.dials).toEqual([]);
  });

  it('to a server that is not there is a 502', async () => {
    const proxy = await proxyWith({ dial: () => Promise.reject(new FlowError('DIAL_REFUSED')) });
    expect(await proxy.ask('CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n')).toMatch(/^HTTP\/1\.1 502[\s\S]*DIAL_REFUSED/);
  });
});

describe('logins', () => {
  const login = { realm: 'La"b', check: async (user: string, password: string) => user === 'ann' && password === 'a:b' };
  const right = `Proxy-Authorization: Basic ${Buffer.from('ann:a:b').toString('base64')}\r\n`;
  const wrong = `Proxy-Authorization: Basic ${Buffer.from('ann:no').toString('base64')}\r\n`;

  it('a challenge, then the same connection goes on, and the user is known', async () => {
    const origin = await originWith((message, response) => response.end(`${message.headers['proxy-authorization'] ?? 'none'} done`));
    const proxy = await proxyWith({ login });
    const ask = (more: string): string => `GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`;
    const answer = await proxy.ask(ask('') + ask(wrong) + ask(right), whole);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 407', 'HTTP/1.1 407', 'HTTP/1.1 200']);
    expect(answer).toContain('Proxy-Authenticate: Basic realm="La\\"b", charset="UTF-8"\r\n');
    expect(answer).toContain('none done');
    expect(await proxy.ended()).toBe('done');
    expect(proxy.sessions[0]).toMatchObject({ user: 'ann' });
  });

  it('CONNECT is challenged likewise, and nothing is dialled before', async () => {
    const origin = await rawOrigin('', () => false);
    const proxy = await proxyWith({ login });
    const ask = (more: string): string => `CONNECT a.test:${origin.port} HTTP/1.1\r\nHost: a.test:${origin.port}\r\n${more}\r\n`;
    expect(await proxy.ask(ask('') + ask(right), (text) => text.endsWith('established\r\n\r\n'))).toMatch(/^HTTP\/1\.1 407 [\s\S]*HTTP\/1\.1 200 Connection established/);
    expect(proxy.dials).toHaveLength(1);
    expect(proxy.sessions[0]).toMatchObject({ user: 'ann' });
  });

  it('who never logs in ends with AUTH_REQUIRED', async () => {
    const proxy = await proxyWith({ login });
    await proxy.ask(`GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n${wrong}\r\n`);
    expect(await proxy.ended()).toMatchObject({ code: 'AUTH_REQUIRED' });
    expect(proxy.sessions[0]).toMatchObject({ user: null });
  });
});

it('a login that binds to the connection stays with its client', async () => {
  const names = new WeakMap<object, string>();
  const origin = await originWith((message, response) => {
    const said = /^NTLM (\d) (\w+)$/.exec(message.headers.authorization ?? '');
    const [, leg, name = ''] = said ?? [];
    if (leg === '2') names.set(message.socket, name);
    const known = names.get(message.socket);
    if (known !== undefined) response.end(`hello ${known}`);
    else response.writeHead(401, { 'WWW-Authenticate': leg === '1' ? 'NTLM challenge' : 'NTLM' }).end('who');
  });
  const proxy = await proxyWith();
  const asked = (socket: Socket, authorization: string | null): Promise<string> => {
    socket.write(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n${authorization === null ? '' : `Authorization: ${authorization}\r\n`}\r\n`);
    return receive(socket, (text) => /(?:who|hello \w+)\r\n0\r\n\r\n$|(?:who|hello \w+)$/.test(text));
  };
  const [ann, bob] = [await connect(proxy.port), await connect(proxy.port)];
  closing.push(() => { ann.destroy(); bob.destroy(); });
  expect(await asked(ann, null)).toContain('401');
  expect(await asked(ann, 'NTLM 1 ann')).toContain('NTLM challenge');
  expect(await asked(bob, 'NTLM 1 bob')).toContain('NTLM challenge');
  expect(await asked(ann, 'NTLM 2 ann')).toContain('hello ann');
  expect(await asked(bob, null)).toContain('who');
  expect(await asked(bob, 'NTLM 2 bob')).toContain('hello bob');
  expect(await asked(ann, null)).toContain('hello ann');
});

it('a Node client that uses it as a proxy gets large bodies back unchanged', async () => {
  const origin = await originWith((message, response) => message.pipe(response));
  const proxy = await proxyWith();
  const sent = Buffer.from(Array.from({ length: 300_000 }, (_unused, index) => index % 251));
  const received = await new Promise<Buffer>((resolve, reject) => {
    const request = nodeRequest({ host: '127.0.0.1', port: proxy.port, method: 'POST', path: `http://a.test:${origin.port}/echo`, agent: false }, (response) => {
      bodyOf(response).then(resolve, reject);
    });
    request.on('error', reject);
    request.end(sent);
  });
  expect(received.equals(sent)).toBe(true);
});
