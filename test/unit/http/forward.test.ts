import type { EndedRequest } from '../../../src/core/flow.ts';
import { describe, expect, it } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { bodyOf, closing, originWith, proxyWith, rawOrigin, whole } from './forward-support.ts';
import { connect, receive } from './harness.ts';

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

  it('have bodies with a length and in chunks, streamed both ways', async () => {
    const origin = await originWith((message, response) => {
      void bodyOf(message).then((body) => response.end(`${message.headers['content-length'] ?? message.headers['transfer-encoding'] ?? ''} ${body.toString()} done`));
    });
    const logged: EndedRequest[] = [];
    const proxy = await proxyWith({ logged: (request) => logged.push(request) });
    const head = `POST http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n`;
    const sent = `${head}Content-Length: 5\r\n\r\nhello`;
    const answer = await proxy.ask(sent, whole);
    expect(answer).toContain('5 hello done');
    await expect.poll(() => logged).toMatchObject([
      { method: 'POST', host: `a.test:${String(origin.port)}`, target: `http://a.test:${String(origin.port)}/`, status: 200, fromClientBytes: sent.length, toClientBytes: answer.length },
    ]);
    // A body that is whole when its head is sent has a length by then.
    expect(await proxy.ask(`${head}Transfer-Encoding: chunked\r\n\r\n3;a="\\"x"\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n`, whole)).toContain('5 hello done');
    const slow = await connect(proxy.port);
    closing.push(() => slow.destroy());
    slow.write(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nhe`);
    setTimeout(() => slow.write('l\r\n2\r\nlo\r\n0\r\n\r\n'), 50);
    expect(await receive(slow, whole)).toContain('chunked hello done');
    expect(await proxy.ask(`${head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`, whole)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
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

  it('a server that is not there is a 502 with its code', async () => {
    const proxy = await proxyWith({ dial: () => Promise.reject(new FlowError('DIAL_LOOP', '127.0.0.1:1')) });
    const answer = await proxy.ask('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).toContain('Code: DIAL_LOOP');
    expect(await proxy.ended()).toMatchObject({ code: 'DIAL_LOOP' });
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
