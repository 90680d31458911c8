import { describe, expect, it } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { closing, originWith, proxyWith, rawOrigin, whole } from './forward-support.ts';
import { connect, receive } from './harness.ts';

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
