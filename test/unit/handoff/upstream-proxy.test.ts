import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { connectAny } from '../../../src/handoff/connect-any.ts';
import { Dialer } from '../../../src/handoff/dial.ts';
import { openThrough, readProxyUrl } from '../../../src/handoff/upstream-proxy.ts';
import type { ProxyTarget, UpstreamProxy } from '../../../src/handoff/upstream-proxy.ts';
import { sessionWith } from '../policy/support.ts';

const limits = limitsWith({ upstreamProxyMs: 300, dialMs: 500 });
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A proxy that answers step by step: each answer is sent once what was received since the last one is as long as that step wants. */
async function scripted(steps: readonly (readonly [wanted: number | string, answer: Buffer | string | 'end' | 'reset'])[]): Promise<{ port: number; received: () => string }> {
  let received = Buffer.alloc(0);
  const server = createServer((socket) => {
    closing.push(() => socket.destroy());
    let at = 0;
    let taken = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (let step = steps[at]; step !== undefined; step = steps[at]) {
        const [wanted, answer] = step;
        const fresh = received.subarray(taken);
        const enough = typeof wanted === 'number' ? fresh.length >= wanted : fresh.includes(wanted);
        if (!enough) return;
        taken = received.length;
        at += 1;
        if (answer === 'end') socket.end();
        else if (answer === 'reset') socket.resetAndDestroy();
        else socket.write(answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, received: () => received.toString('latin1') };
}

async function through(proxy: UpstreamProxy, target: ProxyTarget): Promise<Socket> {
  const socket = await connectAny(['127.0.0.1'], proxy.port, limits);
  closing.push(() => socket.destroy());
  await openThrough(socket, proxy, target, limits);
  return socket;
}

const proxyAt = (port: number, kind: UpstreamProxy['kind'], login: UpstreamProxy['login'] = null): UpstreamProxy => ({ kind, host: '127.0.0.1', port, login });
const headEnd = '\r\n\r\n';

describe('HTTP CONNECT', () => {
  it('asks for host and port, with a login, and leaves what follows the answer in the stream', async () => {
    const proxy = await scripted([[headEnd, 'HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0-x\r\n']]);
    const socket = await through(proxyAt(proxy.port, 'http', { user: 'ann', password: 'a:b' }), { host: 'a.test', port: 22 });
    expect(proxy.received()).toBe(`CONNECT a.test:22 HTTP/1.1\r\nHost: a.test:22\r\nProxy-Authorization: Basic ${Buffer.from('ann:a:b').toString('base64')}\r\n\r\n`);
    expect(String(socket.read())).toBe('SSH-2.0-x\r\n');
  });

  it('puts IPv6 into brackets and waits over interim answers', async () => {
    const proxy = await scripted([[headEnd, 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n']]);
    await through(proxyAt(proxy.port, 'http'), { host: '2001:db8::1', port: 443 });
    expect(proxy.received()).toMatch(/^CONNECT \[2001:db8::1\]:443 HTTP\/1\.1\r\nHost: \[2001:db8::1\]:443\r\n\r\n$/);
  });

  it('an answer in two parts', async () => {
    const proxy = await scripted([[headEnd, 'HTTP/1.1 200 OK\r\n']]);
    const socket = connectAny(['127.0.0.1'], proxy.port, limits);
    const opened = openThrough(await socket, proxyAt(proxy.port, 'http'), { host: 'a.test', port: 1 }, limits);
    await expect(opened).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED', detail: 'no answer within upstreamProxyMs' });
  });

  it.each([
    ['HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n', 'the proxy wants a login (407)'], ['HTTP/1.1 502 No\r\n\r\n', 'the proxy answered 502'],
    ['HTTP/1.1 301 No\r\n\r\n', 'the proxy answered 301'], ['SSH-2.0-x\r\n\r\n', 'the answer is not that of such a proxy'],
    ['end', 'the proxy closed the connection'], ['reset', 'the proxy reset the connection'],
  ])('%j fails: %s', async (answer, detail) => {
    const proxy = await scripted([[headEnd, answer]]);
    await expect(through(proxyAt(proxy.port, 'http'), { host: 'a.test', port: 1 })).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED', detail });
  });
});

describe('SOCKS 5', () => {
  const granted = Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);

  it('asks by name, and leaves what follows the answer in the stream', async () => {
    const proxy = await scripted([[3, Buffer.from([5, 0])], [5, Buffer.concat([granted, Buffer.from('hello')])]]);
    const socket = await through(proxyAt(proxy.port, 'socks5'), { host: 'a.test', port: 258 });
    expect(proxy.received()).toBe('\x05\x01\x00' + '\x05\x01\x00\x03\x06a.test\x01\x02');
    expect(String(socket.read())).toBe('hello');
  });

  it('logs in where that is wanted', async () => {
    const proxy = await scripted([[4, Buffer.from([5, 2])], [3, Buffer.from([1, 0])], [5, granted]]);
    await through(proxyAt(proxy.port, 'socks5', { user: 'ann', password: 'pw' }), { host: '192.0.2.1', port: 443 });
    expect(proxy.received()).toBe('\x05\x02\x00\x02' + '\x01\x03ann\x02pw' + '\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb');
  });

  it.each([['2001:db8::1', '20010db8000000000000000000000001'], ['::', '0'.repeat(32)], ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'], ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008']])('writes %s', async (host, hex) => {
    const proxy = await scripted([[3, Buffer.from([5, 0])], [5, Buffer.from([5, 0, 0, 3, 1, 97, 0, 0])]]);
    await through(proxyAt(proxy.port, 'socks5'), { host, port: 1 });
    expect(Buffer.from(proxy.received().slice(7, 23), 'latin1').toString('hex')).toBe(hex);
  });

  it.each([
    ['no method', [[3, Buffer.from([5, 255])]], 'the proxy wants another login'],
    ['a refused destination', [[3, Buffer.from([5, 0])], [5, Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0])]], 'the proxy says: connection refused'],
    ['an unknown address type', [[3, Buffer.from([5, 0])], [5, Buffer.from([5, 0, 0, 9, 0, 0, 0, 0, 0, 0])]], 'the answer is not that of such a proxy'],
    ['another version', [[3, Buffer.from([4, 0])]], 'the answer is not that of such a proxy'],
    ['the end', [[3, 'end']], 'the proxy closed the connection'],
    ['silence', [], 'no answer within upstreamProxyMs'],
  ] as const)('%s fails: %s', async (_name, steps, detail) => {
    const proxy = await scripted(steps);
    await expect(through(proxyAt(proxy.port, 'socks5'), { host: 'a.test', port: 1 })).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED', detail });
  });

  it('a refused login, and one too long to be said', async () => {
    const proxy = await scripted([[4, Buffer.from([5, 2])], [3, Buffer.from([1, 1])]]);
    await expect(through(proxyAt(proxy.port, 'socks5', { user: 'ann', password: 'pw' }), { host: 'a.test', port: 1 })).rejects.toMatchObject({ detail: 'the proxy refuses the login' });
    const other = await scripted([[4, Buffer.from([5, 2])]]);
    await expect(through(proxyAt(other.port, 'socks5', { user: 'u'.repeat(256), password: 'pw' }), { host: 'a.test', port: 1 })).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED' });
  });
});

it('URLs are taken apart', () => {
  expect(readProxyUrl('http://p.test')).toEqual({ kind: 'http', host: 'p.test', port: 80, login: null });
  expect(readProxyUrl('http://a%40b:c%3Ad@[2001:db8::1]:3128/')).toEqual({ kind: 'http', host: '2001:db8::1', port: 3128, login: { user: 'a@b', password: 'c:d' } });
  expect(readProxyUrl('socks5://p.test:1080')).toEqual({ kind: 'socks5', host: 'p.test', port: 1080, login: null });
});

describe('a dialler with a proxy', () => {
  const dialler = (proxy: UpstreamProxy, ownPorts: number[] = []): Dialer => new Dialer({ limits, ownPorts: new Set(ownPorts), allowLocal: false, transparentServices: new Set(), proxy, clock: Date.now });
  const session = (host: string | null, ip: string | null, port = 443) => sessionWith({ destination: { host, ip, port } });

  it('leaves names to the proxy, and the session without an address of the proxy\'s', async () => {
    const proxy = await scripted([[headEnd, 'HTTP/1.1 200 OK\r\n\r\n']]);
    const where = session('nowhere.invalid', null);
    const socket = await dialler(proxyAt(proxy.port, 'http')).dial({ session: where });
    closing.push(() => socket.destroy());
    expect(proxy.received()).toContain('CONNECT nowhere.invalid:443 ');
    expect(where.destination).toEqual({ host: 'nowhere.invalid', ip: null, port: 443 });
  });

  it('goes by the address of a transparent flow, and never to the gateway itself', async () => {
    const proxy = await scripted([[headEnd, 'HTTP/1.1 200 OK\r\n\r\n']]);
    const socket = await dialler(proxyAt(proxy.port, 'http')).dial({ session: session(null, '192.0.2.1') });
    closing.push(() => socket.destroy());
    expect(proxy.received()).toContain('CONNECT 192.0.2.1:443 ');
    await expect(dialler(proxyAt(proxy.port, 'http'), [443]).dial({ session: session(null, '127.0.0.1') })).rejects.toMatchObject({ code: 'DIAL_LOOP' });
  });

  it('a proxy that is not there', async () => {
    await expect(dialler(proxyAt(1, 'http')).dial({ session: session('a.test', null) })).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED', detail: 'the proxy cannot be reached: DIAL_REFUSED' });
    await expect(dialler({ kind: 'socks5', host: 'nowhere.invalid', port: 1, login: null }).dial({ session: session('a.test', null) })).rejects.toMatchObject({ code: 'UPSTREAM_PROXY_FAILED' });
  });
});
