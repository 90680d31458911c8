// HTTP/2 bridged between real node:http2 clients and servers, over TLS where the gateway's sockets are TLS in life.

import { once } from 'node:events';
import http2 from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { EndedRequest } from '../../../src/core/flow.ts';
import { exchangeHttp2, refuseHttp2 } from '../../../src/http/h2.ts';
import { connect, listen, startGateway, until } from './harness.ts';
import type { Gateway, GatewayOptions } from './harness.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => void;

async function originOf(onStream: OnStream, options: http2.ServerOptions = {}): Promise<{ port: number; sessions: http2.ServerHttp2Session[] }> {
  const server = http2.createServer(options);
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[] = []) => {
    stream.on('error', () => {});
    onStream(stream, headers, flags, raw);
  });
  closers.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { port: await listen(server as unknown as net.Server), sessions };
}

async function gatewayTo(originPort: number | null, options: Partial<GatewayOptions> = {}): Promise<Gateway> {
  const gateway = await startGateway({ handle: exchangeHttp2, ...options, originPort });
  closers.push(() => gateway.close());
  return gateway;
}

/** Answers each request with a head and an empty frame that ends it, where Node's own servers would end it with the head. */
async function framewiseOrigin(status: number): Promise<number> {
  /** Of HPACK's static table. */
  const indexed: Record<number, number> = { 200: 0x88, 204: 0x89, 304: 0x8b };
  const frame = (type: number, flags: number, id: number, payload: readonly number[] = []): Buffer => Buffer.from([0, 0, payload.length, type, flags, 0, 0, id >> 8, id & 255, ...payload]);
  const server = net.createServer((socket) => {
    let bytes = Buffer.alloc(0);
    let at = 24;
    socket.on('error', () => {});
    socket.write(frame(4, 0, 0));
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let end = 0; bytes.length >= at + 9 && bytes.length >= (end = at + 9 + bytes.readUIntBE(at, 3)); at = end) {
        const [type, flags, id] = [bytes[at + 3], bytes[at + 4] ?? 0, bytes.readUInt32BE(at + 5)];
        if (type === 4 && (flags & 1) === 0) socket.write(frame(4, 1, 0));
        if (type === 1) socket.write(Buffer.concat([frame(1, 4, id, [indexed[status] ?? 0x88]), frame(0, 1, id)]));
      }
    });
    closers.push(() => socket.destroy());
  });
  closers.push(() => server.close());
  return await listen(server);
}

function clientOf(port: number, settings: http2.Settings = {}): ClientHttp2Session {
  const socket = net.connect({ port, host: '127.0.0.1' });
  const session = http2.connect('http://site.example', { createConnection: () => socket, settings });
  session.on('error', () => {});
  closers.push(() => session.destroy());
  return session;
}

interface Answer {
  status: number;
  raw: string[];
  body: string;
  trailers: IncomingHttpHeaders;
  interim: number[];
  rst: number;
}

function settle(stream: ClientHttp2Stream): Promise<Answer> {
  const answer: Answer = { status: 0, raw: [], body: '', trailers: {}, interim: [], rst: 0 };
  return new Promise((resolve) => {
    stream.on('error', () => {});
    stream.on('headers', (headers) => answer.interim.push(headers[':status'] ?? 0));
    stream.on('response', (headers, _flags, raw = []) => {
      answer.status = headers[':status'] ?? 0;
      answer.raw = raw;
    });
    stream.on('trailers', (trailers) => (answer.trailers = trailers));
    stream.on('data', (chunk: Buffer) => (answer.body += chunk.toString('latin1')));
    stream.on('close', () => {
      answer.rst = stream.rstCode;
      resolve(answer);
    });
  });
}

const ask = (session: ClientHttp2Session, headers: http2.OutgoingHttpHeaders = {}, body?: string): Promise<Answer> => {
  const stream = session.request(headers, { endStream: body === undefined });
  const answer = settle(stream);
  if (body !== undefined) stream.end(body);
  return answer;
};

