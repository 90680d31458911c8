// The exchange against real node:http servers and clients on loopback sockets.

import http from 'node:http';
import net from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import type { EndedRequest } from '../../../src/core/flow.ts';
import { exchangeHttp1 } from '../../../src/http/h1.ts';
import { connect, listen, receive, startGateway, startRawOrigin, until } from './harness.ts';
import type { Gateway, GatewayOptions } from './harness.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function originOf(handler: http.RequestListener, setUp: (server: http.Server) => void = () => {}): Promise<number> {
  const server = http.createServer(handler);
  setUp(server);
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return listen(server);
}

async function gatewayTo(originPort: number | null, options: Partial<GatewayOptions> = {}): Promise<Gateway> {
  const gateway = await startGateway({ handle: exchangeHttp1, ...options, originPort });
  closers.push(() => gateway.close());
  return gateway;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}

function ask(port: number, options: http.RequestOptions = {}, body: string | null = null): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, ...options }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, trailers: response.trailers, body: text }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body ?? undefined);
  });
}

async function raw(port: number, bytes: string, enough?: (text: string) => boolean): Promise<string> {
  const socket = await connect(port);
  closers.push(() => socket.destroy());
  socket.write(Buffer.from(bytes, 'latin1'));
  return receive(socket, enough);
}

const echo: http.RequestListener = (request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
  request.on('end', () => response.end(`${request.method ?? ''} ${request.url ?? ''} ${body}`));
};

