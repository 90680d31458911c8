// The TURN family in depth through a real gateway: MS-TURN and ssltcp by every service type with bytes hashed at both ends, coturn's client
// with every message counted, hellos that are nearly MS-TURN's, and what clients are told when a rule refuses.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Session } from '../../src/core/session.ts';
import type { Program, RunResult } from '../support/program.ts';
import type { Proxy } from './peers/turn-client.ts';
import { openServices } from './support/explicit.ts';
import { labRules } from './support/config.ts';
import { address, network } from './support/names.ts';
import { allReturned, datagrams, runTurnClient, servedCounts, startCoturn } from './support/peers/coturn.ts';
import { MsTurnPeer, runMsTurnClient, runNice, runSsltcpClient, SsltcpServer } from './support/peers/ms-turn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const host = network.gatewayToClient.v4;
/** Every type of service that a client of these protocols can come through. */
const ways: readonly { readonly way: string; readonly port: number; readonly service: string; readonly first: readonly string[]; readonly proxy?: Proxy }[] = [
  { way: 'ssl', port: 443, service: 'https', first: [] },
  { way: 'tcp-tunnel', port: 3478, service: 'turn', first: [] },
  { way: 'http-explicit (CONNECT)', port: 443, service: 'proxy', first: ['http-explicit'], proxy: { type: 'http', host, port: 3128 } },
  { way: 'socks', port: 443, service: 'socks', first: ['socks'], proxy: { type: 'socks5', host, port: 1080 } },
];
/** coturn answers a FIN with a reset, and its client resets what it no longer needs, with or without a gateway. */
const anyReset = expect.toBeOneOf([null, 'RESET_BY_CLIENT', 'RESET_BY_UPSTREAM']);
const legacy = address('optional-tls12');
let coturn: Program;
let small: SmallServers;
let ssltcp: SsltcpServer;

