// The failure table once more for clients of TLS 1.2 and of TLS 1.3 alone, each row with all four witnesses: what the client saw, what the
// server saw, the session and the metric. Then ports that a rule calls server-first: no wait for a detection timer, and the session says so.

import { describe, expect, it } from 'vitest';
import { address } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { banners, startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const limits = { upstreamHandshakeMs: 1_000, dialMs: 5_000 } as const;
const rows = [
  ['answers in plain text', 'plain', 5061, 'refuses-tls', 'UPSTREAM_NOT_TLS'],
  ['answers with an alert', 'silent', 5061, 'alerts', 'UPSTREAM_TLS_ALERT'],
  ['never answers', 'silent', 443, 'silent', 'UPSTREAM_TLS_TIMEOUT'],
] as const;
let servers: SmallServers;

labFile('failures by TLS version', async ({ lab, certificates }) => {
  servers = await startSmallServers(lab.server, certificates.server);
  await startNginx(lab.server, certificates);
}, (file) => {
  describe.each(versions)('a client of %s, tunnelling on errors', (version) => {
    const at = gatewayFor(file, { mode: 'redirect', limits });

    it.each(rows)('a server that %s gets the client\'s hello whole on a second connection', async (_, server, port, name, code) => {
      const [known, tunnelled] = [(await servers.records(name, 0)).length, await at.gateway.metric('tunnelled_on_error_total', { error: code })];
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port, tls: { caFile: at.gateway.caFile, version }, timeoutMs: 3_500 }));
      expect(result).toMatchObject({ connected: true, secured: false });
      expect(sessions).toMatchObject([{ action: 'tunnel', protocol: 'tls', tunnelledOnError: code, error: null, tls: { client: null, leaf: null } }]);
      const fresh = (await servers.records(name, known + 2)).slice(known);
      expect(fresh).toHaveLength(2);
      expect(fresh.map(({ received }) => received.bytes)).toContain(sessions[0]?.bytes.fromClient);
      expect(await at.gateway.metric('tunnelled_on_error_total', { error: code })).toBe(tunnelled + 1);
    });

    it.each([['expired', 'UPSTREAM_CERT_EXPIRED'], ['untrusted', 'UPSTREAM_CERT_UNTRUSTED'], ['wrong-name', 'UPSTREAM_CERT_NAME']] as const)('a server whose certificate is %s: a page, no tunnel', async (server, code) => {
      const more = ['-4', version === 'TLSv1.2' ? '--tls-max' : '--tlsv1.3', ...(version === 'TLSv1.2' ? ['1.2'] : [])];
      const ended = await at.gateway.metric('sessions_total', { error: code });
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server, caFile: at.gateway.caFile, more }));
      expect([result.code, result.facts.status]).toEqual([0, 502]);
      expect(result.stdout).toContain(code);
      expect(sessions).toMatchObject([{ action: 'deny', error: code, tunnelledOnError: null, tls: { client: { version } } }]);
      expect(await at.gateway.metric('sessions_total', { error: code })).toBe(ended + 1);
    });

    it('a client that refuses our certificate: the connection is lost, the session and the metric say why', async () => {
      const failed = await at.gateway.metric('sessions_total', { error: 'CLIENT_REJECTED_CERT' });
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('https').v4, port: 443, tls: { caFile: file.certificates.rootFile, name: address('https').name, version }, timeoutMs: 5_000 }));
      expect(result).toMatchObject({ secured: false, end: 'error' });
      expect(sessions).toMatchObject([{ action: 'intercept', error: expect.stringMatching(/^CLIENT_(?:REJECTED_CERT|LEFT_SILENTLY)$/), tunnelledOnError: null }]);
      if (sessions[0]?.error === 'CLIENT_REJECTED_CERT') expect(await at.gateway.metric('sessions_total', { error: 'CLIENT_REJECTED_CERT' })).toBe(failed + 1);
    });
  });

  describe.each(versions)('a client of %s, without tunnelling', (version) => {
    const at = gatewayFor(file, { mode: 'redirect', limits, tunnelOnError: false, policy: { ssl: [{ name: 'strict', then: 'intercept', tunnelOnError: false, clientCert: 'continue' }] } });

    it.each(rows)('a server that %s: an alert, and no second connection', async (_, server, port, name, code) => {
      const [known, failures] = [(await servers.records(name, 0)).length, await at.gateway.metric('handshake_failures_total', { side: 'upstream', error: code })];
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port, tls: { caFile: at.gateway.caFile, version }, timeoutMs: 5_000 }));
      expect(result.errorCode).toMatch(/ALERT/);
      expect(sessions).toMatchObject([{ state: 'errored', error: code, tunnelledOnError: null }]);
      expect((await servers.records(name, known + 1)).length).toBe(known + 1);
      expect(await at.gateway.metric('handshake_failures_total', { side: 'upstream', error: code })).toBe(failures + 1);
    });
  });

  describe('ports that a rule calls server-first', () => {
    const waits = { detectRaceMs: 8_000, detectSilenceMs: 9_000, detectMs: 9_000 };
    const at = gatewayFor(file, {
      mode: 'redirect', limits: waits,
      policy: { connection: [{ name: 'mail', when: { destination: [address('smtp').v4, address('ssh').v4], port: [443] }, then: 'allow', serverFirst: true, tunnelOnError: true }] },
    });

    it.each([['smtp', banners.smtp], ['ssh', banners.ssh]] as const)('%s: the banner comes although every detection timer is longer than the client stays', async (server, banner) => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port: 443, untilBytes: banner.length, timeoutMs: 6_000 }));
      expect(result).toMatchObject({ receivedText: banner, end: 'left' });
      expect(sessions).toMatchObject([{ action: 'tunnel', note: 'the server spoke first', error: null }]);
    });
  });
});
