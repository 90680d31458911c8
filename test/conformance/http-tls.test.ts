// Both HTTP handlers on TLS sockets, as after an interception: real curl against a node:http2 origin that speaks both.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Flow, Handled } from '../../src/core/flow.ts';
import { exchangeHttp1 } from '../../src/http/h1.ts';
import { exchangeHttp2 } from '../../src/http/h2.ts';
import { issueServer, makeRoot } from '../support/certs.ts';
import { depsFor, listen, sessionFor } from '../unit/http/harness.ts';

const root = makeRoot('HTTP test root');
const leaf = issueServer(root, { names: ['localhost'] });
const identity = { cert: leaf.certPem, key: leaf.keyPem };
const uploadBytes = 24 * 1024 * 1024;
/** Noise, so that a byte out of place shows. */
const large = createHash('shake256', { outputLength: uploadBytes }).update('http-tls').digest();
const largeHash = createHash('sha256').update(large).digest('hex');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-http-'));
const rootFile = join(folder, 'root.pem');
const uploadFile = join(folder, 'upload');
let originPort = 0;
let gatewayPort = 0;
const results: unknown[] = [];
const closers: (() => void)[] = [];

beforeAll(async () => {
  writeFileSync(rootFile, root.certPem);
  writeFileSync(uploadFile, large);
  closers.push(() => rmSync(folder, { recursive: true }));
  const origin = http2.createSecureServer({ ...identity, allowHTTP1: true }, (request, response) => answer(request, response));
  originPort = await listen(origin as unknown as net.Server);
  const gateway = tls.createServer({ ...identity, ALPNProtocols: ['h2', 'http/1.1'], allowHalfOpen: true, pauseOnConnect: true }, (client) => void run(client));
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  gatewayPort = (gateway.address() as AddressInfo).port;
  closers.push(() => origin.close(), () => gateway.close());
});

afterAll(() => {
  for (const close of closers) close();
});

function answer(request: Http2ServerRequest, response: Http2ServerResponse): void {
  let received = 0;
  const hash = createHash('sha256');
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    hash.update(chunk);
  });
  request.on('end', () => {
    if (request.url === '/large') response.end(large);
    else if (request.url === '/up') response.end(`${request.httpVersion} ${request.method} ${hash.digest('hex')}`);
    else response.end(`${request.httpVersion} ${request.method} ${String(received)}`);
  });
}

async function run(client: tls.TLSSocket): Promise<void> {
  const protocol = client.alpnProtocol === 'h2' ? 'h2' : 'http/1.1';
  const upstream = await new Promise<tls.TLSSocket>((resolve) => {
    const options = { port: originPort, host: '127.0.0.1', ca: root.certPem, servername: 'localhost', ALPNProtocols: [protocol], allowHalfOpen: true };
    const socket = tls.connect(options, () => resolve(socket));
  });
  const flow: Flow = { session: { ...sessionFor(), sni: 'localhost' }, raw: client as Socket, client, upstream, depth: 1, insideTls: true, repliedBytes: 0 };
  const handle: Promise<Handled> = protocol === 'h2' ? exchangeHttp2(flow, depsFor()) : exchangeHttp1(flow, depsFor());
  results.push(await handle.catch((caught: unknown) => caught));
}

function curl(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const all = ['-sS', '--cacert', rootFile, '--resolve', `localhost:${String(gatewayPort)}:127.0.0.1`, '--max-time', '30', ...args];
    execFile('curl', all, { maxBuffer: uploadBytes * 2, encoding: 'latin1' }, (error, stdout, stderr) => (error === null ? resolve(stdout) : reject(new Error(`${error.message} ${stderr}`))));
  });
}

describe.each([['--http1.1', '1.1'], ['--http2', '2.0']])('curl %s', (flag, version) => {
  const url = (path: string): string => `https://localhost:${String(gatewayPort)}${path}`;

  test('asks several times on one connection', async () => {
    const before = results.length;
    expect(await curl(flag, url('/a'), url('/b'), url('/c'))).toBe(`${version} GET 0`.repeat(3));
    await expect.poll(() => results.slice(before)).toEqual(['done']);
  });

  test('downloads and uploads what is large', async () => {
    const before = results.length;
    expect(createHash('sha256').update(await curl(flag, url('/large')), 'latin1').digest('hex')).toBe(largeHash);
    expect(await curl(flag, '-X', 'POST', '--data-binary', `@${uploadFile}`, url('/up'))).toBe(`${version} POST ${largeHash}`);
    await expect.poll(() => results.slice(before)).toEqual(['done', 'done']);
  });
});
