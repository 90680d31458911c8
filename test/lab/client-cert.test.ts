// Servers and client certificates: one that requires a certificate works at the first connection, because it is tunnelled; one that merely
// offers to take one is still intercepted. TLS 1.2 and 1.3 behave differently on the wire, so each is tried, with all witnesses: what the
// client saw, what the server saw, the session and the metric.

import { describe, expect, it } from 'vitest';
import type { Program } from '../support/program.ts';
import { labRules, modes } from './support/config.ts';
import { address } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { startRequiringServers } from './support/peers/openssl.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const versions = ['tls12', 'tls13'] as const;
const wanted = { error: 'UPSTREAM_WANTS_CLIENT_CERT' } as const;
let requiring: Record<(typeof versions)[number], Program>;

labFile('client certificates', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  const [tls12, tls13] = await startRequiringServers(lab.server, certificates);
  requiring = { tls12, tls13 };
}, (file) => {
  /** How many handshakes the server ended for want of a certificate. */
  const refusals = (version: (typeof versions)[number]): number => [...requiring[version].output().matchAll(/peer did not return a certificate/g)].length;
  const shown = (): string[] => ['-4', '--cert', file.certificates.user.certFile, '--key', file.certificates.user.keyFile];

  describe.each(modes)('through %s', (mode) => {
    const at = gatewayFor(file, { mode });

    it.each(versions)('a server that requires one works at the first connection (%s)', async (version) => {
      const server = `required-${version}` as const;
      // Tunnelled: what the client sees is the server's own certificate.
      const request = { server, caFile: file.certificates.rootFile, more: shown() };
      const tunnelled = await at.gateway.metric('tunnelled_on_error_total', wanted);
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, request), { filter: `destination=${address(server).v4}` });
      expect([result.code, result.facts.status, result.stderr]).toEqual([0, 200, '']);
      // The server's own page about the connection.
      expect(result.stdout).toMatch(new RegExp(`${version === 'tls12' ? 'TLSv1\\.2' : 'TLSv1\\.3'}[^]*alice`));
      expect(sessions).toMatchObject([{
        protocol: 'tls', chain: ['tls'], action: 'tunnel', rule: labRules.ssl, error: null, tunnelledOnError: 'UPSTREAM_WANTS_CLIENT_CERT', state: 'closed',
        sni: address(server).name, tls: { client: null, leaf: null },
      }]);
      expect(await at.gateway.metric('tunnelled_on_error_total', wanted)).toBe(tunnelled + 1);
    });

    it.each(versions)('a server that requires one refuses who has none, through the same tunnel (%s)', async (version) => {
      const server = `required-${version}` as const;
      const [known, tunnelled] = [refusals(version), await at.gateway.metric('tunnelled_on_error_total', wanted)];
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server, caFile: file.certificates.rootFile, more: ['-4'] }));
      expect(result.code).not.toBe(0);
      expect(result.code).not.toBe(60);
      // Both had none to show: first the gateway, then the client through the tunnel.
      await expect.poll(() => refusals(version), { timeout: 10_000 }).toBe(known + 2);
      expect(sessions).toMatchObject([{ action: 'tunnel', tunnelledOnError: 'UPSTREAM_WANTS_CLIENT_CERT' }]);
      expect(await at.gateway.metric('tunnelled_on_error_total', wanted)).toBe(tunnelled + 1);
    });

    it.each(versions)('a server that offers to take one is intercepted (%s)', async (version) => {
      const server = `optional-${version}` as const;
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server, path: '/who', caFile: at.gateway.caFile, more: ['-4'] }));
      expect([result.code, result.stdout]).toEqual([0, 'client NONE \n']);
      expect(sessions).toMatchObject([{ protocol: 'https', chain: ['tls', 'https'], action: 'intercept', error: null, tunnelledOnError: null }]);
    });
  });

  describe('with rules that say otherwise', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      policy: {
        ssl: [
          { name: 'deny', when: { sni: 'required-*.lab.test' }, then: 'intercept', tunnelOnError: true, clientCert: 'deny' },
          { name: 'offers', when: { sni: 'optional-*.lab.test' }, then: 'intercept', tunnelOnError: ['UPSTREAM_WANTS_CLIENT_CERT', 'UPSTREAM_OFFERS_CLIENT_CERT'], clientCert: 'tunnel' },
        ],
      },
    });

    it.each(versions)('clientCert: deny ends the flow with the code (%s)', async (version) => {
      const counted = { side: 'upstream', ...wanted };
      const [known, failed] = [refusals(version), await at.gateway.metric('handshake_failures_total', counted)];
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: `required-${version}`, caFile: file.certificates.rootFile, more: shown() }));
      expect(result).toMatchObject({ code: 35, stderr: expect.stringMatching(/alert/i) });
      // The gateway had none to show, and the client never came with its own.
      await expect.poll(() => refusals(version), { timeout: 10_000 }).toBe(known + 1);
      expect(sessions).toMatchObject([{ state: 'errored', error: 'UPSTREAM_WANTS_CLIENT_CERT', tunnelledOnError: null, tls: { client: null, leaf: null } }]);
      expect(await at.gateway.metric('handshake_failures_total', counted)).toBe(failed + 1);
    });

    it.each(versions)('an offered certificate that the rule lists is tunnelled, so users can log in with it (%s)', async (version) => {
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: `optional-${version}`, path: '/who', caFile: file.certificates.rootFile, more: shown() }));
      expect([result.code, result.stdout]).toEqual([0, 'client SUCCESS CN=alice\n']);
      expect(sessions).toMatchObject([{ action: 'tunnel', protocol: 'tls', tunnelledOnError: 'UPSTREAM_OFFERS_CLIENT_CERT', error: null }]);
    });
  });
});
