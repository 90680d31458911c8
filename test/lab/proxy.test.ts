// The explicit HTTP proxy with real clients: curl, Python and wget through absolute requests and CONNECT, with and without a login,
// revocation data by its name, pages for what is refused.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { visitWithChromium } from './support/browsers.ts';
import { labConfig } from './support/config.ts';
import { curlWith, gatewayAt, loginServices, openServices, user } from './support/explicit.ts';
import { address } from './support/names.ts';
import { greeting, makeBigFile, startNginx, uploadedFile } from './support/peers/nginx.ts';
import { startCoturn } from './support/peers/coturn.ts';
import { startSmallServers } from './support/peers/small.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** A TURN Allocate request without credentials: REQUESTED-TRANSPORT is UDP (RFC 8656 section 18.7). */
const allocate = Buffer.from('000300082112a4420102030405060708090a0b0c0019000411000000', 'hex');
const bigBytes = 64 * 1024 * 1024;
let bigHash = '';

labFile('explicit proxy', async ({ lab, certificates }) => {
  bigHash = makeBigFile(lab.server, bigBytes);
  await startNginx(lab.server, certificates);
  await startSmallServers(lab.server, certificates.server);
  await startCoturn(lab.server, certificates.server);
}, (file) => {
  const plain = `http://${address('plain').name}`;
  const https = `https://${address('https').name}`;
  const crl = address('crl').name;

  describe('open to everyone', () => {
    const at = gatewayFor(file, {
      mode: 'redirect', crl: { host: crl }, services: openServices,
      policy: { connection: [{ name: 'closed', when: { destination: '10.77.2.99' }, then: 'deny' }], http: [{ name: 'admin', when: { path: '/admin*' }, then: 'deny', status: 451 }] },
    });
    const ask = (more: readonly string[]) => curlWith(file.lab.client, ['-x', `http://${gatewayAt(3128)}`, '--cacert', at.gateway.caFile, ...more]);

    it('curl fetches over plain http, several requests on one connection', async () => {
      const { result, sessions } = await at.gateway.during(() => ask([`${plain}/`, `${plain}/`, `${plain}/`]));
      expect([result.code, result.stdout, result.stderr]).toEqual([0, greeting('plain').repeat(3), '']);
      expect(sessions).toMatchObject([{
        service: 'proxy', protocol: 'http', chain: ['http-explicit', 'http'], action: 'handoff', error: null, state: 'closed',
        destination: { host: address('plain').name, port: 80 }, details: { http: { requests: 3, method: 'GET', status: 200 } },
      }]);
    });

    it('curl fetches https by CONNECT, opened and looked into', async () => {
      const { result, sessions } = await at.gateway.during(() => ask([`${https}/`]));
      expect([result.code, result.stdout, result.stderr]).toEqual([0, greeting('https'), '']);
      expect(sessions).toMatchObject([{ service: 'proxy', protocol: 'h2', chain: ['http-explicit', 'tls', 'h2'], action: 'intercept', error: null, tls: { leaf: { mirrored: true } } }]);
    });

    it('Chromium fetches https by CONNECT', async () => {
      const { result, sessions } = await at.gateway.during(() => visitWithChromium(file.lab.client, { url: `${https}/`, rootFile: at.gateway.caFile, proxy: gatewayAt(3128) }));
      expect(result.stdout).toContain(greeting('https').trim());
      const { name } = address('https');
      expect(sessions.filter(({ sni }) => sni === name)).toContainEqual(expect.objectContaining({
        service: 'proxy', chain: ['http-explicit', 'tls', 'h2'], action: 'intercept', error: null, destination: expect.objectContaining({ host: name, port: 443 }),
      }));
    });

    it('Chromium learns the proxy from the file on the CRL listener', async () => {
      const pac = `http://${gatewayAt(9080)}/proxy.pac`;
      const { result, sessions } = await at.gateway.during(() => visitWithChromium(file.lab.client, { url: `${https}/`, rootFile: at.gateway.caFile, pac }));
      expect(result.stdout).toContain(greeting('https').trim());
      const { name } = address('https');
      expect(sessions.filter(({ sni }) => sni === name)).toContainEqual(expect.objectContaining({ service: 'proxy', chain: ['http-explicit', 'tls', 'h2'], error: null }));
    });

    it('a large body comes and goes unchanged', async () => {
      const got = join(file.lab.client.folder, 'got');
      expect((await ask(['-o', got, `${plain}/big`])).code).toBe(0);
      expect(createHash('sha256').update(readFileSync(got)).digest('hex')).toBe(bigHash);
      for (const more of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect: 100-continue']]) {
        const sent = await ask(['-T', got, ...more, '-o', '/dev/null', '-w', '%{http_code}', `${plain}/upload/got`]);
        expect([sent.code, ['201', '204'].includes(sent.stdout)]).toEqual([0, true]);
        expect(createHash('sha256').update(readFileSync(uploadedFile(file.lab.server, 'got'))).digest('hex')).toBe(bigHash);
      }
    });

    it('HEAD, and a server of HTTP/1.0 clients', async () => {
      expect((await ask(['-I', `${plain}/`])).stdout).toMatch(/^HTTP\/1\.1 200 OK\r\nServer: nginx/);
      expect((await ask(['-0', `${plain}/`])).stdout).toBe(greeting('plain'));
    });

    it('Python and wget', async () => {
      const proxies = { http_proxy: `http://${gatewayAt(3128)}`, https_proxy: `http://${gatewayAt(3128)}`, SSL_CERT_FILE: at.gateway.caFile };
      const program = 'import sys, urllib.request\nfor url in sys.argv[1:]: print(urllib.request.urlopen(url, timeout=20).read().decode(), end="")';
      const python = await file.lab.client.run(['python3', '-c', program, `${plain}/`, `${https}/`], { env: proxies });
      expect([python.stdout, python.code]).toEqual([greeting('plain') + greeting('https'), 0]);
      const wget = await file.lab.client.run(['wget', '-q', '-O', '-', `--ca-certificate=${at.gateway.caFile}`, `${plain}/`, `${https}/`], { env: proxies });
      expect([wget.stdout, wget.code]).toEqual([greeting('plain') + greeting('https'), 0]);
    });

    it('revocation data by its name, plainly and inside CONNECT, without a dial', async () => {
      for (const more of [[], ['-p']]) {
        const { result, sessions } = await at.gateway.during(() => ask([...more, '-o', '/dev/null', '-w', '%{http_code} %{content_type}', `http://${crl}/ssl/crl/issuer_CA.crl`]));
        expect([result.code, result.stdout]).toEqual([0, '200 application/pkix-crl']);
        expect(sessions).toMatchObject([{ error: null, bytes: { fromUpstream: 0, toUpstream: 0 } }]);
      }
    });

    it('what is refused is told on a page', async () => {
      const told = async (more: readonly string[]): Promise<string> => (await ask(['-w', '\n%{http_code}', ...more])).stdout;
      expect(await told([`${plain}/administrator`])).toMatch(/REQUEST_DENIED[\s\S]*\n451$/);
      expect(await told(['http://10.77.2.99/'])).toMatch(/CONNECTION_DENIED[\s\S]*\n403$/);
      expect(await told([`http://${address('refused').name}/`])).toMatch(/DIAL_REFUSED[\s\S]*\n502$/);
      expect(await told(['http://nowhere.lab.test/'])).toMatch(/DNS_FAILED[\s\S]*\n502$/);
      expect(await told([`http://${gatewayAt(3128)}/`])).toMatch(/DIAL_LOOP[\s\S]*\n502$/);
      const bare = await curlWith(file.lab.client, ['-w', '\n%{http_code}', '-H', 'Accept: text/html', `http://${gatewayAt(3128)}/`]);
      expect(bare.stdout).toMatch(/<html[\s\S]*this is a proxy[\s\S]*\n400$/);
      const tunnel = await ask([`https://${address('refused').name}/`]);
      expect(tunnel.stderr).toContain('502');
    });

    it('metrics count the requests', async () => {
      expect(await at.gateway.metric('http_requests_total', { protocol: 'http', method: 'GET', status: '2xx' })).toBeGreaterThan(0);
    });
  });

  describe('behind a login', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, stateFolder) => labConfig(certificates, stateFolder, {
        mode: 'redirect', services: loginServices(join(file.lab.gateway.folder, 'users')),
        policy: {
          // The reference's policy that denies unknown protocols.
          protocol: [
            { name: 'unknown inside', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn', 'turns'] } }, then: 'deny' },
            { name: 'undetected', when: { tls: 'none', protocol: ['undetected'] }, then: 'deny' },
          ],
        },
      }),
    });
    const ask = (more: readonly string[]) => curlWith(file.lab.client, ['-x', `http://${gatewayAt(3129)}`, '--cacert', at.gateway.caFile, ...more]);
    const login = ['-U', `${user.name}:${user.password}`];

    it('B#243333: with the policy that denies unknown protocols, authenticated HTTPS works', async () => {
      const { result, sessions } = await at.gateway.during(() => ask([...login, `${https}/`]));
      expect([result.code, result.stdout, result.stderr]).toEqual([0, greeting('https'), '']);
      expect(sessions).toMatchObject([{ protocol: 'h2', chain: ['http-explicit', 'tls', 'h2'], action: 'intercept', user: user.name, error: null }]);
    });

    it('plain requests, after a challenge as well', async () => {
      for (const way of ['--proxy-basic', '--proxy-anyauth']) {
        const { result, sessions } = await at.gateway.during(() => ask([way, ...login, `${plain}/`, `${plain}/`]));
        expect([result.code, result.stdout]).toEqual([0, greeting('plain').repeat(2)]);
        expect(sessions).toMatchObject([{ user: user.name, error: null }]);
      }
      expect((await ask(['--proxy-anyauth', ...login, `${https}/`])).stdout).toBe(greeting('https'));
    });

    it('SIP inside CONNECT is its user\'s, and hears its server and no challenge of HTTP', async () => {
      const { name } = address('echo');
      const request = [`OPTIONS sip:${name} SIP/2.0`, 'Via: SIP/2.0/TLS 10.77.1.2;branch=z9hG4bK1', 'From: <sip:a@lab.test>;tag=1', `To: <sip:${name}>`, 'Call-ID: 1@lab.test', 'CSeq: 1 OPTIONS', 'Max-Forwards: 70', 'Content-Length: 0', '', ''].join('\r\n');
      const { result, sessions } = await at.gateway.during(async () => {
        const through = ['-proxy', gatewayAt(3129), '-proxy_user', user.name, '-proxy_pass', `pass:${user.password}`];
        const client = await file.lab.client.spawn('sip', ['openssl', 's_client', '-quiet', '-verify_return_error', '-CAfile', at.gateway.caFile, '-servername', name, '-connect', `${name}:443`, ...through], { input: true });
        client.write(request);
        await client.waitForOutput(/Content-Length: 0\r\n\r\n/, 20_000);
        await client.stop();
        return client.output();
      });
      expect(result).toContain(request);
      expect(result).not.toContain('HTTP/');
      expect(sessions).toMatchObject([{ protocol: 'sips', chain: ['http-explicit', 'tls', 'sips'], action: 'intercept', user: user.name }]);
    });

    it('TURN inside CONNECT is its user\'s, and hears its server\'s challenge and none of HTTP', async () => {
      const { name } = address('turns');
      const { result, sessions } = await at.gateway.during(async () => {
        const through = ['-proxy', gatewayAt(3129), '-proxy_user', user.name, '-proxy_pass', `pass:${user.password}`];
        const client = await file.lab.client.spawn('turn', ['openssl', 's_client', '-quiet', '-verify_return_error', '-CAfile', at.gateway.caFile, '-servername', name, '-connect', `${name}:443`, ...through], { input: true });
        client.write(allocate);
        await client.waitForOutput(/Unauthorized/, 20_000);
        await client.stop();
        return client.output();
      }, { waitMs: 20_000 });
      expect(result).toContain('lab.test');
      expect(result).not.toContain('HTTP/');
      expect(sessions).toMatchObject([{ protocol: 'turns', chain: ['http-explicit', 'tls', 'turns'], action: 'intercept', user: user.name, details: { turn: { allocations: [{ result: 'challenged', errorCode: 401 }] } } }]);
    });

    it('without the right password there is a challenge and nothing else', async () => {
      for (const more of [[], ['-U', `${user.name}:wrong`], ['-U', 'nobody:x']]) {
        const { result, sessions } = await at.gateway.during(() => ask([...more, '-i', `${plain}/`]));
        expect(result.stdout).toMatch(/^HTTP\/1\.1 407 Proxy Authentication Required\r\n[\s\S]*Proxy-Authenticate: Basic realm="The lab"/);
        expect(sessions).toMatchObject([{ error: 'AUTH_REQUIRED', user: null, bytes: { toUpstream: 0 } }]);
      }
      expect((await ask([`${https}/`])).stderr).toContain('407');
    });

    it('a changed password counts without a restart', async () => {
      writeFileSync(join(file.lab.gateway.folder, 'users'), (await file.lab.gateway.mustRun(['htpasswd', '-nbB', '-C', '5', user.name, 'other'])));
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      expect((await ask([...login, '-o', '/dev/null', '-w', '%{http_code}', `${plain}/`])).stdout).toBe('407');
      expect((await ask(['-U', `${user.name}:other`, `${plain}/`])).stdout).toBe(greeting('plain'));
    });
  });
});
