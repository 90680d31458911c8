// Real web clients through a real gateway: curl and Python fetch from nginx, trusting only the gateway's CA; over REDIRECT and TPROXY,
// IPv4 and IPv6, TLS 1.2 and 1.3.

import { describe, expect, it } from 'vitest';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { labRules, modes } from './support/config.ts';
import { address, network } from './support/names.ts';
import { greeting, makeBigFile, startNginx, uploadedFile } from './support/peers/nginx.ts';
import { curl, python } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const miB = 1024 * 1024;
const bigBytes = 256 * miB;
const uploadBytes = 3 * miB;
/** Nothing of a download is kept: what grows is buffers of both sockets, TLS and garbage not yet collected. */
const memoryGrowthBytesMax = 96 * miB;
let bigHash = '';

labFile('https', async ({ lab, certificates }) => {
  bigHash = makeBigFile(lab.server, bigBytes);
  await startNginx(lab.server, certificates);
}, (file) => {
  describe.each(modes)('through %s', (mode) => {
    const at = gatewayFor(file, { mode });

    describe.each(['1.2', '1.3'])('curl with TLS %s', (version) => {
      it.each([['-4', 'IPv4'], ['-6', 'IPv6']])('%s', async (family) => {
        const request = { server: 'https', caFile: at.gateway.caFile, more: [family, `--tlsv${version}`, '--tls-max', version] } as const;
        const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, request));
        expect([result.code, result.stdout, result.stderr]).toEqual([0, greeting('https'), '']);
        const { v4, v6, name } = address('https');
        expect(sessions).toMatchObject([{
          service: 'https', protocol: 'https', chain: ['tls', 'https'], action: 'intercept', rule: labRules.ssl, error: null, tunnelledOnError: null,
          state: 'closed', sni: name, destination: { ip: family === '-4' ? v4 : v6, port: 443 },
          client: { ip: family === '-4' ? network.clients[0] : network.client6 },
          tls: {
            client: { version: `TLSv${version}`, alpn: 'http/1.1' },
            upstream: { version: `TLSv${version}`, alpn: 'http/1.1', name: 'verified', problems: [] },
            leaf: { mirrored: true },
          },
          details: { http: { requests: 1, method: 'GET', host: name, status: 200 } },
        }]);
      });
    });

    describe('HTTP/2', () => {
      it('curl speaks it with a server that does', async () => {
        const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile, http: '2' }));
        expect([result.code, result.stdout, result.facts.version]).toEqual([0, greeting('https'), '2']);
        expect(sessions).toMatchObject([{
          protocol: 'h2', chain: ['tls', 'h2'], action: 'intercept', error: null,
          tls: { client: { alpn: 'h2' }, upstream: { alpn: 'h2' } }, details: { http: { requests: 1, method: 'GET', status: 200 } },
        }]);
      });

      it('curl falls back with a server that does not', async () => {
        const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'tls12', caFile: at.gateway.caFile, http: '2' }));
        expect([result.code, result.stdout, result.facts.version]).toEqual([0, greeting('tls12'), '1.1']);
        expect(sessions).toMatchObject([{ protocol: 'https', error: null }]);
      });

      it('256 MiB arrive intact with bounded memory', async () => {
        const before = at.gateway.memoryBytes();
        const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', path: '/big', caFile: at.gateway.caFile, http: '2' }));
        expect([result.code, result.hash]).toEqual([0, bigHash]);
        expect(sessions).toMatchObject([{ protocol: 'h2', error: null }]);
        expect(at.gateway.memoryBytes() - before).toBeLessThan(memoryGrowthBytesMax);
      });
    });

    it.each(['tls12', 'tls13'] as const)('curl meets a server that speaks only %s', async (server) => {
      const { code, stdout } = await curl(file.lab.client, { server, caFile: at.gateway.caFile });
      expect([code, stdout]).toEqual([0, greeting(server)]);
    });

    it.each([[false, undefined], [true, undefined], [true, 'TLSv1_2'], [true, 'TLSv1_3']] as const)('Python (strict %s, %s)', async (strict, version) => {
      const request = { server: 'https', caFile: at.gateway.caFile, strict, ...(version === undefined ? {} : { version }) } as const;
      const { result, sessions } = await at.gateway.during(() => python(file.lab.client, request));
      expect([result.code, result.stderr]).toEqual([0, '']);
      expect(JSON.parse(result.stdout)).toMatchObject({ body: greeting('https') });
      expect(sessions).toMatchObject([{ protocol: 'https', action: 'intercept', error: null }]);
    });

    it('a client without SNI gets the names of the server', async () => {
      const { v4, name } = address('https');
      const command = ['openssl', 's_client', '-connect', `${v4}:443`, '-noservername', '-verify_hostname', name, '-CAfile', at.gateway.caFile, '-verify_return_error', '-ign_eof'];
      const request = `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command, { input: request, holdInput: true }));
      expect(result.stdout).toContain('Verify return code: 0 (ok)');
      expect(result.stdout).toContain(greeting('https'));
      expect(sessions).toMatchObject([{ sni: null, protocol: 'https', tls: { upstream: { name: 'unverified' }, leaf: { mirrored: true } } }]);
    });

    it('a client that trusts only the servers\' root refuses, and the session says so', async () => {
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', caFile: file.certificates.rootFile }));
      expect(result.code).toBe(60);
      expect(sessions).toMatchObject([{ state: 'errored', error: 'CLIENT_REJECTED_CERT', chain: ['tls'] }]);
    });

    it('several requests on one connection are one session', async () => {
      const more = [`https://${address('https').name}/who`, '-o', '/dev/null'];
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile, more }));
      expect(result.code).toBe(0);
      expect(sessions).toMatchObject([{ details: { http: { requests: 2 } } }]);
    });

    it('uploads with 100-continue arrive', async () => {
      const body = join(file.lab.client.folder, 'upload');
      writeFileSync(body, Buffer.alloc(uploadBytes, 'upload '));
      const request = { server: 'https', path: '/upload/file', caFile: at.gateway.caFile, more: ['--http1.1', '-H', 'Expect: 100-continue', '-T', body] } as const;
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, request));
      expect(result.code).toBe(0);
      expect([201, 204]).toContain(result.facts.status);
      expect(readFileSync(uploadedFile(file.lab.server, 'file')).equals(readFileSync(body))).toBe(true);
      expect(sessions).toMatchObject([{ details: { http: { requests: 1, method: 'PUT' } }, error: null }]);
      expect(sessions[0]?.bytes.fromClient).toBeGreaterThan(uploadBytes);
      expect(sessions[0]?.bytes.toUpstream).toBeGreaterThan(uploadBytes);
    });

    it('256 MiB arrive intact with bounded memory', async () => {
      const before = at.gateway.memoryBytes();
      let peak = before;
      let over = false;
      const watch = async (): Promise<void> => {
        while (!over) {
          peak = Math.max(peak, at.gateway.memoryBytes());
          await sleep(100);
        }
      };
      const watching = watch();
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', path: '/big', caFile: at.gateway.caFile }));
      over = true;
      await watching;
      expect([result.code, result.hash]).toEqual([0, bigHash]);
      expect(sessions[0]?.bytes.toClient).toBeGreaterThan(bigBytes);
      expect(peak - before).toBeLessThan(memoryGrowthBytesMax);
    });

    it('plain http passes as http', async () => {
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(['curl', '-sS', `http://${address('plain').name}/`]));
      expect(result.stdout).toBe(greeting('plain'));
      expect(sessions).toMatchObject([{ service: 'http', protocol: 'http', chain: ['http'], action: 'handoff', error: null, tls: { client: null, upstream: null } }]);
    });
  });
});
