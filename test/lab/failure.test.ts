// Everything that can go wrong before the client was answered, against real servers: each ends as DESIGN.md's failure table says, as a
// tunnel where tunnelOnError lists the code, else with the code, and in words that the client's protocol has.

import { describe, expect, it } from 'vitest';
import { modes } from './support/config.ts';
import { address } from './support/names.ts';
import { startNginx } from './support/peers/nginx.ts';
import { banners, startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** A handshake record that says ClientHello and then breaks off inside its own lengths. */
const brokenHello = '1603010009010000050303ffffff';
/** A whole record with a whole ClientHello of TLS 1.2, whose session id claims more bytes than there are. */
const lyingHello = helloOf(`0303${'11'.repeat(32)}ff${'22'.repeat(32)}0002c02f0100`);
const limits = { upstreamHandshakeMs: 1_000, dialMs: 5_000, detectMs: 1_500, detectSilenceMs: 2_000 } as const;

labFile('failures', async ({ lab, certificates }) => {
  await startSmallServers(lab.server, certificates.server);
  await startNginx(lab.server, certificates);
}, (file) => {
  describe.each(modes)('through %s, tunnelling on errors', (mode) => {
    const at = gatewayFor(file, { mode, limits });
    const say = [{ text: 'hello\n' }];

    it('a server on 443 that does not speak TLS, nor does its client', async () => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say, end: true }));
      expect(result).toMatchObject({ receivedText: 'hello\n', end: 'ended' });
      expect(sessions).toMatchObject([{ service: 'https', protocol: 'unknown', chain: ['unknown'], action: 'tunnel', tunnelledOnError: 'NOT_TLS', error: null }]);
    });

    it('a server that speaks first (SMTP)', async () => {
      const plan = { host: address('smtp').v4, port: 443, say: [{ text: 'EHLO lab\n', afterBytes: banners.smtp.length }], end: true };
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, plan));
      expect(result.receivedText).toBe(`${banners.smtp}250 EHLO lab\n`);
      expect(sessions).toMatchObject([{ protocol: 'unknown', action: 'tunnel', tunnelledOnError: 'NOT_TLS', error: null }]);
    });

    it('both sides speak at once (SSH)', async () => {
      const plan = { host: address('ssh').v4, port: 443, say: [{ text: 'SSH-2.0-LabClient\n' }], end: true };
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, plan));
      expect(result.receivedText).toBe(`${banners.ssh}250 SSH-2.0-LabClient\n`);
      expect(sessions).toMatchObject([{ protocol: 'unknown', action: 'tunnel', tunnelledOnError: 'NOT_TLS', error: null }]);
    });

    it.each([['broken off', brokenHello], ['lying about its lengths', lyingHello]])('a hello %s is passed on whole', async (_, hex) => {
      const { sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ hex }], untilBytes: hex.length / 2 }));
      expect(sessions).toMatchObject([{ action: 'tunnel', error: null, tunnelledOnError: 'HELLO_MALFORMED', bytes: { fromClient: hex.length / 2, toUpstream: hex.length / 2, toClient: hex.length / 2 } }]);
    });

    it('half a hello and then silence', async () => {
      const hex = lyingHello.slice(0, 40);
      const { sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ hex }], untilBytes: hex.length / 2, timeoutMs: 6_000 }));
      expect(sessions).toMatchObject([{ action: 'tunnel', error: null, tunnelledOnError: 'FIRST_BYTES_STALLED' }]);
    });

    const tlsTalk = (host: string, port: number) => ({ host, port, tls: { caFile: at.gateway.caFile }, say, timeoutMs: 4_000 });
    it.each([
      ['answers in plain text', 'plain', 5061, 'UPSTREAM_NOT_TLS'],
      ['answers with an alert', 'silent', 5061, 'UPSTREAM_TLS_ALERT'],
      ['never answers', 'silent', 443, 'UPSTREAM_TLS_TIMEOUT'],
    ] as const)('a server that %s', async (_, server, port, code) => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, tlsTalk(address(server).v4, port)));
      expect(result.secured).toBe(false);
      expect(sessions).toMatchObject([{ protocol: 'tls', chain: ['tls'], action: 'tunnel', tunnelledOnError: code, error: null }]);
    });

    it('a server that resets the handshake', async () => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, tlsTalk(address('silent').v4, 4443)));
      expect(result).toMatchObject({ secured: false, end: 'error' });
      expect(sessions).toHaveLength(1);
      expect(sessions[0]?.error ?? sessions[0]?.tunnelledOnError).toMatch(/^(UPSTREAM_TLS_ALERT|RESET_BY_UPSTREAM)$/);
    });

    it('a client older than the gateway allows is tunnelled to a server that may take it', async () => {
      const command = ['openssl', 's_client', '-connect', `${address('https').v4}:443`, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'];
      const { sessions } = await at.gateway.during(() => file.lab.client.run(command, { input: 'Q\n' }));
      expect(sessions).toMatchObject([{ action: 'tunnel', tunnelledOnError: 'NO_COMMON_TLS', error: null }]);
    });

    it.each([
      ['expired', 'UPSTREAM_CERT_EXPIRED'], ['untrusted', 'UPSTREAM_CERT_UNTRUSTED'], ['wrong-name', 'UPSTREAM_CERT_NAME'],
    ] as const)('a server whose certificate is %s is not tunnelled: the client is told why', async (server, code) => {
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server, caFile: at.gateway.caFile, more: ['-4'] }));
      expect([result.code, result.facts.status]).toEqual([0, 502]);
      expect(result.stdout).toContain(code);
      expect(sessions).toMatchObject([{ action: 'deny', error: code, tunnelledOnError: null, state: 'errored' }]);
    });

    it('a server that refuses the connection: so does the gateway', async () => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, tlsTalk(address('refused').v4, 443)));
      expect(result).toMatchObject({ secured: false, end: 'error', errorCode: 'ECONNRESET' });
      expect(sessions).toMatchObject([{ state: 'errored', error: 'DIAL_REFUSED', tunnelledOnError: null }]);
    });

    it('a server that is not there', async () => {
      const { sessions } = await at.gateway.during(() => talk(file.lab.client, { ...tlsTalk('10.77.2.250', 443), timeoutMs: 9_000 }));
      expect(sessions).toHaveLength(1);
      expect(sessions[0]?.error).toMatch(/^DIAL_(UNREACHABLE|TIMEOUT)$/);
    });

    it('a client that leaves without a word', async () => {
      const { sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('https').v4, port: 443, end: true }));
      expect(sessions).toMatchObject([{ state: 'errored', error: 'CLIENT_CLOSED_EARLY' }]);
    });
  });

  describe('without tunnelling on errors', () => {
    const strict = [{ name: 'strict', then: 'intercept', tunnelOnError: false, clientCert: 'continue' }] as const;
    const at = gatewayFor(file, { mode: 'redirect', limits, tunnelOnError: false, policy: { ssl: [...strict] } });

    it.each([
      ['bytes that are not TLS', { text: 'hello\n' }, 'plain', 443, 'NOT_TLS'],
      ['a malformed hello', { hex: lyingHello }, 'https', 443, 'HELLO_MALFORMED'],
    ] as const)('%s end with the code', async (_, word, server, port, code) => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port, say: [word] }));
      expect(result.end).not.toBe('timeout');
      expect(result.receivedText).not.toContain('hello');
      expect(sessions).toMatchObject([{ state: 'errored', error: code, tunnelledOnError: null }]);
    });

    it.each([['plain', 5061, 'UPSTREAM_NOT_TLS'], ['silent', 5061, 'UPSTREAM_TLS_ALERT'], ['silent', 443, 'UPSTREAM_TLS_TIMEOUT']] as const)(
      'a TLS failure of %s:%i reaches the client as an alert', async (server, port, code) => {
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port, tls: { caFile: at.gateway.caFile }, timeoutMs: 5_000 }));
        expect(result.errorCode).toMatch(/ALERT/);
        expect(sessions).toMatchObject([{ state: 'errored', error: code, tunnelledOnError: null }]);
      },
    );
  });
});

/** A ClientHello body (hex) in its handshake and record headers. */
function helloOf(body: string): string {
  const hex = (value: number, bytes: number): string => value.toString(16).padStart(bytes * 2, '0');
  const bytes = body.length / 2;
  return `160301${hex(bytes + 4, 2)}01${hex(bytes, 3)}${body}`;
}
