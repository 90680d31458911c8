// The demo's registrar: a whole conversation with the demo's client over TLS, and what each refuses.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runSipClient } from '../../../demo/sip-client.ts';
import { startSipServer } from '../../../demo/sip-server.ts';
import type { SipServer } from '../../../demo/sip-server.ts';
import { Reader } from '../sip/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'sip-demo-'));
let key = '';
let cert = '';
let server: SipServer;

beforeAll(async () => {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=sip.demo.test', '-addext', 'subjectAltName=DNS:sip.demo.test', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
  key = readFileSync(join(folder, 'key.pem'), 'utf8');
  cert = readFileSync(join(folder, 'cert.pem'), 'utf8');
  server = await startSipServer({ host: '127.0.0.1', port: 0, key, cert });
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const client = (more: Partial<Parameters<typeof runSipClient>[0]> = {}) => runSipClient({ host: '127.0.0.1', port: server.port, ca: cert, servername: 'sip.demo.test', timeoutMs: 3000, ...more });

describe('a conversation', () => {
  test('registers, keeps alive, asks options, calls and hangs up', async () => {
    expect(await client()).toEqual({
      failure: null, tls: { version: 'TLSv1.3', issuer: 'sip.demo.test' }, register: { statuses: [401, 200], expiresSeconds: 600 }, pongMs: expect.any(Number), options: 200, invite: [100, 180, 200], bye: 200,
    });
    expect(server.registered()).toEqual(['alice']);
  });

  test('goes over a way that the caller brings', async () => {
    const way = connect({ host: '127.0.0.1', port: server.port });
    expect(await client({ connect: () => Promise.resolve(way), port: 1 })).toMatchObject({ failure: null, bye: 200 });
    expect(way.bytesRead).toBeGreaterThan(1000);
  });
});

describe('refusals', () => {
  test('a wrong password is challenged again, not registered', async () => {
    expect(await client({ user: 'bob', password: 'wrong' })).toMatchObject({ failure: 'not registered: 401, 401', register: { statuses: [401, 401], expiresSeconds: null } });
    expect(server.registered()).not.toContain('bob');
  });

  test('the client refuses a certificate it does not trust, and a wrong name', async () => {
    expect(await client({ ca: [] as never })).toMatchObject({ failure: expect.stringMatching(/^self-signed certificate/), tls: null });
    expect((await client({ servername: 'other.demo.test' })).failure).toMatch(/altnames/);
  });

  test('the client says so when the other end falls silent or closes', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    expect(await client({ port: address.port, timeoutMs: 100 })).toMatchObject({ failure: 'the SIP server fell silent' });
    silent.close();
  });

  test('the server closes on what is no SIP, and answers an unknown method with 501', async () => {
    const socket = tlsConnect({ host: '127.0.0.1', port: server.port, servername: 'sip.demo.test', ca: cert });
    const reader = new Reader(socket);
    socket.write('PUBLISH sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 PUBLISH\r\nl: 0\r\n\r\n');
    await reader.until((seen) => seen.text.startsWith('SIP/2.0 501 Not Implemented\r\nVia: SIP/2.0/TLS x;branch=z9hG4bK1\r\n'));
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await reader.until((seen) => seen.ended);
    socket.destroy();
  });
});
