import { describe, expect, it } from 'vitest';
import { originWith, proxyWith, rawOrigin } from './forward-support.ts';
import { connect, until } from './harness.ts';

describe('the client\'s side', () => {
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

  it('a slow head is 408, a silent server 504', async () => {
    const silent = await rawOrigin('', () => false);
    const proxy = await proxyWith({ limits: { httpHeadMs: 100, httpIdleMs: 1500 } });
    expect(await proxy.ask('GET http://a')).toMatch(/^HTTP\/1\.1 408 /);
    expect(await proxy.ask(`GET http://a.test:${silent.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toMatch(/^HTTP\/1\.1 504 /);
    await proxy.ended(2);
    expect(proxy.results).toMatchObject([{ code: 'FIRST_BYTES_STALLED' }, { code: 'IDLE_TIMEOUT' }]);
  });
});
