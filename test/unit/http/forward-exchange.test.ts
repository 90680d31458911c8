import { request as nodeRequest } from 'node:http';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { bodyOf, closing, originWith, proxyWith, rawOrigin, whole } from './forward-support.ts';
import { connect, receive, until } from './harness.ts';

describe('responses', () => {
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