describe('requests', () => {
  test('are bridged with order, repetition and body of their fields, on one connection', async () => {
    let received: string[] = [];
    const { port, sessions } = await originOf((stream, _headers, _flags, raw) => {
      received = raw;
      let body = '';
      stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
      stream.on('end', () => {
        stream.respond([':status', '201', 'set-cookie', 'a=1', 'x-b', '2', 'set-cookie', 'c=3'], { sendDate: false } as http2.ServerStreamResponseOptions);
        stream.end(`got ${body}`);
      });
    });
    const counted: string[] = [];
    const logged: EndedRequest[] = [];
    const gateway = await gatewayTo(port, { count: (name, labels) => counted.push(`${name} ${labels.join(',')}`), logged: (request) => logged.push(request) });
    const session = clientOf(gateway.port);
    const stream = session.request([':method', 'POST', ':path', '/x?y', ':scheme', 'https', ':authority', 'site.example', 'x-z', '1', 'cookie', 'a=1', 'x-z', '2'], { endStream: false });
    const answer = settle(stream);
    stream.end('hello');
    expect(await answer).toMatchObject({ status: 201, body: 'got hello', rst: 0, raw: [':status', '201', 'set-cookie', 'a=1', 'x-b', '2', 'set-cookie', 'c=3'] });
    expect(received).toEqual([':method', 'POST', ':path', '/x?y', ':scheme', 'https', ':authority', 'site.example', 'x-z', '1', 'cookie', 'a=1', 'x-z', '2']);
    await ask(session);
    expect(sessions).toHaveLength(1);
    session.close();
    expect(await gateway.ended()).toBe('done');
    expect(gateway.sessions[0]?.details.http).toMatchObject({ requests: 2, method: 'GET', host: 'site.example:80' });
    expect(counted).toContain('http_requests_total https,POST,2xx');
    expect(logged).toMatchObject([
      { method: 'POST', host: 'site.example', target: '/x?y', status: 201, fromClientBytes: 5, toClientBytes: 9 }, { method: 'GET', status: 201, fromClientBytes: 0, toClientBytes: 4 },
    ]);
  });

  test('reads what detection has put back', async () => {
    const { port } = await originOf((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
    const gateway = await gatewayTo(port, {
      handle: async (flow, deps) => {
        await new Promise((resolve) => flow.client.once('readable', resolve));
        const bytes = flow.client.read() as Buffer;
        flow.client.unshift(bytes);
        return exchangeHttp2(flow, deps);
      },
    });
    expect((await ask(clientOf(gateway.port))).status).toBe(204);
  });

  test('a host without :authority is kept, and none at all is refused', async () => {
    let seen: string[] = [];
    const { port } = await originOf((stream, _headers, _flags, raw) => {
      seen = raw;
      stream.respond({ ':status': 204 }, { endStream: true });
    });
    const socket = await preface((await gatewayTo(port)).port);
    // HPACK literals: :method GET, :scheme http and :path / are indexed; host is indexed by name (38).
    const block = Buffer.concat([Buffer.from([0x82, 0x86, 0x84, 0x0f, 23, 1]), Buffer.from('b')]);
    socket.write(Buffer.concat([Buffer.from([0, 0, block.length, 1, 5, 0, 0, 0, 1]), block]));
    await until(() => seen.length > 0);
    expect(seen).toContain(':authority');
    expect(seen.join(' ')).not.toContain('invalid');
    expect(seen[seen.indexOf(':authority') + 1]).toBe('b');
  });

  test('HEAD, 204 and 304 end with their head', async () => {
    const { port } = await originOf((stream, headers) => {
      stream.respond({ ':status': Number(headers['x-status'] ?? 200), 'content-length': headers[':method'] === 'HEAD' ? 5 : 0 });
      stream.end();
    });
    const session = clientOf((await gatewayTo(port)).port);
    expect(await ask(session, { ':method': 'HEAD' })).toMatchObject({ status: 200, body: '', rst: 0 });
    expect(await ask(session, { 'x-status': 204 })).toMatchObject({ status: 204, rst: 0 });
    expect(await ask(session, { 'x-status': 304 })).toMatchObject({ status: 304, rst: 0 });
  });

  test('interim responses and trailers of both directions pass', async () => {
    let requestTrailers: IncomingHttpHeaders = {};
    const { port } = await originOf((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</a>; rel=preload' });
      stream.on('trailers', (trailers) => (requestTrailers = trailers));
      stream.resume();
      stream.on('end', () => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end('message');
      });
    });
    const session = clientOf((await gatewayTo(port)).port);
    const stream = session.request({ ':method': 'POST', te: 'trailers' }, { waitForTrailers: true });
    const answer = settle(stream);
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '9' }));
    stream.end('body');
    expect(await answer).toMatchObject({ status: 200, interim: [103], body: 'message', trailers: { 'grpc-status': '0' } });
    expect(requestTrailers['x-sum']).toBe('9');
  });

  test('trailers pass where the request had no body, and where the response is complete before it', async () => {
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => {
        stream.sendTrailers({ 'grpc-status': '7' });
        // As gRPC servers do that answer before they have heard all (RFC 9113 section 8.1).
        setTimeout(() => stream.close(), 20);
      });
      stream.end('message');
    });
    const session = clientOf((await gatewayTo(port)).port);
    expect(await ask(session)).toMatchObject({ status: 200, body: 'message', trailers: { 'grpc-status': '7' }, rst: 0 });
    const open = session.request({ ':method': 'POST' }, { endStream: false });
    open.write('the first of many');
    expect(await settle(open)).toMatchObject({ status: 200, body: 'message', trailers: { 'grpc-status': '7' }, rst: 0 });
  });

  test('stream both ways at once, message by message', async () => {
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 });
      stream.on('data', (chunk: Buffer) => stream.write(`echo ${chunk.toString()}`));
      stream.on('end', () => stream.end());
    });
    const session = clientOf((await gatewayTo(port)).port);
    const stream = session.request({ ':method': 'POST' });
    for (const word of ['one', 'two']) {
      stream.write(word);
      const text = await new Promise((resolve) => stream.once('data', (chunk: Buffer) => resolve(chunk.toString())));
      expect(text).toBe(`echo ${word}`);
    }
    stream.end();
  });

  test('an early answer stops an upload without an error', async () => {
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 413 });
      stream.end('no');
      stream.once('finish', () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
    });
    const session = clientOf((await gatewayTo(port)).port);
    const stream = session.request({ ':method': 'POST' });
    const answer = settle(stream);
    stream.write(Buffer.alloc(300_000));
    expect(await answer).toMatchObject({ status: 413, body: 'no', rst: 0 });
  });

  test('trailers of an early answer reach a slow client before the upload is stopped', async () => {
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => {
        stream.sendTrailers({ 'grpc-status': '8' });
        setTimeout(() => stream.close(http2.constants.NGHTTP2_NO_ERROR), 20);
      });
      stream.end('x'.repeat(3_000));
    });
    // The window is smaller than the answer: the server is through with it while its end still waits for the client.
    const session = clientOf((await gatewayTo(port)).port, { initialWindowSize: 1_000 });
    const stream = session.request({ ':method': 'POST' });
    stream.write('the first of many');
    await once(stream, 'response');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await settle(stream)).toMatchObject({ body: 'x'.repeat(3_000), trailers: { 'grpc-status': '8' }, rst: 0 });
  });

  test('an upload goes on to a server that has answered already, after its client is done', async () => {
    let received = 0;
    let whole = false;
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('thanks');
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
        stream.pause();
        setTimeout(() => stream.resume(), 10);
      });
      stream.on('end', () => (whole = true));
    });
    const session = clientOf((await gatewayTo(port)).port);
    expect(await ask(session, { ':method': 'POST' }, 'x'.repeat(200_000))).toMatchObject({ status: 200, body: 'thanks', rst: 0 });
    await until(() => whole);
    expect(received).toBe(200_000);
  });

  test('large bodies push back instead of piling up', async () => {
    const block = Buffer.alloc(64 * 1024, 'x');
    let sent = 0;
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 });
      const send = (): void => {
        while (sent < 64 * 1024 * 1024) {
          sent += block.length;
          if (!stream.write(block)) {
            stream.once('drain', send);
            return;
          }
        }
        stream.end();
      };
      send();
    });
    const session = clientOf((await gatewayTo(port)).port);
    const stream = session.request({});
    await new Promise((resolve) => stream.once('response', resolve));
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Nobody reads: windows of three hops and socket buffers are all that may be under way.
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    let received = 0;
    stream.on('data', (chunk: Buffer) => (received += chunk.length));
    await new Promise((resolve) => stream.on('close', resolve));
    expect(received).toBe(64 * 1024 * 1024);
  });
});

