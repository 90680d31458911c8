// The failure table once more for clients of TLS 1.2 and of TLS 1.3 alone, each row with all four witnesses: what the client saw, what the
// server saw, the session and the metric. Then ports that a rule calls server-first: no wait for a detection timer, and the session says so.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { tunnelOnErrorDefault } from '../../src/core/errors.ts';
import { buildHello } from '../support/client-hellos.ts';
import { startCapture } from './support/capture.ts';
import { address, type ServerName } from './support/names.ts';
import { banners, startServers, startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
type Version = (typeof versions)[number];
const limits = { upstreamHandshakeMs: 1_000, dialMs: 5_000, detectMs: 1_500, helloBytesMax: 4_096 } as const;
const rows = [
  ['answers in plain text', 'plain', 5061, 'refuses-tls', 'UPSTREAM_NOT_TLS'],
  ['answers with an alert', 'silent', 5061, 'alerts', 'UPSTREAM_TLS_ALERT'],
  ['never answers', 'silent', 443, 'silent', 'UPSTREAM_TLS_TIMEOUT'],
] as const;
const reset = { end: 'error', errorCode: 'ECONNRESET', received: { bytes: 0 } } as const;
const alerted = (alert: number): object => ({ end: 'ended', receivedText: expect.stringMatching(new RegExp(`^\\x15\\x03.\\0\\x02\\x02\\x${alert.toString(16)}$`, 's')) });
/** Hellos that nobody can read, and what tells their clients so: an alert (RFC 8446 section 6), or a reset where it may not be TLS at all. */
const hellos = [
  ['malformed', 'HELLO_MALFORMED', alerted(50), (version: Version) => helloFor(version, 16, Buffer.alloc(7))],
  ['larger than helloBytesMax', 'HELLO_TOO_LARGE', alerted(22), (version: Version) => helloFor(version, limits.helloBytesMax * 2)],
  ['that stalls half-way', 'FIRST_BYTES_STALLED', reset, (version: Version) => helloFor(version, 400).subarray(0, 200)],
] as const;
const badCertificates = [['expired', 'UPSTREAM_CERT_EXPIRED'], ['untrusted', 'UPSTREAM_CERT_UNTRUSTED'], ['wrong-name', 'UPSTREAM_CERT_NAME']] as const;
const strangeWords = 'HELLO-LAB 1 frobnicate\n';
const page = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n';
let servers: SmallServers;
/** With bad certificates, and one that answers HTTP. */
let more: SmallServers;

labFile('failures by TLS version', async ({ lab, certificates }) => {
  servers = await startSmallServers(lab.server, certificates.server);
  const bad = { expired: certificates.expired, untrusted: certificates.untrusted, 'wrong-name': certificates.wrongName };
  more = await startServers(lab.server, [
    ...badCertificates.map(([name]) => ({ name, host: address(name).v4, port: 443, kind: 'echo', tellsFailed: true, ...bad[name] }) as const),
    { name: 'pages', host: address('node').v4, port: 443, kind: 'answers', text: page, ...certificates.server },
  ]);
}, (file) => {
  const refused = async (version: Version, caFile: string): Promise<{ client: unknown; server: readonly unknown[] }> => {
    const { v4 } = address('refused');
    const seen = await startCapture(file.lab.server, 'wan', `tcp and host ${v4}`);
    const client = await talk(file.lab.client, { host: v4, port: 443, tls: { caFile, version }, timeoutMs: 5_000 });
    return { client, server: (await seen.stop()).map(({ target, fromOpener, fromTarget }) => [target, fromOpener.length, fromTarget.length]) };
  };
  const web = (server: ServerName, caFile: string, version: Version): ReturnType<typeof curl> =>
    curl(file.lab.client, { server, caFile, more: ['-4', ...(version === 'TLSv1.2' ? ['--tls-max', '1.2'] : ['--tlsv1.3'])] });

  describe('tunnelling on errors', () => {
    const at = gatewayFor(file, {
      mode: 'redirect', limits,
      policy: { ssl: [{ name: 'all', then: 'intercept', handoff: true, tunnelOnError: [...tunnelOnErrorDefault, 'HTTP_MALFORMED'], clientCert: 'tunnel' }] },
    });

    it('bytes that are not TLS reach the server as they are', async () => {
      const [known, tunnelled] = [(await servers.records('plain-echo', 0)).length, await at.gateway.metric('tunnelled_on_error_total', { error: 'NOT_TLS' })];
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ text: strangeWords }], untilBytes: strangeWords.length }));
      expect(result).toMatchObject({ end: 'left', receivedText: strangeWords });
      expect((await servers.records('plain-echo', known + 1)).slice(known)).toMatchObject([{ received: result.sent }]);
      expect(sessions).toMatchObject([{ action: 'tunnel', protocol: 'unknown', tunnelledOnError: 'NOT_TLS', error: null }]);
      expect(await at.gateway.metric('tunnelled_on_error_total', { error: 'NOT_TLS' })).toBe(tunnelled + 1);
    });

    describe.each(versions)('a client of %s', (version) => {
      it.each(hellos)('a hello %s reaches the server as it is', async (_, code, _refusal, made) => {
        const hello = made(version);
        const [known, tunnelled] = [(await servers.records('plain-echo', 0)).length, await at.gateway.metric('tunnelled_on_error_total', { error: code })];
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ hex: hello.toString('hex') }], untilBytes: hello.length }));
        expect(result).toMatchObject({ end: 'left', received: told(hello) });
        expect((await servers.records('plain-echo', known + 1)).slice(known)).toMatchObject([{ received: told(hello) }]);
        expect(sessions).toMatchObject([{ action: 'tunnel', tunnelledOnError: code, error: null, tls: { client: null, leaf: null } }]);
        expect(await at.gateway.metric('tunnelled_on_error_total', { error: code })).toBe(tunnelled + 1);
      });

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

      it('a server that refuses TCP: so does the gateway, after one attempt', async () => {
        const failed = await at.gateway.metric('sessions_total', { error: 'DIAL_REFUSED' });
        const { result, sessions } = await at.gateway.during(() => refused(version, at.gateway.caFile));
        expect(result.client).toMatchObject({ secured: false, ...reset });
        expect(result.server).toEqual([[`${address('refused').v4}:443`, 0, 0]]);
        expect(sessions).toMatchObject([{ state: 'errored', error: 'DIAL_REFUSED', tunnelledOnError: null, tls: { client: null, leaf: null } }]);
        expect(await at.gateway.metric('sessions_total', { error: 'DIAL_REFUSED' })).toBe(failed + 1);
      });

      it.each(badCertificates)('a server whose certificate is %s: a page, no tunnel', async (server, code) => {
        const known = (await more.records(server, 0)).length;
        const ended = await at.gateway.metric('sessions_total', { error: code });
        const { result, sessions } = await at.gateway.during(() => web(server, at.gateway.caFile, version));
        expect([result.code, result.facts.status]).toEqual([0, 502]);
        expect(result.stdout).toContain(code);
        // The gateway may break off its handshake before its last flight: the server has heard of no version then.
        expect((await more.records(server, known + 1)).slice(known)).toMatchObject([{ received: { bytes: 0 }, tls: { version: expect.toBeOneOf([version, null]) } }]);
        expect(sessions).toMatchObject([{ action: 'deny', error: code, tunnelledOnError: null, tls: { client: { version } } }]);
        expect(await at.gateway.metric('sessions_total', { error: code })).toBe(ended + 1);
      });

      it('a client that refuses our certificate by an alert: the server hears nothing of it', async () => {
        const known = (await servers.records('tls-echo', 0)).length;
        const counted = { side: 'client', error: 'CLIENT_REJECTED_CERT' };
        const failed = [await at.gateway.metric('handshake_failures_total', counted), await at.gateway.metric('sessions_total', { error: counted.error })];
        const { result, sessions } = await at.gateway.during(() => web('echo', file.certificates.rootFile, version));
        expect(result.code).toBe(60);
        expect((await servers.records('tls-echo', known + 1)).slice(known)).toMatchObject([{ received: { bytes: 0 }, tls: { version, sni: address('echo').name } }]);
        expect(sessions).toMatchObject([{ action: 'intercept', error: 'CLIENT_REJECTED_CERT', tunnelledOnError: null, tls: { client: null, leaf: { mirrored: true } } }]);
        expect([await at.gateway.metric('handshake_failures_total', counted), await at.gateway.metric('sessions_total', { error: counted.error })]).toEqual(failed.map((count) => count + 1));
      });

      it('a client that refuses our certificate without a word: the same, by its own code', async () => {
        const known = (await servers.records('tls-echo', 0)).length;
        const failed = await at.gateway.metric('sessions_total', { error: 'CLIENT_LEFT_SILENTLY' });
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('echo').v4, port: 443, tls: { caFile: file.certificates.rootFile, name: address('echo').name, version }, timeoutMs: 5_000 }));
        expect(result).toMatchObject({ secured: false, end: 'error', errorCode: 'SELF_SIGNED_CERT_IN_CHAIN', received: { bytes: 0 } });
        expect((await servers.records('tls-echo', known + 1)).slice(known)).toMatchObject([{ received: { bytes: 0 }, tls: { version, sni: address('echo').name } }]);
        expect(sessions).toMatchObject([{ action: 'intercept', error: 'CLIENT_LEFT_SILENTLY', tunnelledOnError: null, tls: { leaf: { mirrored: true } } }]);
        expect(await at.gateway.metric('sessions_total', { error: 'CLIENT_LEFT_SILENTLY' })).toBe(failed + 1);
      });

      it('malformed HTTP before any answer, by a rule that lists it: relayed as it is', async () => {
        const [known, tunnelled] = [(await servers.records('tls-echo', 0)).length, await at.gateway.metric('tunnelled_on_error_total', { error: 'HTTP_MALFORMED' })];
        const text = `GET / HTTP/1.1\r\nHost: ${address('echo').name}\r\nb@d: 1\r\n\r\n`;
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('echo').v4, port: 443, tls: { caFile: at.gateway.caFile, name: address('echo').name, version }, say: [{ text }], untilBytes: text.length }));
        expect(result).toMatchObject({ secured: true, end: 'left', receivedText: text });
        expect((await servers.records('tls-echo', known + 1)).slice(known)).toMatchObject([{ received: result.sent }]);
        expect(sessions).toMatchObject([{ action: 'relay', protocol: 'unknown', tunnelledOnError: 'HTTP_MALFORMED', error: null, tls: { client: { version } } }]);
        expect(await at.gateway.metric('tunnelled_on_error_total', { error: 'HTTP_MALFORMED' })).toBe(tunnelled + 1);
      });

      it('malformed HTTP after the first request: refused with a page, although the rule lists it', async () => {
        const known = (await more.records('pages', 0)).length;
        const failed = await at.gateway.metric('sessions_total', { error: 'HTTP_MALFORMED' });
        const { name, v4 } = address('node');
        const first = `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
        const say = [{ text: first }, { text: 'neither a request nor a line of HTTP\r\n\r\n', afterBytes: page.length }];
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: v4, port: 443, tls: { caFile: at.gateway.caFile, name, version }, say }));
        expect(result).toMatchObject({ secured: true, end: 'ended', errorCode: null });
        expect(result.receivedText).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*page\nHTTP\/1\.1 400 [^]*HTTP_MALFORMED/);
        expect((await more.records('pages', known + 1)).slice(known)).toMatchObject([{ received: told(Buffer.from(first)), tls: { version, sni: name } }]);
        expect(sessions).toMatchObject([{ action: 'intercept', protocol: 'https', state: 'errored', error: 'HTTP_MALFORMED', tunnelledOnError: null, tls: { client: { version } } }]);
        expect(await at.gateway.metric('sessions_total', { error: 'HTTP_MALFORMED' })).toBe(failed + 1);
      });
    });
  });

  describe('without tunnelling', () => {
    const at = gatewayFor(file, { mode: 'redirect', limits, tunnelOnError: false, policy: { ssl: [{ name: 'strict', then: 'intercept', tunnelOnError: false, clientCert: 'continue' }] } });

    it('bytes that are not TLS: a reset, and no connection to the server', async () => {
      const [known, failed] = [(await servers.records('plain-echo', 0)).length, await at.gateway.metric('sessions_total', { error: 'NOT_TLS' })];
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ text: strangeWords }] }));
      expect(result).toMatchObject(reset);
      expect(await servers.records('plain-echo', 0)).toHaveLength(known);
      expect(sessions).toMatchObject([{ state: 'errored', error: 'NOT_TLS', tunnelledOnError: null, bytes: { toUpstream: 0 } }]);
      expect(await at.gateway.metric('sessions_total', { error: 'NOT_TLS' })).toBe(failed + 1);
    });

    describe.each(versions)('a client of %s', (version) => {
      it.each(hellos)('a hello %s is refused, and nothing reaches the server', async (_, code, refusal, made) => {
        const [known, failed] = [(await servers.records('plain-echo', 0)).length, await at.gateway.metric('sessions_total', { error: code })];
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address('plain').v4, port: 443, say: [{ hex: made(version).toString('hex') }] }));
        expect(result).toMatchObject(refusal);
        expect(await servers.records('plain-echo', 0)).toHaveLength(known);
        expect(sessions).toMatchObject([{ state: 'errored', error: code, tunnelledOnError: null, bytes: { toUpstream: 0 } }]);
        expect(await at.gateway.metric('sessions_total', { error: code })).toBe(failed + 1);
      });

      it.each(rows)('a server that %s: an alert, and no second connection', async (_, server, port, name, code) => {
        const [known, failures] = [(await servers.records(name, 0)).length, await at.gateway.metric('handshake_failures_total', { side: 'upstream', error: code })];
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: address(server).v4, port, tls: { caFile: at.gateway.caFile, version }, timeoutMs: 5_000 }));
        expect(result.errorCode).toMatch(/ALERT/);
        expect(sessions).toMatchObject([{ state: 'errored', error: code, tunnelledOnError: null }]);
        expect((await servers.records(name, known + 1)).length).toBe(known + 1);
        expect(await at.gateway.metric('handshake_failures_total', { side: 'upstream', error: code })).toBe(failures + 1);
      });
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

/** A hello of exactly that version with so many bytes of padding (RFC 7685), and what does not belong there behind it. */
function helloFor(version: Version, paddingBytes: number, trailing = Buffer.alloc(0)): Buffer {
  const [ciphers, offered] = version === 'TLSv1.2' ? [[0xc02f], []] : [[0x1301], [[43, Buffer.from('020304', 'hex')] as const]];
  return buildHello({ ciphers, extensions: [...offered, [21, Buffer.alloc(paddingBytes)]], trailing });
}

function told(bytes: Buffer): { bytes: number; sha256: string } {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
