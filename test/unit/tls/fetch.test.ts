import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { Fetcher, isFetchable } from '../../../src/tls/fetch.ts';
import { fileServer } from '../../support/revocation.ts';
import type { FileServer } from '../../support/revocation.ts';

const limits = limitsWith();
const bounds = { bytesMax: 1_000, timeMs: 2_000 };
let server: FileServer;

beforeAll(async () => { server = await fileServer(); });
afterAll(() => server.close());

describe('fetch', () => {
  test('gets, and posts', async () => {
    server.files.set('/a', Buffer.from('here'));
    const fetcher = new Fetcher({ limits, allowLocal: true });
    expect(String(await fetcher.fetch(`${server.base}/a`, bounds))).toBe('here');
    expect(String(await fetcher.fetch(`http://localhost:${String(server.port)}/a`, bounds, { type: 'text/plain', bytes: Buffer.from('word') }))).toBe('here');
    expect(server.requests.slice(-2)).toEqual(['GET /a', 'POST /a']);
    expect(String(server.bodies.at(-1))).toBe('word');
  });

  test.each([['404', 404], ['a redirect', 302], ['500', 500]])('%s is nothing, and leads nowhere', async (_label, status) => {
    server.files.set('/status', status);
    server.files.set('/elsewhere', Buffer.from('elsewhere'));
    expect(await new Fetcher({ limits, allowLocal: true }).fetch(`${server.base}/status`, bounds)).toBeNull();
    expect(server.requests.at(-1)).toBe('GET /status');
  });

  test('more than it may take is nothing', async () => {
    server.files.set('/large', Buffer.alloc(1_001));
    server.files.set('/just', Buffer.alloc(1_000));
    const fetcher = new Fetcher({ limits, allowLocal: true });
    expect(await fetcher.fetch(`${server.base}/large`, bounds)).toBeNull();
    expect((await fetcher.fetch(`${server.base}/just`, bounds))?.length).toBe(1_000);
  });

  test('silence ends at the time limit', async () => {
    server.files.set('/silent', 'silence');
    const startedAt = performance.now();
    expect(await new Fetcher({ limits, allowLocal: true }).fetch(`${server.base}/silent`, { ...bounds, timeMs: 100 })).toBeNull();
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  test('no more at once than the limit', async () => {
    server.files.set('/slow', () => new Promise((resolve) => setTimeout(() => resolve(Buffer.from('late')), 50)));
    const fetcher = new Fetcher({ limits: limitsWith({ certificateFetchesMax: 2 }), allowLocal: true });
    const answers = await Promise.all([1, 2, 3].map(() => fetcher.fetch(`${server.base}/slow`, bounds)));
    expect(answers.map((answer) => answer === null)).toEqual([false, false, true]);
    expect(await fetcher.fetch(`${server.base}/slow`, bounds)).not.toBeNull();
  });
});

describe('this machine is out of reach', () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []).find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.2';

  test.each(['127.0.0.1', '127.9.9.9', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '169.254.169.254', '2130706433', own])('%s', async (host) => {
    const before = server.requests.length;
    const startedAt = performance.now();
    expect(await new Fetcher({ limits, allowLocal: false }).fetch(`http://${host}:${String(server.port)}/a`, bounds)).toBeNull();
    expect(server.requests.length).toBe(before);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('nor is a proxy sent to its own machine', () => {
  test.each(['localhost', 'LocalHost', 'localhost.', 'crl.localhost', '127.0.0.1'])('%s', async (host) => {
    server.files.set(`http://${host.toLowerCase()}/a`, Buffer.from('here'));
    const httpProxy = { origin: server.base, authorization: null };
    const unopened: string[] = [];
    const open = async (name: string): Promise<never> => { unopened.push(name); throw new Error('opened'); };
    const before = server.requests.length;
    for (const way of [{ resolve: async () => [], httpProxy, open: null }, { resolve: async () => [], httpProxy: null, open }]) {
      expect(await new Fetcher({ limits, allowLocal: false, way }).fetch(`http://${host}/a`, bounds)).toBeNull();
    }
    expect([server.requests.length - before, unopened]).toEqual([0, []]);
    await new Fetcher({ limits, allowLocal: true, way: { resolve: async () => [], httpProxy, open: null } }).fetch(`http://${host}/a`, bounds);
    expect(server.requests.length - before).toBe(1);
  });

  test('names that only end alike are fetched through it', async () => {
    const before = server.requests.length;
    await new Fetcher({ limits, allowLocal: false, way: { resolve: async () => ['127.0.0.1'], httpProxy: { origin: server.base, authorization: null }, open: null } }).fetch('http://notlocalhost/a', bounds);
    expect(server.requests.length - before).toBe(1);
  });
});

test.each([
  ['http://a.example/x.crl', true], ['https://a.example/x.crl', false], ['ldap:///CN=x', false], ['file:///etc/passwd', false], ['', false], ['http://', false],
  [`http://a.example/${'x'.repeat(3_000)}`, false],
])('isFetchable %s', (url, fetchable) => {
  expect(isFetchable(url)).toBe(fetchable);
});
