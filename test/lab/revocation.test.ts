// What clients that insist on revocation see: the CRL of the emulated certificate, fetched from the gateway's own listener or in-band from
// a host name the gateway answers for, and OCSP, asked and stapled. OpenSSL judges, never the gateway.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunResult } from '../support/program.ts';
import { makeRoot } from '../support/certs.ts';
import { labConfig, modes } from './support/config.ts';
import { address, network } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { gatewayFor, labFile } from './support/suite.ts';

labFile('revocation', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
}, (file) => {
  /** A handshake by openssl with these further options; its standard input ends at once. */
  const handshake = (caFile: string, more: readonly string[]): Promise<RunResult> => {
    const { name } = address('https');
    const command = ['openssl', 's_client', '-connect', `${name}:443`, '-servername', name, '-verify_hostname', name, '-CAfile', caFile, '-verify_return_error', ...more];
    return file.lab.client.run(command, { input: 'Q\n' });
  };
  /** The emulated leaf in a file. */
  const leafFile = async (caFile: string): Promise<string> => {
    const { stdout } = await handshake(caFile, []);
    const leaf = join(file.lab.client.folder, 'leaf.pem');
    writeFileSync(leaf, /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '');
    return leaf;
  };

  describe.each(modes)('through %s, CRL on the gateway\'s listener', (mode) => {
    const at = gatewayFor(file, { mode });
    const listener = `http://${network.gatewayToClient.v4}:9080`;

    it.each(['-tls1_2', '-tls1_3'])('openssl -crl_check -crl_download verifies (%s)', async (version) => {
      const before = await at.gateway.metric('crl_requests_total');
      const { code, stdout, stderr } = await handshake(at.gateway.caFile, [version, '-crl_check', '-crl_download']);
      expect(stderr).not.toContain('error');
      expect(stdout).toContain('Verify return code: 0 (ok)');
      expect(code).toBe(0);
      expect(await at.gateway.metric('crl_requests_total')).toBeGreaterThan(before);
    });

    it('openssl -crl_check without a CRL is refused: the check above means something', async () => {
      const { code, stderr } = await handshake(at.gateway.caFile, ['-crl_check']);
      expect(code).not.toBe(0);
      expect(stderr).toContain('unable to get certificate CRL');
    });

    it('the CRL is signed by the CA, lasts about 30 days and lists nothing', async () => {
      const crl = join(file.lab.client.folder, `${mode}.crl`);
      const head = await file.lab.client.mustRun(['curl', '-sS', '-D', '-', '-o', crl, `${listener}/ssl/crl/issuer_CA.crl`]);
      expect(head).toMatch(/^HTTP\/1\.1 200/);
      expect(head).toMatch(/content-type: application\/pkix-crl/i);
      const judged = await file.lab.client.run(['openssl', 'crl', '-inform', 'DER', '-in', crl, '-CAfile', at.gateway.caFile, '-noout', '-text']);
      expect(judged.stderr).toContain('verify OK');
      expect(judged.stdout).toContain('No Revoked Certificates');
      const next = /Next Update: (.+)/.exec(judged.stdout)?.[1] ?? '';
      const days = (Date.parse(next) - Date.now()) / 86_400_000;
      expect(days).toBeGreaterThan(28);
      expect(days).toBeLessThanOrEqual(30);
    });

    it('the distribution point in the leaf is the one that is served', async () => {
      const leaf = await leafFile(at.gateway.caFile);
      const text = await file.lab.client.mustRun(['openssl', 'x509', '-in', leaf, '-noout', '-ext', 'crlDistributionPoints,authorityInfoAccess']);
      const [url] = /http:\/\/\S+\/ssl\/crl\/\S+\.crl/.exec(text) ?? [''];
      expect(url).toContain(listener);
      const head = await file.lab.client.mustRun(['curl', '-sS', '-I', url]);
      expect(head).toMatch(/^HTTP\/1\.1 200/);
    });

    it('OCSP says good, asked and stapled', async () => {
      const leaf = await leafFile(at.gateway.caFile);
      const asked = await file.lab.client.run(['openssl', 'ocsp', '-issuer', at.gateway.caFile, '-cert', leaf, '-url', `${listener}/ocsp`, '-CAfile', at.gateway.caFile]);
      expect(`${asked.stdout}${asked.stderr}`).toContain('Response verify OK');
      expect(asked.stdout).toContain(`${leaf}: good`);
      const stapled = await handshake(at.gateway.caFile, ['-status']);
      expect(stapled.stdout).toContain('OCSP Response Status: successful');
      expect(stapled.stdout).toContain('Cert Status: good');
    });
  });

  describe.each(modes)('through %s, CRL in-band', (mode) => {
    // Rules that keep port 80 shut keep nobody from revocation data.
    const then = mode === 'redirect' ? 'deny' : 'tunnel';
    const at = gatewayFor(file, { mode, crl: { host: address('crl').name }, policy: { connection: [{ name: 'shut', when: { port: [80] }, then }] } });

    it('openssl verifies by a CRL that it fetches from an address where nobody listens', async () => {
      const { code, stdout, stderr } = await handshake(at.gateway.caFile, ['-crl_check', '-crl_download']);
      expect(stderr).not.toContain('error');
      expect(stdout).toContain('Verify return code: 0 (ok)');
      expect(code).toBe(0);
      expect(await at.gateway.metric('crl_requests_total')).toBeGreaterThan(0);
    });

    it('the gateway says at its start that it cannot fetch that itself, and who can', () => {
      expect(at.gateway.program.output()).toMatch(/"level":40[^\n]*clients get it only where their requests pass this gateway/);
      expect(at.gateway.program.output()).not.toContain('clients may not be able to fetch');
    });

    it('the leaf names that host', async () => {
      const text = await file.lab.client.mustRun(['openssl', 'x509', '-in', await leafFile(at.gateway.caFile), '-noout', '-ext', 'crlDistributionPoints']);
      expect(text).toContain(`http://${address('crl').name}/ssl/crl/`);
    });
  });

  describe.each([['an address where nobody listens', `${network.gatewayToClient.v4}:9999`, true], ['the right one', `${network.gatewayToClient.v4}:9080`, false]])('a distribution point at %s', (_label, host, isWrong) => {
    const at = gatewayFor(file, { mode: 'redirect', crl: { host } });

    it(`is fetched at the start, and ${isWrong ? 'complained of loudly' : 'nothing is said'}`, () => {
      const complaint = new RegExp(`"level":50[^\\n]*distribution point http://${host}/[^\\n]*clients may not be able to fetch the CRL`);
      expect(complaint.test(at.gateway.program.output())).toBe(isWrong);
    });
  });

  describe('several issuers, chosen by rule', () => {
    const other = makeRoot('Another keyring', { key: 'rsa' });
    const files = (name: string): string => join(file.lab.gateway.folder, `keyring${name}`);
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole(certificates, state) {
        const locked = String(other.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'open sesame' }));
        for (const [name, content] of [['.pem', other.certPem], ['.key', locked], ['.word', 'open sesame\n']] as const) writeFileSync(files(name), content, { mode: 0o600 });
        const ssl = [{ name: 'another', when: { sni: address('tls12').name }, then: 'intercept' as const, issuer: 'another' }, { name: 'all', then: 'intercept' as const }];
        return { ...labConfig(certificates, state, { mode: 'redirect', policy: { ssl } }), issuers: { another: { cert: files('.pem'), key: files('.key'), passphraseFile: files('.word') } } };
      },
    });

    it.each([['https', 'Sallyport CA'], ['tls12', 'Another keyring']] as const)('%s: by %s, whose own CRL and OCSP responder openssl believes', async (server, issuer) => {
      const { name } = address(server);
      const ca = join(file.lab.client.folder, 'keyring.pem');
      writeFileSync(ca, server === 'tls12' ? other.certPem : readFileSync(at.gateway.caFile));
      const command = ['openssl', 's_client', '-connect', `${name}:443`, '-servername', name, '-verify_hostname', name, '-CAfile', ca, '-verify_return_error', '-crl_check', '-crl_download', '-status'];
      const { code, stdout } = await file.lab.client.run(command, { input: 'Q\n' });
      expect([code, stdout.includes('Verify return code: 0 (ok)')]).toEqual([0, true]);
      expect(stdout).toMatch(new RegExp(`i:.*CN = ${issuer}`));
      expect(stdout).toContain('Cert Status: good');
    });
  });
});