describe('ends', () => {
  test('a reset by the server reaches the client with its code', async () => {
    const { port } = await originOf((stream) => stream.close(http2.constants.NGHTTP2_HTTP_1_1_REQUIRED));
    const session = clientOf((await gatewayTo(port)).port);
    expect(await ask(session)).toMatchObject({ rst: http2.constants.NGHTTP2_HTTP_1_1_REQUIRED });
  });

  test('a reset by the client reaches the server with its code', async () => {
    let code = -1;
    const { port } = await originOf((stream) => stream.on('close', () => (code = stream.rstCode)));
    const session = clientOf((await gatewayTo(port)).port);
    const stream = session.request({ ':method': 'POST' });
    stream.on('error', () => {});
    stream.write('x');
    setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 50);
    await until(() => code === http2.constants.NGHTTP2_CANCEL);
  });

  test('GOAWAY of the server reaches the client while its streams end', async () => {
    const { port, sessions } = await originOf((stream) => {
      sessions[0]?.close();
      setTimeout(() => {
        stream.respond({ ':status': 200 });
        stream.end('late');
      }, 50);
    });
    const gateway = await gatewayTo(port);
    const session = clientOf(gateway.port);
    let goaway = false;
    session.on('goaway', () => (goaway = true));
    expect(await ask(session)).toMatchObject({ status: 200, body: 'late' });
    await until(() => goaway && session.closed);
    expect(await gateway.ended()).toBe('done');
  });

  test('a server connection that is lost is a 502 page for who had no answer', async () => {
    const { port, sessions } = await originOf(() => sessions[0]?.socket.destroy());
    const gateway = await gatewayTo(port);
    const answer = await ask(clientOf(gateway.port), { accept: 'application/json' });
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'RESET_BY_UPSTREAM' } });
  });

  test('a server that does not speak HTTP/2 is named', async () => {
    const server = net.createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
    closers.push(() => server.close());
    const gateway = await gatewayTo(await listen(server));
    const session = clientOf(gateway.port);
    expect(await ask(session)).toMatchObject({ status: 502, body: expect.stringContaining('HTTP2_PROTOCOL') as string });
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP2_PROTOCOL' });
  });

  test('nothing moving ends a quiet connection well', async () => {
    const { port } = await originOf((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
    const gateway = await gatewayTo(port, { limits: { httpIdleMs: 1000 } });
    await ask(clientOf(gateway.port));
    expect(await gateway.ended()).toBe('done');
  });
});

