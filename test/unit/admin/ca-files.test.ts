import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { proxyPac } from '../../../src/admin/ca-files.ts';
import { startTestAdmin } from './support.ts';

let folder = '';
let pem = '';
let der = Buffer.alloc(0);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-ca-'));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=Test CA', '-keyout', join(folder, 'key'), '-out', join(folder, 'ca.pem')], { stdio: 'ignore' });
  pem = readFileSync(join(folder, 'ca.pem'), 'utf8');
  der = execFileSync('openssl', ['x509', '-in', join(folder, 'ca.pem'), '-outform', 'DER']);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('files for clients', () => {
  it('are served to anybody, as they are', async () => {
    const admin = await startTestAdmin({ ca: () => ({ pem, der }), mobileConfig: () => '<plist/>', proxyPort: 3128 });
    const headers = { host: 'gateway.example:9090' };
    expect(await admin.ask('/ca.pem', { headers })).toMatchObject({ status: 200, text: pem });
    expect(Buffer.from(await (await fetch(`${admin.base}/ca.der`)).arrayBuffer()).equals(der)).toBe(true);
    const pac = await admin.ask('/proxy.pac', { headers });
    expect(pac).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-ns-proxy-autoconfig' } });
    expect(pac.text).toContain('PROXY gateway.example:3128');
    expect((await admin.ask('/proxy.pac', { headers: { host: 'a"b' } })).status).toBe(400);
    expect(await admin.ask('/ca.mobileconfig', { headers })).toMatchObject({ text: '<plist/>', headers: { 'content-type': 'application/x-apple-aspen-config' } });
    await admin.close();
  });

  it('do not exist when there is nothing to give', async () => {
    const admin = await startTestAdmin();
    for (const path of ['/ca.pem', '/ca.der', '/ca.mobileconfig', '/proxy.pac']) expect((await admin.ask(path)).status).toBe(404);
    await admin.close();
  });

  it('the proxy file runs, and sends names to the proxy and the gateway itself direct', () => {
    const find = (script: string, host: string): unknown => runInNewContext(`${script}; FindProxyForURL("https://" + host + "/", host)`, { host, isPlainHostName: (name: string) => !name.includes('.') });
    expect(find(proxyPac('10.0.0.1', 3128), 'a.example')).toBe('PROXY 10.0.0.1:3128');
    expect(find(proxyPac('2001:db8::1', 3128), 'a.example')).toBe('PROXY [2001:db8::1]:3128');
    expect(find(proxyPac('10.0.0.1', 3128), '10.0.0.1')).toBe('DIRECT');
    expect(find(proxyPac('10.0.0.1', 3128), 'printer')).toBe('DIRECT');
  });
});
