import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { pacFor } from '../../../src/admin/ca-files.ts';
import { startRevocationListener } from '../../../src/certs/listener.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { Limits } from '../../../src/core/limits.ts';
import { openBench } from './helpers.ts';

async function bench(limits: Limits = limitsWith()) {
  const { certificates } = await openBench();
  const listener = await startRevocationListener({ host: '127.0.0.1', port: 0, revocation: certificates.revocation, limits });
  onTestFinished(() => listener.close());
  return { certificates, listener, url: `http://127.0.0.1:${listener.port}` };
}

/** Sends bytes, answers what comes back until the other side closes. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(text);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

describe('the listener', () => {
  it('serves what the endpoints answer, HEAD included', async () => {
    const { url, certificates } = await bench();
    const crl = await fetch(`${url}/ssl/crl/issuer_CA.crl`);
    expect(Buffer.from(await crl.arrayBuffer())).toEqual(certificates.revocation.answer('GET', '/ssl/crl/issuer_CA.crl', null).body);
    const head = await fetch(`${url}/ssl/crl/issuer_CA.crl`, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(crl.headers.get('content-length'));
    expect(await (await fetch(`${url}/ca.pem`)).text()).toBe(certificates.caPem);
    const ocsp = await fetch(`${url}/ocsp`, { method: 'POST', body: Buffer.from('junk') });
    expect([ocsp.status, ocsp.headers.get('content-type')]).toEqual([200, 'application/ocsp-response']);
    expect((await fetch(`${url}/other`)).status).toBe(404);
  });

  it('serves the proxy file that names the host by which it was asked, and none where there is no proxy', async () => {
    const { certificates, url: without } = await bench();
    expect((await fetch(`${without}/proxy.pac`)).status).toBe(404);
    const listener = await startRevocationListener({
      host: '127.0.0.1', port: 0, revocation: certificates.revocation, limits: limitsWith(), proxyPac: (host) => pacFor(host, 3128),
    });
    onTestFinished(() => listener.close());
    const pac = await fetch(`http://127.0.0.1:${listener.port}/proxy.pac`);
    expect([pac.status, pac.headers.get('content-type')]).toEqual([200, 'application/x-ns-proxy-autoconfig']);
    expect(await pac.text()).toContain('PROXY 127.0.0.1:3128');
    expect(await exchange(listener.port, 'GET /proxy.pac HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('serves HTTP/1.0 without Host, any Host, and the absolute form', async () => {
    const { listener } = await bench();
    expect(await exchange(listener.port, 'GET /ca.pem HTTP/1.0\r\n\r\n')).toContain('BEGIN CERTIFICATE');
    expect(await exchange(listener.port, 'GET http://other.example/ca.pem HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n')).toContain('BEGIN CERTIFICATE');
    expect(await exchange(listener.port, 'GET http://other.example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toContain(' 404 ');
  });

  it('refuses large heads and bodies, and drops what is not HTTP', async () => {
    const { listener } = await bench(limitsWith({ crlRequestBytesMax: 1024, ocspRequestBytesMax: 256 }));
    const tooLong = await exchange(listener.port, `GET /ocsp/${'A'.repeat(5000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(tooLong).not.toContain(' 200 ');
    expect(await exchange(listener.port, `POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'A'.repeat(2000)}`)).toContain(' 413 ');
    expect(await exchange(listener.port, '\x16\x03\x01\x02\x00\x01\r\n\r\n')).not.toContain(' 200 ');
  });

  it('drops clients that stall', async () => {
    const { listener } = await bench(limitsWith({ crlRequestMs: 200 }));
    const begun = Date.now();
    await exchange(listener.port, 'GET /ca.pem HTTP/1.1\r\nHo');
    expect(Date.now() - begun).toBeLessThan(3000);
  });

  it('survives a flood of connections beyond its limit', async () => {
    const { listener, url } = await bench(limitsWith({ crlConnectionsMax: 4 }));
    const sockets = Array.from({ length: 20 }, () => connect(listener.port, '127.0.0.1').on('error', () => undefined));
    await wait(100);
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await fetch(`${url}/ca.pem`).catch(() => null))?.status).toBe(200);
  });

  it('says what it could not bind, and closes with connections open', async () => {
    const { listener, certificates } = await bench();
    await expect(startRevocationListener({ host: '127.0.0.1', port: listener.port, revocation: certificates.revocation, limits: limitsWith() })).rejects.toThrow(/issuer\.crl\.listen: cannot listen on 127\.0\.0\.1 port/);
    const idle = connect(listener.port, '127.0.0.1').on('error', () => undefined);
    await once(idle, 'connect');
    await listener.close();
    if (!idle.destroyed) await once(idle, 'close');
  });
});