describe('extended CONNECT', () => {
  test('is offered with the first SETTINGS, as some clients look no further, and carries a WebSocket', async () => {
    const { port } = await originOf((stream, headers) => {
      stream.respond({ ':status': 200, 'x-protocol': headers[':protocol'] as string });
      stream.on('data', (chunk: Buffer) => stream.write(chunk));
      stream.on('end', () => stream.end());
    }, { settings: { enableConnectProtocol: true } });
    const gateway = await gatewayTo(port);
    const session = clientOf(gateway.port);
    const [first] = await once(session, 'remoteSettings') as [http2.Settings];
    expect(first.enableConnectProtocol).toBe(true);
    const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': '/chat', ':authority': 'site.example' }, { endStream: false });
    stream.write('frame');
    expect(await new Promise((resolve) => stream.once('data', (chunk: Buffer) => resolve(chunk.toString())))).toBe('frame');
    stream.end();
    expect(gateway.sessions[0]?.details.http?.upgraded).toBe('websocket');
  });

  test('is not offered for a server that does not', async () => {
    const { port } = await originOf((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
    const session = clientOf((await gatewayTo(port)).port);
    await ask(session);
    expect(session.remoteSettings.enableConnectProtocol).toBe(false);
  });
});

describe('policy', () => {
  test('a denied request is a page, and the others go on', async () => {
    const { port } = await originOf((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('fine');
    });
    const gateway = await gatewayTo(port, { http: (facts) => ({ action: facts.path.startsWith('/admin') ? 'deny' : 'allow', rule: 'http/admin', status: 451 }) });
    const session = clientOf(gateway.port);
    const denied = await ask(session, { ':path': '/%61dmin?x', ':method': 'POST', accept: 'text/html' }, 'x'.repeat(100));
    expect(denied).toMatchObject({ status: 451, rst: 0 });
    expect(denied.body).toContain('<dd>http/admin</dd>');
    expect(await ask(session, { ':path': '/ok' })).toMatchObject({ status: 200, body: 'fine' });
    session.close();
    expect(await gateway.ended()).toMatchObject({ code: 'REQUEST_DENIED' });
  });

  test('an authority with another verdict is 421', async () => {
    const { port } = await originOf((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
    const gateway = await gatewayTo(port, { sni: 'site.example', tunnelled: 'bank.example' });
    const session = clientOf(gateway.port);
    expect((await ask(session, { ':authority': 'SITE.example:443' })).status).toBe(204);
    expect((await ask(session, { ':authority': 'other.example' })).status).toBe(204);
    expect((await ask(session, { ':authority': 'bank.example' })).status).toBe(421);
    expect((await ask(session, { ':authority': 'bank.example', host: 'other.example' })).status).toBe(400);
  });

  test('a refused connection answers with the page and ends', async () => {
    const { port } = await originOf(() => {});
    const gateway = await gatewayTo(port, {
      handle: async (flow, deps) => {
        await refuseHttp2(flow, deps, { code: 'PROTOCOL_DENIED', detail: null, rule: 'protocol/no-h2', status: null });
        return 'done';
      },
    });
    expect(await ask(clientOf(gateway.port))).toMatchObject({ status: 403, rst: 0 });
    expect(await gateway.ended()).toBe('done');
  });
});

describe('floods', () => {
  test.each(['NGHTTP2_CANCEL', 'NGHTTP2_NO_ERROR'] as const)('rapid reset ends with HTTP2_FLOOD (%s)', async (code) => {
    const { port } = await originOf(() => {});
    const gateway = await gatewayTo(port, { limits: { http2ResetsPerSecondMax: 20 } });
    const session = clientOf(gateway.port);
    for (let index = 0; index < 60; index += 1) {
      const stream = session.request({});
      stream.on('error', () => {});
      await new Promise((resolve) => setImmediate(resolve));
      stream.close(http2.constants[code]);
    }
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP2_FLOOD' });
  });

  test('answered requests are no resets, however they were answered', async () => {
    const { port } = await originOf((stream, headers) => {
      if (headers[':path'] === '/head') stream.respond({ ':status': 204 }, { endStream: true });
      else {
        stream.respond();
        stream.end('body');
      }
    });
    const gateway = await gatewayTo(port, { limits: { http2ResetsPerSecondMax: 1 } });
    const session = clientOf(gateway.port);
    for (let index = 0; index < 10; index += 1) {
      expect(await ask(session, { ':path': index % 2 === 0 ? '/head' : '/' })).toMatchObject({ status: index % 2 === 0 ? 204 : 200, rst: 0 });
    }
    session.close();
    expect(await gateway.ended()).toBe('done');
  });

  test.each([['GET', 204], ['GET', 304], ['HEAD', 200]])('an answer to %s with %i that its server ends with an empty frame is no reset either', async (method, status) => {
    const port = await framewiseOrigin(status);
    const gateway = await gatewayTo(port, { limits: { http2ResetsPerSecondMax: 1 } });
    const session = clientOf(gateway.port);
    for (let index = 0; index < 10; index += 1) expect(await ask(session, { ':method': method })).toMatchObject({ status, rst: 0 });
    session.close();
    expect(await gateway.ended()).toBe('done');
  });

  test('a stream of SETTINGS ends with HTTP2_FLOOD', async () => {
    const gateway = await gatewayTo((await originOf(() => {})).port);
    const socket = await preface(gateway.port);
    const settings = Buffer.from('000000040000000000', 'hex');
    socket.write(Buffer.concat(Array.from({ length: 200 }, () => settings)));
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP2_FLOOD' });
  });

  test('requests that a client has us reset, by frames that break their streams, end the connection as well', async () => {
    let arrived = 0;
    const gateway = await gatewayTo((await originOf(() => (arrived += 1))).port, { limits: { http2ResetsPerSecondMax: 20 } });
    const socket = await preface(gateway.port);
    const frames: Buffer[] = [];
    for (let id = 1; id < 120; id += 2) {
      const stream = Buffer.alloc(4);
      stream.writeUInt32BE(id);
      // HEADERS: POST, http, /, :authority and content-length of one letter each as literals; a body of two breaks the stream (RFC 9113 section 8.1.1).
      frames.push(Buffer.from('0000090104', 'hex'), stream, Buffer.from('8386844101615c0131', 'hex'), Buffer.from('0000020001', 'hex'), stream, Buffer.from('ab'));
    }
    socket.write(Buffer.concat(frames));
    expect(await gateway.ended()).toMatchObject({ code: expect.stringMatching(/^HTTP2_/) as string });
    expect(arrived).toBeLessThanOrEqual(20);
  });

  test('DATA without data, again and again, ends the connection', async () => {
    const gateway = await gatewayTo((await originOf(() => {})).port);
    const socket = await preface(gateway.port);
    const head = Buffer.from('0000060104000000018386844101610000', 'hex').subarray(0, 15);
    socket.write(Buffer.concat([head, ...Array.from({ length: 3_000 }, () => Buffer.from('000000000000000001', 'hex'))]));
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP2_FLOOD' });
  });

  test('CONTINUATION without end ends the connection', async () => {
    const gateway = await gatewayTo((await originOf(() => {})).port);
    const socket = await preface(gateway.port);
    socket.write(Buffer.from('000000010000000001', 'hex'));
    const continuation = Buffer.from('000000090000000001', 'hex');
    socket.write(Buffer.concat(Array.from({ length: 200 }, () => continuation)));
    expect(await gateway.ended()).toMatchObject({ code: expect.stringMatching(/^HTTP2_/) as string });
  });

  test('a frame that breaks the protocol is HTTP2_PROTOCOL', async () => {
    const gateway = await gatewayTo((await originOf(() => {})).port);
    const socket = await preface(gateway.port);
    // DATA on stream 0
    socket.write(Buffer.from('00000100000000000000', 'hex'));
    expect(await gateway.ended()).toMatchObject({ code: 'HTTP2_PROTOCOL' });
  });
});

async function preface(port: number): Promise<Socket> {
  const socket = await connect(port);
  closers.push(() => socket.destroy());
  socket.resume();
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('000000040000000000', 'hex')]));
  return socket;
}