describe('a connection', () => {
  test('is kept over many requests and ends well', async () => {
    const counted: string[] = [];
    const gateway = await gatewayTo(await originOf(echo), { count: (name, labels) => counted.push(`${name} ${labels.join(',')}`) });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let index = 0; index < 5; index += 1) {
      expect((await ask(gateway.port, { agent, path: `/${String(index)}` })).body).toBe(`GET /${String(index)} `);
    }
    const posted = await ask(gateway.port, { agent, method: 'POST', headers: { 'Content-Length': 3 } }, 'abc');
    expect(posted.body).toBe('POST / abc');
    agent.destroy();
    expect(await gateway.ended()).toBe('done');
    expect(gateway.sessions[0]?.details.http).toMatchObject({ requests: 6, method: 'POST', status: 200, upgraded: null });
    expect(counted.filter((line) => line === 'http_requests_total https,GET,2xx')).toHaveLength(5);
    expect(counted.filter((line) => line === 'http_request_seconds https')).toHaveLength(6);
  });

  test('tells of each request how much it was, to the byte', async () => {
    const logged: EndedRequest[] = [];
    const get = 'GET /a?b HTTP/1.1\r\nHost: one\r\n\r\n';
    const post = 'POST /c HTTP/1.1\r\nHost: two\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n';
    const denied = 'GET /no HTTP/1.1\r\nHost: three\r\nConnection: close\r\n\r\n';
    const answers = ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour', 'HTTP/1.1 204 No Content\r\n\r\n'];
    const origin = await startRawOrigin(answers.join(''), (text) => text.length === get.length + post.length);
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port, {
      logged: (request) => logged.push(request), http: ({ path }) => (path === '/no' ? { action: 'deny', rule: 'http/1', status: null } : { action: 'allow', rule: 'http/2', status: null }),
    });
    const text = await raw(gateway.port, get + post + denied);
    expect(text.startsWith(answers.join(''))).toBe(true);
    const page = text.length - answers.join('').length;
    expect(logged.map(({ method, host, target, status, fromClientBytes, toClientBytes }) => [method, host, target, status, fromClientBytes, toClientBytes])).toEqual([
      ['GET', 'one', '/a?b', 200, get.length, answers[0]?.length],
      ['POST', 'two', '/c', 204, post.length, answers[1]?.length],
      ['GET', 'three', '/no', 403, denied.length, page],
    ]);
  });

  test('keeps pipelined requests in order', async () => {
    const port = await originOf((request, response) => {
      setTimeout(() => response.end(request.url), request.url === '/0' ? 60 : 0);
    });
    const gateway = await gatewayTo(port, { limits: { httpPipelineMax: 3 } });
    const requests = Array.from({ length: 20 }, (_, index) => `GET /${String(index)} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
    const text = await raw(gateway.port, requests, (seen) => seen.includes('/19'));
    expect([...text.matchAll(/\r\n\/(\d+)/g)].map((match) => match[1])).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
  });

  test('closes after Connection: close and drops what follows it', async () => {
    const gateway = await gatewayTo(await originOf(echo));
    const text = await raw(gateway.port, 'GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(text).toContain('GET /1');
    expect(text).not.toContain('/2');
    expect(await gateway.ended()).toBe('done');
  });

  test('serves HTTP/1.0 until close', async () => {
    const origin = await startRawOrigin('HTTP/1.0 200 OK\r\nX: y\r\n\r\nall of it', (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.end('GET / HTTP/1.0\r\n\r\n');
    expect(await receive(socket)).toBe('HTTP/1.0 200 OK\r\nX: y\r\n\r\nall of it');
    expect(await gateway.ended()).toBe('done');
    expect(origin.received()).toBe('GET / HTTP/1.0\r\n\r\n');
  });

  test('passes a half-close on and the answer back', async () => {
    const port = await originOf(echo, (server) => Object.assign(server, { httpAllowHalfOpen: true }));
    const gateway = await gatewayTo(port);
    const socket = await connect(gateway.port);
    socket.end('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
    expect(await receive(socket)).toContain('POST / hi');
    expect(await gateway.ended()).toBe('done');
  });
});

describe('bodies', () => {
  test('HEAD, 204 and 304 have none', async () => {
    const port = await originOf((request, response) => {
      if (request.url === '/204') response.writeHead(204).end();
      else if (request.url === '/304') response.writeHead(304, { 'Content-Length': '55' }).end();
      else response.setHeader('Content-Length', 6).end('a body');
    });
    const gateway = await gatewayTo(port);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask(gateway.port, { agent, method: 'HEAD' })).headers['content-length']).toBe('6');
    expect((await ask(gateway.port, { agent, path: '/204' })).status).toBe(204);
    expect((await ask(gateway.port, { agent, path: '/304' })).status).toBe(304);
    expect((await ask(gateway.port, { agent })).body).toBe('a body');
    agent.destroy();
    expect(await gateway.ended()).toBe('done');
  });

  test('chunks, extensions and trailers arrive as they were sent', async () => {
    const chunked = '4;a=b;c="d e"\r\nwiki\r\n0\r\nX-Sum: 1\r\n\r\n';
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n';
    const origin = await startRawOrigin(head + chunked, (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const request = `POST / HTTP/1.1\r\nhOsT:  a\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`;
    expect(await raw(gateway.port, request, (text) => text.endsWith('\r\n\r\n') && text.includes('X-Sum: 1'))).toBe(head + chunked);
    expect(origin.received()).toBe(request);
  });

  test('large ones stream both ways in bounded memory', async () => {
    const size = 64 * 1024 * 1024;
    const block = Buffer.alloc(64 * 1024, 'x');
    const port = await originOf((request, response) => {
      let received = 0;
      request.on('data', (chunk: Buffer) => (received += chunk.length));
      request.on('end', () => {
        response.setHeader('X-Received', String(received));
        let left = size;
        const send = (): void => {
          while (left > 0) {
            left -= block.length;
            if (!response.write(block)) {
              response.once('drain', send);
              return;
            }
          }
          response.end();
        };
        send();
      });
    });
    const gateway = await gatewayTo(port);
    let peak = 0;
    const sampler = setInterval(() => {
      const flow = gateway.flows[0];
      const held = [flow?.client, flow?.upstream].map((socket) => (socket?.writableLength ?? 0) + (socket?.readableLength ?? 0));
      peak = Math.max(peak, ...held);
    }, 1);
    const received = await new Promise<number>((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port: gateway.port, method: 'PUT', headers: { 'Transfer-Encoding': 'chunked' } }, (response) => {
        expect(response.headers['x-received']).toBe(String(size));
        let total = 0;
        // A slow reader: the gateway must push back.
        response.on('data', (chunk: Buffer) => {
          total += chunk.length;
          if (total % (8 * 1024 * 1024) < chunk.length) {
            response.pause();
            setTimeout(() => response.resume(), 20);
          }
        });
        response.on('end', () => resolve(total));
      });
      request.on('error', reject);
      let left = size;
      const send = (): void => {
        while (left > 0) {
          left -= block.length;
          if (!request.write(block)) {
            request.once('drain', send);
            return;
          }
        }
        request.end();
      };
      send();
    });
    clearInterval(sampler);
    expect(received).toBe(size);
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThanOrEqual(256 * 1024);
  });
});

describe('interim and early responses', () => {
  test('100 and 103 pass', async () => {
    const port = await originOf(() => {}, (server) => {
      server.on('checkContinue', (request, response) => {
        response.writeEarlyHints({ link: '</a.css>; rel=preload' });
        response.writeContinue();
        echo(request, response);
      });
    });
    const gateway = await gatewayTo(port);
    const seen: string[] = [];
    const answer = await new Promise<string>((resolve) => {
      const request = http.request({ host: '127.0.0.1', port: gateway.port, method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 5 } }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      });
      request.on('information', (information) => seen.push(String(information.statusCode)));
      request.on('continue', () => {
        seen.push('continue');
        request.end('hello');
      });
      request.flushHeaders();
    });
    expect(answer).toBe('POST / hello');
    expect(seen).toContain('continue');
    expect(seen).toContain('103');
  });

  test('a final answer in place of 100 ends the connection', async () => {
    const origin = await startRawOrigin('HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n', (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const text = await raw(gateway.port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
    expect(text).toBe('HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n');
    expect(await gateway.ended()).toBe('done');
  });

  test('an answer before the end of the body reaches the client', async () => {
    const answer = 'HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno';
    const origin = await startRawOrigin(answer, (text) => text.includes('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const text = await raw(gateway.port, `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(10_000)}`);
    expect(text).toBe(answer);
  });

  test('an early answer on a kept connection lets the body go on', async () => {
    const origin = await startRawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', (text) => text.includes('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345');
    await receive(socket, (text) => text.endsWith('ok'));
    socket.write('67890');
    await until(() => origin.received().endsWith('1234567890'));
  });
});

describe('switching', () => {
  test('101 becomes a relay, early bytes of both sides included', async () => {
    const port = await originOf(echo, (server) => {
      server.on('upgrade', (_request, socket: Socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nserver first ');
        socket.on('data', (chunk: Buffer) => socket.write(`echo ${chunk.toString()}`));
        socket.on('end', () => socket.end());
      });
    });
    const gateway = await gatewayTo(port);
    const socket = await connect(gateway.port);
    socket.write('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly');
    await receive(socket, (text) => text.endsWith('echo early'));
    socket.write('GET / not http');
    const text = await receive(socket, (seen) => seen.includes('not http'));
    expect(text).toBe('echo GET / not http');
    socket.end();
    expect(await gateway.ended()).toBe('done');
    expect(gateway.sessions[0]?.details.http?.upgraded).toBe('websocket');
  });

  test('an upgrade that was declined stays HTTP, and what waited is read', async () => {
    const gateway = await gatewayTo(await originOf(echo));
    const text = await raw(gateway.port,
      'GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n', (seen) => seen.includes('GET /2'));
    expect(text).toMatch(/GET \/1 [\s\S]*GET \/2 /);
  });

  test('an offer of h2c does not pass where requests are judged', async () => {
    const origin = await startRawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port, { http: () => ({ action: 'allow', rule: 'http/1', status: null }) });
    await raw(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nX: y\r\n\r\n', (text) => text.endsWith('\r\n\r\n'));
    expect(origin.received()).toBe('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nX: y\r\n\r\n');
  });

  test('101 that nobody asked for is refused', async () => {
    const origin = await startRawOrigin('HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n', (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    expect(await raw(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toMatch(/^HTTP\/1\.1 502 .*HTTP_MALFORMED/s);
  });

  test('CONNECT answers with a flow one layer further in', async () => {
    const origin = await startRawOrigin('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ninner', (text) => text.endsWith('\r\n\r\n'));
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.write('CONNECT b.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\nhello');
    expect(await receive(socket, (text) => text.endsWith('\r\n\r\n'))).toBe('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const flow = await gateway.ended();
    if (typeof flow === 'string' || flow instanceof FlowError) throw new Error('no flow');
    expect(flow.depth).toBe(2);
    const seen = await Promise.all([receive(flow.client, (text) => text.length >= 5), receive(flow.upstream as Socket, (text) => text.length >= 5)]);
    expect(seen).toEqual(['hello', 'inner']);
  });
});

describe('failures', () => {
  test('a client that resets in a body resets the server', async () => {
    let aborted = false;
    const server = net.createServer((socket) => socket.on('error', () => (aborted = true)).resume());
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    const socket = await connect(gateway.port);
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc');
    setTimeout(() => socket.resetAndDestroy(), 50);
    expect(await gateway.ended()).toMatchObject({ code: 'RESET_BY_CLIENT' });
    await until(() => aborted);
  });

  test('a body that cannot be framed any more, after some of it has left, is cut off there and refused', async () => {
    const origin = await startRawOrigin('', () => false);
    closers.push(origin.close);
    const gateway = await gatewayTo(origin.port);
    const socket = await connect(gateway.port);
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
    await until(() => origin.received().endsWith('first\r\n'));
    socket.write('5x\r\nsecond');
    expect(await receive(socket)).toMatch(/^HTTP\/1\.1 400 [\s\S]*HTTP_AMBIGUOUS/);
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
    expect(origin.received()).toMatch(/first\r\n$/);
  });

  test('a server that closes inside a response ends the client short', async () => {
    const server = net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc')));
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    await expect(ask(gateway.port)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await gateway.ended()).toMatchObject({ code: 'RESET_BY_UPSTREAM' });
  });

  test('a server that never answers the first request is a 502 page', async () => {
    const server = net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end()));
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    const answer = await ask(gateway.port, { headers: { Accept: 'application/json' } });
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'RESET_BY_UPSTREAM' } });
  });

  test('a kept connection that the server closes is closed without a page', async () => {
    let count = 0;
    const server = net.createServer((socket) => socket.on('error', () => {}).on('data', () => {
      count += 1;
      if (count === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else socket.end();
    }));
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    const socket = await connect(gateway.port);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await receive(socket, (text) => text.endsWith('\r\n\r\n'));
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await receive(socket)).toBe('');
    expect(await gateway.ended()).toMatchObject({ code: 'RESET_BY_UPSTREAM' });
  });

  test('a response nobody asked for is not passed on', async () => {
    const server = net.createServer((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
      });
      socket.on('error', () => {});
    });
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    expect(await raw(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  });

  test('what is no HTTP is given back whole', async () => {
    const gateway = await gatewayTo(await originOf(echo));
    const socket = await connect(gateway.port);
    closers.push(() => socket.destroy());
    socket.write('REGISTER sip:a.example SIP/2.0\r\nVia: x\r\n\r\n');
    expect(await gateway.ended()).toMatchObject({ code: 'NOT_HTTP' });
    const flow = gateway.flows[0];
    expect(flow?.client.destroyed).toBe(false);
    expect((flow?.client.read() as Buffer).toString()).toBe('REGISTER sip:a.example SIP/2.0\r\nVia: x\r\n\r\n');
  });

  test('silence on an open request is 504, on a kept connection an end', async () => {
    const gateway = await gatewayTo(await originOf(() => {}), { limits: { httpIdleMs: 1000 } });
    expect((await ask(gateway.port)).status).toBe(504);
    const quiet = await connect(gateway.port);
    expect(await receive(quiet)).toBe('');
    expect(await gateway.ended(2)).toBe('done');
  });

  test('a head that comes too slowly is 408', async () => {
    const gateway = await gatewayTo(await originOf(echo), { limits: { httpHeadMs: 1000 } });
    const socket = await connect(gateway.port);
    const drip = setInterval(() => socket.write('x'), 100);
    socket.write('GET / HTTP/1.1\r\nX: ');
    expect(await receive(socket)).toContain('408');
    clearInterval(drip);
  });
});

describe('policy', () => {
  const denyAdmin: Partial<GatewayOptions> = { http: (facts) => ({ action: facts.path.startsWith('/admin') ? 'deny' : 'allow', rule: 'http/admin', status: null }) };

  test('a denied request is a page, and the connection goes on in order', async () => {
    const gateway = await gatewayTo(await originOf(echo), denyAdmin);
    const text = await raw(gateway.port,
      'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /%61dmin HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n', (seen) => seen.includes('GET /2'));
    expect(text).toMatch(/GET \/1 [\s\S]*HTTP\/1\.1 403 Forbidden[\s\S]*<dd>http\/admin<\/dd>[\s\S]*GET \/2 /);
    expect(text).not.toContain('GET /%61dmin');
  });

  test('a denied upload is told at once and not swallowed', async () => {
    const gateway = await gatewayTo(await originOf(echo), denyAdmin);
    const text = await raw(gateway.port, 'POST /admin HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 403 [\s\S]*Connection: close/);
    expect(await gateway.ended()).toMatchObject({ code: 'REQUEST_DENIED' });
    expect(gateway.sessions[0]?.rule).toBe('http/admin');
  });
});

describe('plain http', () => {
  test('dials for the first request that needs it', async () => {
    const port = await originOf(echo);
    let dials = 0;
    const dial = (): Promise<Socket> => {
      dials += 1;
      return connect(port);
    };
    const gateway = await gatewayTo(null, { insideTls: false, dial, revocationHost: 'crl.example:80' });
    const post = 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef';
    const crl = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: crl.example:80\r\n\r\n`;
    const first = await raw(gateway.port, crl('/ssl/crl/1.crl') + crl('/ca.crt'), (seen) => seen.includes('/ca.crt'));
    expect(first).toContain('GET /ssl/crl/1.crl 0');
    expect(dials).toBe(0);
    const mixed = await raw(gateway.port, `${crl('/a')}${post}${crl('/b')}POST /ocsp HTTP/1.1\r\nHost: crl.example:80\r\nContent-Length: 4\r\n\r\nocspGET /last HTTP/1.1\r\nHost: a\r\n\r\n`,
      (seen) => seen.includes('/last'));
    expect(mixed).toMatch(/GET \/a 0[\s\S]*POST \/x abcdef[\s\S]*GET \/b 0[\s\S]*POST \/ocsp 4[\s\S]*GET \/last/);
    expect(dials).toBe(1);
  });

  test('an OCSP request above its bound is 413', async () => {
    const gateway = await gatewayTo(null, { insideTls: false, revocationHost: 'crl.example', limits: { ocspRequestBytesMax: 256 } });
    const text = await raw(gateway.port, `POST /ocsp HTTP/1.1\r\nHost: crl.example\r\nContent-Length: 300\r\n\r\n${'x'.repeat(300)}`);
    expect(text).toContain('413');
  });

  test('a dial that fails is a 502 page', async () => {
    const gateway = await gatewayTo(null, { insideTls: false });
    const text = await raw(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 502 [\s\S]*DIAL_REFUSED/);
    expect(await gateway.ended()).toMatchObject({ code: 'DIAL_REFUSED' });
  });
});
