// Learned bypasses with a client that pins its server's key (curl --pinnedpubkey): it works from the configured number of failures on and no
// earlier, in one process and over workers; bad servers and forbidden places never make an entry.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { labConfig, labRules } from './support/config.ts';
import { curlWith } from './support/explicit.ts';
import { limitsWith } from '../../src/core/limits.ts';
import { openState } from '../../src/core/state.ts';
import { address, type ServerName } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startServers } from './support/peers/small.ts';
import { repository, sallyport } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const failures = 3;
/** What curl ends with when the key is another one, and when it cannot verify the chain. */
const pinMissed = 90;

/** Servers whose certificate is good, and which then fail in one way or another: before a byte, with a FIN, or on the first request. */
const flapping = [['openssl', 'resets-at-once'], ['sip', 'ends-at-once'], ['echo', 'resets']] as const;

labFile('learned bypasses', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startServers(lab.server, flapping.map(([server, kind]) => ({ name: kind, host: address(server).v4, port: 443, kind, ...certificates.server })));
}, (file) => {
  const pin = async (): Promise<string> => {
    const { client } = file.lab;
    const key = await client.mustRun(['sh', '-c', `openssl x509 -in ${file.certificates.server.certFile} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`]);
    return `sha256//${key.trim()}`;
  };

  describe.each([0, 2])('with %i workers', (workers) => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, stateFolder) => {
        const config = labConfig(certificates, stateFolder, {
          mode: 'redirect', workers,
          policy: { ssl: [{ name: 'never', when: { sni: address('tls12').name }, then: 'intercept', learned: false }, { name: 'all', then: 'intercept', clientCert: 'tunnel' }], certificate: [{ then: 'deny' }] },
        });
        return { ...config, learned: { enabled: true, failures, within: '5m', ttl: '1h' } };
      },
    });
    /** curl that pins and trusts both the gateway and the lab's own root, so that only the pin decides. */
    const pinned = async (server: ServerName, more: readonly string[] = []) => {
      const both = join(file.lab.client.folder, `both-${workers}.pem`);
      writeFileSync(both, readFileSync(at.gateway.caFile, 'utf8') + readFileSync(file.certificates.rootFile, 'utf8'));
      return await at.gateway.during(async () => curlWith(file.lab.client, ['-4', '--cacert', both, '--pinnedpubkey', await pin(), ...more, `https://${address(server).name}/`]));
    };
    const learned = async (): Promise<{ bypasses: { key: string; name: string; refusals: number }[] }> => JSON.parse((await at.gateway.api('/api/learned')).body);
    const token = (): string => readFileSync(join(at.gateway.stateFolder, 'admin.token'), 'utf8').trim();
    const forget = (query: string): Promise<string> => file.lab.gateway.mustRun(['curl', '-sS', '-m', '10', '-X', 'DELETE', '-H', `Authorization: Bearer ${token()}`, `http://127.0.0.1:9090/api/learned${query}`]);

    it('a pinned client works from the configured number of failures on, and no earlier', async () => {
      for (let round = 0; round < failures; round += 1) {
        const { result, sessions } = await pinned('https');
        expect(result.code).toBe(pinMissed);
        expect(sessions).toMatchObject([{ action: 'intercept', rule: labRules.ssl, error: 'CLIENT_LEFT_SILENTLY' }]);
      }
      const { result, sessions } = await pinned('https');
      expect([result.code, result.stdout]).toEqual([0, greeting('https')]);
      expect(sessions).toMatchObject([{ action: 'tunnel', protocol: 'tls', rule: `learned/${address('https').name}`, error: null }]);
      expect(await learned()).toMatchObject({ bypasses: [{ name: address('https').name, refusals: failures }] });
      expect(await at.gateway.metric('learned_bypasses')).toBe(1);
    });

    it('only that client and name: others are still opened', async () => {
      const { sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--interface', '10.77.1.3', '--cacert', at.gateway.caFile, `https://${address('https').name}/`]));
      expect(sessions).toMatchObject([{ action: 'intercept', error: null }]);
      expect((await pinned('tls13')).sessions).toMatchObject([{ action: 'intercept' }]);
    });

    it('forgotten by key, the client is opened again', async () => {
      const [{ key } = { key: '' }] = (await learned()).bypasses;
      expect(JSON.parse(await forget(`?key=${encodeURIComponent(key)}`))).toEqual({ forgotten: 1 });
      expect((await learned()).bypasses).toEqual([]);
      expect((await pinned('https')).result.code).toBe(pinMissed);
      expect(await at.gateway.metric('learned_bypasses')).toBe(0);
    });

    it('a success in between begins the count anew', async () => {
      await forget('');
      const failing = async (): Promise<void> => { expect((await pinned('tls13')).result.code).toBe(pinMissed); };
      await failing();
      await failing();
      // The same client and hello, without the pin.
      const { result } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', at.gateway.caFile, `https://${address('tls13').name}/`]));
      expect(result.stdout).toBe(greeting('tls13'));
      await failing();
      await failing();
      expect((await learned()).bypasses).toEqual([]);
    });

    it('a place that a rule forbids is never learned as a bypass', async () => {
      for (let round = 0; round <= failures; round += 1) expect((await pinned('tls12')).result.code).toBe(pinMissed);
    });

    it('bad and missing servers never make an entry', async () => {
      await forget('');
      for (let round = 0; round <= failures; round += 1) {
        await pinned('expired');
        await pinned('refused');
        await pinned('wrong-name');
      }
      expect((await learned()).bypasses).toEqual([]);
    });

    it.each(flapping)('flapping upstreams never create an entry: %s %s, with TLS 1.2 and 1.3', async (server) => {
      await forget('');
      for (let round = 0; round <= failures; round += 1) {
        for (const version of [['--tls-max', '1.2'], ['--tlsv1.3']]) {
          for (const http of ['--http1.1', '--http2']) {
            const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', at.gateway.caFile, ...version, http, `https://${address(server).name}/`]));
            expect(result.code).not.toBe(0);
            expect(sessions.map(({ error }) => error)).not.toContainEqual(expect.stringMatching(/^CLIENT_(?:REJECTED|LEFT)/));
          }
        }
        // A client that says nothing until the server has: it leaves because the server did.
        await at.gateway.during(() => file.lab.client.run(['openssl', 's_client', '-connect', `${address(server).v4}:443`, '-servername', address(server).name, '-CAfile', at.gateway.caFile], { input: '' }));
      }
      expect((await learned()).bypasses).toEqual([]);
    });

    it('the command line lists and forgets them', async () => {
      await forget('');
      for (let round = 0; round < failures; round += 1) await pinned('https');
      const command = (...words: string[]) => file.lab.gateway.run([...sallyport, 'learned', '-c', at.gateway.configFile, ...words], { cwd: repository });
      expect((await command()).stdout).toMatch(new RegExp(`^10\\.77\\.1\\.2 +${address('https').name} .* ${failures} `, 'm'));
      expect(await command('clear', address('https').name)).toMatchObject({ code: 0, stdout: 'forgotten: 1\n' });
      expect((await command()).stdout).toBe('nothing is bypassed\n');
      expect((await pinned('https')).result.code).toBe(pinMissed);
    });

    it('what was learned is in the state folder', async () => {
      for (let round = 0; round < failures; round += 1) await pinned('https');
      const state = openState(at.gateway.stateFolder, { durable: false, limits: limitsWith() });
      await expect.poll(() => state.prepare('SELECT name, refusals FROM learned').all().map((row) => ({ ...row })), { timeout: 5_000 }).toEqual([{ name: address('https').name, refusals: failures }]);
      state.close();
    });
  });
});