labFile('TURN in depth', async ({ lab, certificates }) => {
  const { certFile, keyFile } = certificates.server;
  coturn = await startCoturn(lab.server, certificates.server);
  await startNginx(lab.server, certificates);
  small = await startSmallServers(lab.server, certificates.server);
  ssltcp = await SsltcpServer.start(lab.server, [443, 3478]);
  const oldServer = ['openssl', 's_server', '-accept', `${legacy.v4}:4443`, '-cert', certFile, '-key', keyFile, '-tls1', '-cipher', 'ALL:@SECLEVEL=0', '-www'];
  await lab.server.spawn('tls10', oldServer, { listens: [`${legacy.v4}:4443`] });
}, (file) => {
  describe('without rules', () => {
    const at = gatewayFor(file, { mode: 'redirect', services: openServices });

    describe.each(ways)('through $way', ({ port, service, first, proxy }) => {
      const through = proxy === undefined ? {} : { proxy };
      const turnSessions = { filter: 'protocol=turn-any' };

      it('libnice: a relay behind pseudo-TLS, Send requests and indications', async () => {
        // The server's hello comes in two pieces: libnice would leave if it got it so.
        const relay = await MsTurnPeer.start(file.lab.server, port, { splitHello: 40 });
        const { result, sessions } = await at.gateway.during(() => runNice(file.lab.client, { kind: 'tls', port, holdSeconds: 1, ...through }), turnSessions);
        expect(result.stdout).toContain('relayed candidate: ');
        const stats = await relay.stop();
        expect(stats).toMatchObject({ pseudoTls: 1, allocations: 1, tampered: 0 });
        expect(stats.sends).toBeGreaterThan(0);
        expect(sessions).toMatchObject([{ service, protocol: 'ms-turn', chain: [...first, 'ms-turn'], action: 'handoff', rule: labRules.protocol, details: { turn: { messages: { send: stats.sends }, opaque: null } } }]);
        expect(sessions[0]?.details.turn?.messages['data-indication']).toBeGreaterThan(0);
      });

      it.each([['behind pseudo-TLS', true], ['bare', false]] as const)('data frames both ways, %s; both ends hash the same bytes', async (_how, pseudoTls) => {
        const relay = await MsTurnPeer.start(file.lab.server, port);
        const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port, pseudoTls, sends: 5, dataFrames: 50, splitBytes: 100, ...through }), turnSessions);
        expect(result).toMatchObject({ failure: null, indications: 5, dataFrames: 50 });
        const stats = await relay.stop();
        expect(stats.hashes).toEqual([{ received: result.hashes.sent, sent: result.hashes.received }]);
        expect(sessions).toMatchObject([{
          service, protocol: 'ms-turn', chain: [...first, 'ms-turn'], error: null,
          details: { turn: { dataFrames: { toUpstream: 50, toClient: 50 }, messages: { send: 5, 'data-indication': 5 }, rtpSeen: true, opaque: null, activeDestination: '192.0.2.7:50007' } },
        }]);
      });

      it.each([['behind pseudo-TLS', true], ['bare', false]] as const)('multiplexed frames, two sessions on a connection, %s; both ends hash the same bytes', async (_how, pseudoTls) => {
        const relay = await MsTurnPeer.start(file.lab.server, port);
        const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port, pseudoTls, sessions: 2, sends: 3, dataFrames: 10, splitBytes: 90, ...through }), turnSessions);
        expect(result).toMatchObject({ failure: null, indications: 6, dataFrames: 20 });
        const stats = await relay.stop();
        expect(stats).toMatchObject({ sessions: 2, allocations: 4, sends: 6, dataFrames: 20, tampered: 0, hashes: [{ received: result.hashes.sent, sent: result.hashes.received }] });
        const bytes = { toPeer: 13 * 172, fromPeer: 13 * 172 };
        expect(sessions).toMatchObject([{
          service, protocol: 'ms-turn', chain: [...first, 'ms-turn'], error: null,
          details: { turn: {
            allocations: [{ result: 'freed' }, { result: 'freed' }], peers: { '192.0.2.7:50007': bytes, '192.0.2.8:50007': bytes }, dataFrames: { toUpstream: 20, toClient: 20 },
            messages: { allocate: 6, send: 6, 'data-indication': 6, 'data-frame': 40 }, errors: { 401: 2 }, rtpSeen: true, opaque: null,
          } },
        }]);
        expect(new Set(sessions[0]?.details.turn?.allocations.map(({ relayed }) => relayed)).size).toBe(2);
      });

      it('ssltcp: hello, STUN and media; both ends hash the same bytes', async () => {
        const known = (await ssltcp.hashes(0)).length;
        const { result, sessions } = await at.gateway.during(() => runSsltcpClient(file.lab.client, { port, frames: 20, ...through }), turnSessions);
        expect(result).toMatchObject({ failure: null, returned: 20 });
        expect((await ssltcp.hashes(known + 1)).at(-1)).toEqual({ received: result.hashes.sent, sent: result.hashes.received });
        expect(sessions).toMatchObject([{
          service, protocol: 'ssltcp', chain: [...first, 'ssltcp'], action: 'handoff', error: null,
          details: { turn: { dataFrames: { toUpstream: 20, toClient: 20 }, messages: { binding: 1, 'binding-response': 1 }, rtpSeen: true, opaque: null } },
        }]);
      });
    });

    it.each([[true, false], [true, true], [false, false], [false, true]])('coturn and its client (TLS %s, Send indications %s): they and the observer count the same messages', async (tls, send) => {
      const protocol = tls ? 'turns' : 'turn';
      const from = coturn.output().length;
      const { result, sessions } = await at.gateway.during(() => runTurnClient(file.lab.client, { tls, send, messages: 10 }), { filter: `protocol=${protocol}`, count: 2 });
      expect(allReturned(result)).toBe(true);
      const { sent, received } = datagrams(result);
      const total = (read: (session: Session) => number | undefined): number => sessions.reduce((sum, session) => sum + (read(session) ?? 0), 0);
      if (send) {
        expect(total(({ details }) => details.turn?.messages['send-indication'])).toBe(sent);
        expect(total(({ details }) => details.turn?.messages['data-indication'])).toBe(received);
      } else {
        expect(total(({ details }) => details.turn?.dataFrames.toUpstream)).toBe(sent);
        expect(total(({ details }) => details.turn?.dataFrames.toClient)).toBe(received);
      }
      const served = await servedCounts(coturn, from, 2);
      expect([served.toPeers, served.fromPeers]).toEqual([sent, received]);
      // Messages of both directions, data included.
      expect(total(({ details }) => Object.values(details.turn?.messages ?? {}).reduce((sum, count) => sum + count, 0))).toBe(served.fromClients + served.toClients);
      for (const session of sessions) expect(session).toMatchObject({ protocol, error: anyReset, details: { turn: { allocations: [{ realm: 'lab.test', user: 'turner', result: expect.toBeOneOf(['allocated', 'freed']) }], opaque: null } } });
    });

    it.each([['turns', 'echo', true], ['turn', 'plain', false]] as const)('%s: both ends hash the same bytes', async (protocol, name, tls) => {
      const { name: fullName, v4 } = address(name);
      const record = tls ? 'tls-echo' : 'plain-echo';
      const known = (await small.records(record, 0)).length;
      const hex = [stunRequest(), ...Array.from({ length: 200 }, () => channelData(randomBytes(160)))].map((bytes) => bytes.toString('hex')).join('');
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: v4, port: 443, say: [{ hex }], untilBytes: hex.length / 2, ...(tls ? { tls: { caFile: at.gateway.caFile, name: fullName } } : {}) }));
      expect(result.received).toEqual(result.sent);
      expect((await small.records(record, known + 1)).at(-1)).toMatchObject({ received: result.sent, sent: result.received });
      expect(sessions).toMatchObject([{ protocol, error: null, details: { turn: { messages: { binding: 2 }, dataFrames: { toUpstream: 200, toClient: 200 }, opaque: null } } }]);
    });

    describe('a hello that is nearly MS-TURN\'s', () => {
      it.each([
        ['another suite', hello('0301', [0x0005])], ['SSL 3.0 outside', hello('0300', [0x0018])], ['two suites', hello('0301', [0x0018, 0x0005])],
      ])('%s: the server answers in pseudo-TLS, so it is MS-TURN', async (_name, bytes) => {
        const relay = await MsTurnPeer.start(file.lab.server, 443, { anyHello: true });
        const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443, helloHex: bytes.toString('hex') }));
        expect(result).toMatchObject({ failure: null, indications: 2, dataFrames: 3 });
        const stats = await relay.stop();
        // One connection to judge, one to use; the client's own bytes on both.
        expect(stats).toMatchObject({ connections: 2, pseudoTls: 2, allocations: 2, tampered: 0 });
        expect(stats.hashes).toContainEqual({ received: result.hashes.sent, sent: result.hashes.received });
        expect(sessions).toMatchObject([{ protocol: 'ms-turn', chain: ['ms-turn'], action: 'handoff', error: null, details: { turn: { opaque: null } } }]);
      });

      it('GnuTLS without extensions at TLS 1.0: the server refuses it as TLS, so it is TLS, and fails as TLS', async () => {
        const { result, sessions } = await at.gateway.during(() => oldTls(at.gateway.caFile, address('https').v4, 443));
        expect(result.stdout).not.toContain(greeting('https'));
        expect(sessions).toMatchObject([{ protocol: 'tls', chain: ['tls'], details: {} }]);
      });

      it('GnuTLS without extensions at TLS 1.0 to a server of that age: tunnelled on error, and its own certificate is seen', async () => {
        const { result, sessions } = await at.gateway.during(() => oldTls(file.certificates.rootFile, legacy.v4, 4443));
        expect(result.stdout).toContain('- Status: The certificate is trusted.');
        expect(result.stdout).toMatch(/Protocol\s*: TLSv1\b|HTTP\/1\.0 200/i);
        expect(sessions).toMatchObject([{ protocol: 'tls', chain: ['tls'], action: 'tunnel', error: null }]);
        expect(sessions[0]?.tunnelledOnError).not.toBeNull();
      });
    });
  });

  describe('where old TLS is allowed', () => {
    const at = gatewayFor(file, { mode: 'redirect', policy: { ssl: [{ name: 'phones', then: 'intercept', tunnelOnError: false, clientTls: { minVersion: 'TLSv1' } }] } });

    it('GnuTLS without extensions at TLS 1.0 is suspected, and then intercepted like all TLS', async () => {
      const { result, sessions } = await at.gateway.during(() => oldTls(at.gateway.caFile, address('https').v4, 443));
      expect(result.stdout).toContain(greeting('https'));
      expect(sessions).toMatchObject([{ protocol: 'https', chain: ['tls', 'https'], action: 'intercept', error: null, sni: null, tls: { client: { version: 'TLSv1' } } }]);
    });
  });

  describe('with rules that refuse', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      policy: { turn: [
        { name: 'not-here', when: { peer: ['127.0.0.0/8', '192.0.2.64/26'] }, then: 'deny' },
        { name: 'not-on-3478', when: { message: ['allocate'], port: [3478] }, then: 'deny' },
      ] },
    });
    let relay: MsTurnPeer;
    const relayOn = (port: number): void => {
      beforeAll(async () => { relay = await MsTurnPeer.start(file.lab.server, port); });
    };

    describe('peers', () => {
      relayOn(443);

      it('libnice keeps its relay; what it sends to a forbidden peer never arrives', async () => {
        const { result, sessions } = await at.gateway.during(() => runNice(file.lab.client, { kind: 'tls', port: 443, holdSeconds: 1 }), { filter: 'protocol=ms-turn' });
        expect(result.stdout).toContain('relayed candidate: ');
        expect(sessions).toMatchObject([{ protocol: 'ms-turn', error: null, details: { turn: { allocations: [{ result: 'allocated' }], denied: { rule: 'turn/not-here' } } } }]);
        expect(sessions[0]?.details.turn?.denied?.messages).toBe(sessions[0]?.details.turn?.messages['send']);
        expect(await at.gateway.metric('policy_decisions_total', { stage: 'turn', action: 'deny' })).toBeGreaterThan(0);
      });

      it('Set Active Destination to one is answered 403 in Microsoft\'s dialect, and the connection goes on', async () => {
        const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443, sends: 0, peer: { ip: '192.0.2.66', port: 9 } }), { filter: 'protocol=ms-turn' });
        expect(result).toMatchObject({ failure: 'Set Active Destination refused: 403 Forbidden by policy', errorCode: 403, relayed: expect.any(String) });
        expect(sessions).toMatchObject([{ error: null, details: { turn: { activeDestination: null } } }]);
      });

      it('another peer is reached', async () => {
        const { result } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443 }), { filter: 'protocol=ms-turn' });
        expect(result).toMatchObject({ failure: null, indications: 2, dataFrames: 3 });
      });

      afterAll(async () => {
        // Nothing of the first two tests but their allocations.
        expect(await relay.stop()).toMatchObject({ allocations: 4, sends: 2, activeDestinations: 1, tampered: 0 });
      });
    });

    describe('allocations', () => {
      relayOn(3478);

      it.each(['tls', 'tcp'] as const)('libnice gets no relay (%s), and the server is not asked', async (kind) => {
        const { result, sessions } = await at.gateway.during(() => runNice(file.lab.client, { kind, port: 3478 }), { filter: 'protocol=ms-turn' });
        expect(result.stdout).toContain('relayed candidates total: 0');
        expect(result.code).toBe(3);
        expect(sessions[0]).toMatchObject({ protocol: 'ms-turn', details: { turn: { allocations: [{ result: 'failed', errorCode: 403 }] } } });
      });

      it('coturn\'s client is told in the dialect of RFC 8656', async () => {
        const { result, sessions } = await at.gateway.during(() => runTurnClient(file.lab.client, { tls: false, messages: 1 }), { filter: 'protocol=turn' });
        expect(`${result.stdout}${result.stderr}`).toContain('error 403 (Forbidden by policy)');
        expect(sessions[0]).toMatchObject({ protocol: 'turn', details: { turn: { allocations: [{ result: 'failed', errorCode: 403 }] } } });
      });

      afterAll(async () => {
        expect(await relay.stop()).toMatchObject({ challenges: 0, allocations: 0 });
      });
    });
  });

  /** A client as old as it gets: TLS 1.0, no extensions block, no session id; asks for a page. */
  function oldTls(caFile: string, v4: string, port: number): Promise<RunResult> {
    const { name } = address('https');
    return file.lab.client.run([
      'gnutls-cli', '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.0:-KX-ALL:+RSA:%NO_EXTENSIONS', '--x509cafile', caFile, '--verify-hostname', name, '-p', String(port), v4,
    ], { input: `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`, holdInput: true });
  }
});

/** A hello of 48 bytes and its suites, one record: no session id, no extensions (FACTS A.1 with something else in it). */
function hello(recordVersion: string, suites: readonly number[]): Buffer {
  const suiteBytes = Buffer.concat(suites.map((suite) => Buffer.from([suite >> 8, suite & 0xff])));
  const body = Buffer.concat([Buffer.from('0301', 'hex'), randomBytes(32), Buffer.from([0, 0, suiteBytes.length]), suiteBytes, Buffer.from([1, 0])]);
  const message = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 0xff]), body]);
  return Buffer.concat([Buffer.from(`16${recordVersion}`, 'hex'), Buffer.from([message.length >> 8, message.length & 0xff]), message]);
}

/** RFC 8489 section 5: a Binding request without attributes. */
function stunRequest(): Buffer {
  return Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)]);
}

/** RFC 8656 section 12.4: channel 0x4001; lengths here need no padding. */
function channelData(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x40, 0x01, body.length >> 8, body.length & 0xff]), body]);
}
