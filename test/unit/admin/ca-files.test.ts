import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mobileConfig, proxyPac } from '../../../src/admin/ca-files.ts';
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
    const admin = await startTestAdmin({ ca: () => ({ pem, der }), proxyPort: 3128 });
    const headers = { host: 'gateway.example:9090' };
    expect(await admin.ask('/ca.pem', { headers })).toMatchObject({ status: 200, text: pem });
    expect(Buffer.from(await (await fetch(`${admin.base}/ca.der`)).arrayBuffer()).equals(der)).toBe(true);
    const pac = await admin.ask('/proxy.pac', { headers });
    expect(pac).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-ns-proxy-autoconfig' } });
    expect(pac.text).toContain('PROXY gateway.example:3128');
    expect((await admin.ask('/proxy.pac', { headers: { host: 'a"b' } })).status).toBe(400);
    expect((await admin.ask('/ca.mobileconfig', { headers })).headers['content-type']).toBe('application/x-apple-aspen-config');
    await admin.close();
  });

  it('do not exist when there is nothing to give', async () => {
    const admin = await startTestAdmin();
    for (const path of ['/ca.pem', '/ca.der', '/ca.mobileconfig', '/proxy.pac']) expect((await admin.ask(path)).status).toBe(404);
    await admin.close();
  });

  it('the profile is well-formed XML that holds the certificate, and is the same each time', () => {
    const profile = mobileConfig(der);
    execFileSync('python3', ['-c', 'import plistlib,sys; p=plistlib.loads(sys.stdin.buffer.read()); assert p["PayloadContent"][0]["PayloadType"]=="com.apple.security.root"; sys.exit(0 if p["PayloadContent"][0]["PayloadContent"]==open(sys.argv[1],"rb").read() else 3)', write(der)], { input: profile });
    expect(mobileConfig(der)).toBe(profile);
  });

  it('the proxy file runs, and sends names to the proxy and the gateway itself direct', () => {
    const find = (script: string, host: string): unknown => runInNewContext(`${script}; FindProxyForURL("https://" + host + "/", host)`, { host, isPlainHostName: (name: string) => !name.includes('.') });
    expect(find(proxyPac('10.0.0.1', 3128), 'a.example')).toBe('PROXY 10.0.0.1:3128');
    expect(find(proxyPac('2001:db8::1', 3128), 'a.example')).toBe('PROXY [2001:db8::1]:3128');
    expect(find(proxyPac('10.0.0.1', 3128), '10.0.0.1')).toBe('DIRECT');
    expect(find(proxyPac('10.0.0.1', 3128), 'printer')).toBe('DIRECT');
  });
});

function write(bytes: Buffer): string {
  const path = join(folder, 'check.der');
  execFileSync('tee', [path], { input: bytes });
  return path;
}
