// What certificates point at, fetched through a proxy: in absolute form from an HTTP proxy, over a connection of its own from a SOCKS proxy, whose
// word on names is taken; and names looked up at the name servers of the config.

import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { fetchWay } from '../../../src/handoff/fetch-way.ts';
import { Fetcher } from '../../../src/tls/fetch.ts';
import { fileServer } from '../../support/revocation.ts';

const limits = limitsWith({ upstreamProxyMs: 500, dialMs: 500, dnsMs: 1_000 });
const bounds = { bytesMax: 1_000, timeMs: 2_000 };
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const fetcher = (proxy: string | null, dns: readonly string[] = [], allowLocal = false): Fetcher => new Fetcher({ limits, allowLocal, way: fetchWay({ proxy, dns }, limits) });

describe('an HTTP proxy', () => {
  async function proxied(status = 200): Promise<{ port: number; asked: { method: string; url: string; headers: IncomingHttpHeaders; body: string }[] }> {
    const asked: { method: string; url: string; headers: IncomingHttpHeaders; body: string }[] = [];
    const server = createHttpServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => { body += chunk.toString('latin1'); });
      request.on('end', () => {
        asked.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
        response.writeHead(status).end('a list');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    return { port: (server.address() as AddressInfo).port, asked };
  }

  test('is asked in absolute form, with its login, for names that only it can resolve', async () => {
    const { port, asked } = await proxied();
    expect(String(await fetcher(`http://ann:a%3Ab@127.0.0.1:${String(port)}`).fetch('http://crl.invalid/root.crl?x=1', bounds))).toBe('a list');
    expect(asked).toMatchObject([{ method: 'GET', url: 'http://crl.invalid/root.crl?x=1', headers: { host: 'crl.invalid', 'proxy-authorization': `Basic ${Buffer.from('ann:a:b').toString('base64')}` } }]);
  });

  test('takes OCSP requests too', async () => {
    const { port, asked } = await proxied();
    expect(String(await fetcher(`http://localhost:${String(port)}`).fetch('http://ocsp.invalid:8080/', bounds, { type: 'application/ocsp-request', bytes: Buffer.from('asked') }))).toBe('a list');
    expect(asked).toMatchObject([{ method: 'POST', url: 'http://ocsp.invalid:8080/', headers: { host: 'ocsp.invalid:8080', 'content-type': 'application/ocsp-request', 'content-length': '5' }, body: 'asked' }]);
    expect(asked[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  test('that refuses, or is not there, is nothing', async () => {
    const { port } = await proxied(407);
    expect(await fetcher(`http://127.0.0.1:${String(port)}`).fetch('http://crl.invalid/', bounds)).toBeNull();
    expect(await fetcher('http://127.0.0.1:9').fetch('http://crl.invalid/', bounds)).toBeNull();
  });

  test('is not asked for this machine', async () => {
    const { port, asked } = await proxied();
    expect(await fetcher(`http://127.0.0.1:${String(port)}`).fetch('http://127.0.0.1/x', bounds)).toBeNull();
    expect(asked).toEqual([]);
  });
});

describe('a SOCKS proxy', () => {
  test('resolves the name, and the answer comes through it', async () => {
    let received = Buffer.alloc(0);
    const steps: [number | string, Buffer | string][] = [
      [3, Buffer.from([5, 0])], [7 + 'crl.invalid'.length, Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 80])], ['\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\na list'],
    ];
    const server = createServer((socket) => {
      closing.push(() => socket.destroy());
      let fresh = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        fresh = Buffer.concat([fresh, chunk]);
        const [wanted, answer] = steps[0] ?? [Infinity, ''];
        if (typeof wanted === 'number' ? fresh.length < wanted : !fresh.includes(wanted)) return;
        steps.shift();
        fresh = Buffer.alloc(0);
        socket.write(answer);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    expect(String(await fetcher(`socks5://127.0.0.1:${String((server.address() as AddressInfo).port)}`).fetch('http://crl.invalid/root.crl', bounds))).toBe('a list');
    const text = received.toString('latin1');
    expect(text).toContain(`\x05\x01\0\x03\x0bcrl.invalid\0\x50`);
    expect(text).toContain('GET /root.crl HTTP/1.1\r\nhost: crl.invalid\r\n');
  });
});

describe('without a proxy', () => {
  test('names are looked up at the name servers of the config, and judged by what they say', async () => {
    const server = await fileServer();
    closing.push(() => void server.close());
    server.files.set('/root.crl', Buffer.from('a list'));
    const dns = createSocket('udp4', (query, { port }) => dns.send(answerTo(query), port, '127.0.0.1'));
    await new Promise<void>((resolve) => dns.bind(0, '127.0.0.1', resolve));
    closing.push(() => dns.close());
    const url = `http://crl.invalid:${String(server.port)}/root.crl`;
    expect(String(await fetcher(null, [`127.0.0.1:${String(dns.address().port)}`], true).fetch(url, bounds))).toBe('a list');
    expect(await fetcher(null, [`127.0.0.1:${String(dns.address().port)}`]).fetch(url, bounds)).toBeNull();
    expect(server.requests).toEqual(['GET /root.crl']);
  });

  /** 127.0.0.1 for questions about IPv4, nothing for others. */
  function answerTo(query: Buffer): Buffer {
    const end = query.indexOf(0, 12) + 5;
    const question = query.subarray(12, end);
    const isV4 = question.readUInt16BE(question.length - 4) === 1;
    const head = Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 1, 0, isV4 ? 1 : 0, 0, 0, 0, 0])]);
    return Buffer.concat([head, question, ...(isV4 ? [Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1])] : [])]);
  }
});
