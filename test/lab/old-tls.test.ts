// Old phones: TLS 1.0 and RSA alone, by openssl at security level 0 and coturn's client. Served where a rule lowers clientTls, in their terms
// and with an RSA leaf; refused before any dial, or tunnelled, where none does.

import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { RunResult } from '../support/program.ts';
import { address } from './support/names.ts';
import { allReturned, runTurnClient, startCoturn } from './support/peers/coturn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const versions = [['-tls1', 'TLSv1'], ['-tls1_1', 'TLSv1.1']] as const;
const suites = [['RSA key transport', 'AES128-SHA:@SECLEVEL=0'], ['ECDHE with RSA', 'ECDHE-RSA-AES128-SHA:@SECLEVEL=0']] as const;

labFile('old TLS', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startCoturn(lab.server, certificates.server);
}, (file) => {
  const { name, v4 } = address('https');
  const request = `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
  const phone = (caFile: string, version: string, ciphers: string): Promise<RunResult> => file.lab.client.run([
    'openssl', 's_client', '-connect', `${v4}:443`, '-servername', name, version, '-cipher', ciphers, '-CAfile', caFile, '-verify_return_error', '-ign_eof',
  ], { input: request, holdInput: true });
  const leafOf = ({ stdout }: RunResult): X509Certificate => new X509Certificate(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '');

  describe('where a rule allows it', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      policy: { ssl: [{ name: 'phones', when: { client: ['10.77.1.0/24'] }, then: 'intercept', tunnelOnError: false, clientTls: { minVersion: 'TLSv1' } }] },
    });

    describe.each(versions)('openssl %s', (flag, version) => {
      it.each(suites)('%s is served, by a server that speaks only what is new', async (_label, ciphers) => {
        const { result, sessions } = await at.gateway.during(() => phone(at.gateway.caFile, flag, ciphers));
        expect(result.stdout).toContain('Verify return code: 0 (ok)');
        expect(result.stdout).toContain(greeting('https'));
        expect(leafOf(result).publicKey.asymmetricKeyType).toBe('rsa');
        expect(sessions).toMatchObject([{
          protocol: 'https', action: 'intercept', error: null, rule: 'ssl/phones',
          tls: { client: { version, cipher: expect.stringContaining('AES128-SHA') }, upstream: { version: 'TLSv1.2', problems: [] }, leaf: { key: 'rsa' } },
        }]);
      });
    });

    it('a modern client under the same rule gets modern TLS', async () => {
      const { result, sessions } = await at.gateway.during(() => phone(at.gateway.caFile, '-tls1_3', 'DEFAULT'));
      expect(result.stdout).toContain(greeting('https'));
      expect(sessions).toMatchObject([{ tls: { client: { version: 'TLSv1.3' }, upstream: { version: 'TLSv1.3' }, leaf: { key: 'ec' } } }]);
    });

    it('a modern client meets a server of TLS 1.2: it is not shown TLS 1.3', async () => {
      const { name: old, v4: oldIp } = address('tls12');
      const command = ['openssl', 's_client', '-connect', `${oldIp}:443`, '-servername', old, '-CAfile', at.gateway.caFile, '-verify_return_error'];
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command, { input: 'Q\n' }));
      expect(result.stdout).toMatch(/New, TLSv1\.2/);
      expect(sessions).toMatchObject([{ tls: { client: { version: 'TLSv1.2' }, upstream: { version: 'TLSv1.2' } } }]);
    });

    it('coturn\'s client allocates over TLS', async () => {
      const { result, sessions } = await at.gateway.during(() => runTurnClient(file.lab.client, { tls: true, messages: 3 }), { count: 2, filter: 'protocol=turns' });
      expect(allReturned(result)).toBe(true);
      expect(sessions.every(({ rule, error }) => rule === 'ssl/phones' && error === null)).toBe(true);
    });
  });

  describe('where none does', () => {
    const at = gatewayFor(file, {
      mode: 'redirect', tunnelOnError: false,
      policy: {
        ssl: [
          { name: 'tunnelled', when: { client: ['10.77.1.3'] }, then: 'intercept', tunnelOnError: ['NO_COMMON_TLS'] },
          { name: 'refused', then: 'intercept', tunnelOnError: false },
        ],
      },
    });

    it.each(versions)('openssl %s is refused with an alert, and the server hears nothing', async (flag) => {
      const { result, sessions } = await at.gateway.during(() => phone(at.gateway.caFile, flag, 'ALL:@SECLEVEL=0'));
      expect(result.code).not.toBe(0);
      expect(result.stderr).toMatch(/alert protocol version|alert insufficient security/);
      expect(sessions).toMatchObject([{ error: 'NO_COMMON_TLS', state: 'errored', bytes: { fromUpstream: 0, toUpstream: 0 }, tls: { upstream: null, leaf: null } }]);
    });

    it.each(versions)('openssl %s is tunnelled where the rule says so: the server refuses it itself', async (flag) => {
      const command = ['openssl', 's_client', '-connect', `${v4}:443`, '-bind', '10.77.1.3', '-servername', name, flag, '-cipher', 'ALL:@SECLEVEL=0'];
      const { result, sessions } = await at.gateway.during(() => file.lab.client.run(command, { input: 'Q\n' }));
      expect(result.code).not.toBe(0);
      expect(sessions).toMatchObject([{ action: 'tunnel', tunnelledOnError: 'NO_COMMON_TLS', error: null }]);
      expect(sessions[0]?.bytes.fromUpstream).toBeGreaterThan(0);
    });
  });
});
