// The whole sign-in of a Lync client through examples/skype-for-business.yaml, the reason this gateway exists: autodiscovery over HTTP and
// HTTPS, SIP on 443, TLS-DSK with its HTTPS hop, media relay credentials, and a relay behind pseudo-TLS on 443. pidgin-sipe and libnice are
// the clients. Every message of the signed association is checked by both ends, so a single changed byte would end it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Session } from '../../src/core/session.ts';
import type { RunResult } from '../support/program.ts';
import type { SipRecord } from './peers/lync-sip.ts';
import { startCapture, type CapturedConnection } from './support/capture.ts';
import { modes, type Mode } from './support/config.ts';
import { explicitPorts, skypeExample } from './support/example.ts';
import type { Gateway } from './support/gateway.ts';
import { address, network } from './support/names.ts';
import { LyncServer, lyncUser, type WebRequestRecord } from './support/peers/lync.ts';
import { MsTurnPeer, runMsTurnClient, runNice, turnAccount } from './support/peers/ms-turn.ts';
import { mrasIn, runSipe, type SipeOptions } from './support/peers/sipe.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const av = address('av');
const proxyHost = network.gatewayToClient.v4;
/** The ways through a gateway; the explicit ones are the same whatever the transparent one is. */
const routes: Readonly<Record<Mode, readonly { readonly route: string; readonly proxy: Proxy }[]>> = {
  redirect: [
    { route: 'REDIRECT', proxy: null },
    { route: 'CONNECT', proxy: { type: 'http', host: proxyHost, port: explicitPorts.http } },
    { route: 'SOCKS', proxy: { type: 'socks5', host: proxyHost, port: explicitPorts.socks5 } },
  ],
  tproxy: [{ route: 'TPROXY', proxy: null }],
};
/** pidgin-sipe closes its socket while answers to its last words are on the way. */
const leftOrReset = expect.toBeOneOf([null, 'RESET_BY_CLIENT']);
type Proxy = { readonly type: 'http' | 'socks5'; readonly host: string; readonly port: number } | null;

interface SignIn {
  readonly result: RunResult;
  readonly sessions: readonly Session[];
  readonly web: readonly WebRequestRecord[];
  readonly sip: SipRecord;
}

let server: LyncServer;

labFile('Skype for Business sign-in', async () => { /* Each suite has a deployment of its own. */ }, (file) => {
  /** A deployment whose autodiscovery sends clients to these ports of its SIP server, the first one first. */
  const deployment = (internal: number, external: number): void => {
    beforeAll(async () => {
      server = await LyncServer.start(file.lab.server, file.certificates.server, { internal, external, listens: [...new Set([internal, external])] });
    });
    afterAll(() => server.stop());
  };
  /** Blocks 5061 on its way to the server, as the firewall of a customer's network does. */
  const firewall = (): void => {
    beforeAll(async () => {
      await file.lab.server.mustRun(['nft', '-f', '-'], { input: 'table inet firewall {\n chain in {\n type filter hook input priority 0;\n tcp dport 5061 reject with icmpx admin-prohibited;\n }\n}\n' });
    });
    afterAll(async () => {
      await file.lab.server.mustRun(['nft', 'delete', 'table', 'inet', 'firewall']);
    });
  };
  const signIn = async (gateway: Gateway, proxy: Proxy): Promise<SignIn> => {
    const options: SipeOptions = { account: lyncUser, authentication: 'tls-dsk', caFolder: gateway.caFolder, staySeconds: 1, ...(proxy === null ? {} : { proxy }) };
    const { result, sessions } = await gateway.during(() => runSipe(file.lab.client, options), { count: 4 });
    expect(result.stdout).toContain('SIGNED-ON');
    expect(result.code).toBe(0);
    const { web, sip } = await server.records(1);
    const [record] = sip;
    if (sip.length !== 1 || record === undefined) throw new Error(`one SIP connection, not ${sip.length}`);
    return { result, sessions, web, sip: record };
  };

  /** What the client and the deployment say of a sign-in that went well. */
  const expectWhole = ({ result, web, sip }: SignIn): void => {
    const asked = web.map(({ scheme, host, method, path, status }) => `${status} ${method} ${scheme}://${host}${path}`);
    const [base, certificates, tickets] = [`https://${address('lync-web').name}`, '/CertProv/CertProvisioningService.svc', '/WebTicket/WebTicketService.svc'];
    expect(asked).toEqual(expect.arrayContaining([
      `200 GET https://${address('lyncdiscoverinternal').name}/`, `200 GET ${base}/Autodiscover/AutodiscoverService.svc/root/user`,
      `200 GET ${base}${certificates}/mex`, `200 GET ${base}${tickets}/mex`, `200 POST ${base}${tickets}/Negotiate`, `200 POST ${base}${certificates}/WebTicket_Proof_SHA1`,
    ]));
    expect(web.every(({ status }) => status === 200)).toBe(true);
    // Signed by the client and accepted by the server: REGISTER, provisioning, MRAS and the way out.
    expect(sip).toMatchObject({ failure: null, unsigned: 0, badSignatures: 0, mras: 1 });
    expect(sip.signed).toBeGreaterThanOrEqual(4);
    expect(result.stdout).toContain('sip_sec_init_sec_context__tls_dsk: handshake completed');
    // Signed by the server and accepted by the client; it tells of a wrong one.
    expect(result.stdout.match(/signature of incoming message validated/g)?.length).toBeGreaterThanOrEqual(3);
    expect(result.stdout).not.toContain('signature of incoming message is invalid');
  };

  /** libnice asks the relay with what MRAS gave to the Lync client; both ends of the gateway see the same bytes. */
  const relayed = async (gateway: Gateway, proxy: Proxy, result: RunResult): Promise<Session> => {
    const credentials = mrasIn(result);
    expect(credentials).toMatchObject({ host: av.name, port: 443 });
    const turn = await MsTurnPeer.start(file.lab.server, 443);
    const far = await startCapture(file.lab.server, 'wan', `tcp port 443 and host ${av.v4}`);
    const near = await startCapture(file.lab.client, 'lan', proxy === null ? `tcp port 443 and host ${av.v4}` : `tcp port ${proxy.port}`);
    const nice = await gateway.during(() => runNice(file.lab.client, {
      kind: 'tls', port: 443, holdSeconds: 1, ...(credentials === null ? {} : { credentials }), ...(proxy === null ? {} : { proxy }),
    }), { filter: 'protocol=ms-turn' });
    expect(nice.result.stdout).toContain('relayed candidate: ');
    const [servers, clients] = [await far.stop(), await near.stop()];
    expect(await turn.stop()).toMatchObject({ connections: 1, pseudoTls: 1, allocations: 1, tampered: 0 });
    expectSameBytes(clients, servers, proxy !== null);
    const [session] = nice.sessions;
    if (session === undefined || nice.sessions.length !== 1) throw new Error('one relay session');
    return session;
  };

  describe.each(modes)('acquired by %s', (mode) => {
    const at = gatewayFor(file, { mode, whole: skypeExample(mode) });

    describe.each(routes[mode])('through $route', ({ proxy }) => {
      deployment(443, 443);
      let signed: SignIn;

      it('signs in by autodiscovery and TLS-DSK, with every signature intact', async () => {
        signed = await signIn(at.gateway, proxy);
        expectWhole(signed);
      });

      it('every session says what it was', () => {
        const { sessions } = signed;
        const of = (protocol: string): Session[] => sessions.filter((session) => session.protocol === protocol);
        const [secure, explicit] = [proxy === null ? 'https' : proxy.type === 'http' ? 'proxy' : 'socks', proxy === null ? [] : [proxy.type === 'http' ? 'http-explicit' : 'socks']];
        // Autodiscovery and the web services, which the client asks on one connection; and plain HTTP besides.
        expect(of('https').length).toBeGreaterThanOrEqual(2);
        for (const session of of('https')) expect(session).toMatchObject({ service: secure, chain: [...explicit, 'tls', 'https'], action: 'intercept', error: null, tls: { upstream: { name: 'verified' }, leaf: { mirrored: true } } });
        expect(of('http').length).toBeGreaterThanOrEqual(1);
        const [sips, ...more] = of('sips').filter(({ details }) => details.sip?.registrations.length === 1);
        expect(more).toEqual([]);
        expect(sips).toMatchObject({
          service: secure, chain: [...explicit, 'tls', 'sips'], action: 'intercept', error: leftOrReset, destination: { port: 443 }, sni: address('lync').name,
          details: { sip: {
            registrations: [{ aor: `sip:${lyncUser}`, scheme: 'TLS-DSK', epid: expect.any(String), userAgent: expect.stringContaining('Sipe/'), offered: ['TLS-DSK'], rounds: expect.any(Number) }],
            mras: { requested: 1, granted: 1, failed: 0 }, subscriptions: [{ event: 'vnd-microsoft-provisioning-v2' }], server: 'RTC/6.0', msKeepAliveSeconds: 300, opaque: null,
          } },
        });
        // Credentials of the relay are nobody's business.
        expect(JSON.stringify(sessions)).not.toContain(Buffer.from(turnAccount.password).toString('base64'));
      });

      it('libnice gets a relay with the credentials that MRAS gave, nothing decrypted', async () => {
        const session = await relayed(at.gateway, proxy, signed.result);
        expect(session).toMatchObject({
          protocol: 'ms-turn', action: 'handoff', error: null, tls: { client: null, upstream: null, leaf: null },
          details: { turn: { allocations: [{ user: turnAccount.user, realm: turnAccount.realm, result: 'allocated' }], opaque: null } },
        });
        expect(session.details.turn?.messages['send']).toBeGreaterThan(0);
      });
    });

    if (mode === 'redirect') describe('Condition 1: 5061 is blocked, the client falls back to 443, interception on', () => {
      firewall();
      deployment(5061, 443);

      it('login succeeds on 443', async () => {
        const signed = await signIn(at.gateway, null);
        expectWhole(signed);
        expect(signed.result.stdout).toContain(`hostname: ${address('lync').name} port: 5061`);
        expect(signed.sessions.filter(({ destination, details }) => destination.port === 443 && details.sip?.registrations.length === 1)).toHaveLength(1);
        // The attempt on 5061 is told as what it was, and never answered in HTTP.
        expect(signed.sessions.filter(({ destination }) => destination.port === 5061)).toMatchObject([{ service: 'sip', state: 'errored', error: expect.stringMatching(/^DIAL_/) }]);
        expect(signed.result.stdout).not.toMatch(/HTTP\/1\.1 [45]\d\d/);
      });

      it('a client that insists on revocation data gets it for the SIP server\'s certificate', async () => {
        const { name } = address('lync');
        const fetched = await at.gateway.metric('crl_requests_total');
        const { code, stdout } = await file.lab.client.run([
          'openssl', 's_client', '-connect', `${name}:443`, '-servername', name, '-verify_hostname', name, '-CAfile', at.gateway.caFile, '-verify_return_error', '-crl_check', '-crl_download',
        ], { input: 'Q\n' });
        expect([code, stdout]).toEqual([0, expect.stringContaining('Verify return code: 0 (ok)')]);
        expect(await at.gateway.metric('crl_requests_total')).toBeGreaterThan(fetched);
      });
    });
  });

  describe('Condition 2: NAT between client and server, tunnel on error off, interception on', () => {
    const natAddress = '10.77.2.200';
    deployment(443, 443);
    beforeAll(async () => {
      await file.lab.gateway.mustRun(['ip', 'address', 'add', `${natAddress}/24`, 'dev', 'wan']);
      await file.lab.gateway.mustRun(['nft', '-f', '-'], { input: `table ip nat-of-the-lab {\n chain out {\n type nat hook postrouting priority 100;\n oifname "wan" snat to ${natAddress};\n }\n}\n` });
    });
    afterAll(async () => {
      await file.lab.gateway.mustRun(['nft', 'delete', 'table', 'ip', 'nat-of-the-lab']);
      await file.lab.gateway.mustRun(['ip', 'address', 'delete', `${natAddress}/24`, 'dev', 'wan']);
    });

    const at = gatewayFor(file, { mode: 'redirect', whole: skypeExample('redirect', { tunnelOnError: false }) });

    it('joining works: login, relay credentials, and a relay that sees the translated address', async () => {
      const signed = await signIn(at.gateway, null);
      expectWhole(signed);
      expect(signed.sip.from).toMatch(new RegExp(`${natAddress}:`));
      const session = await relayed(at.gateway, null, signed.result);
      expect(session).toMatchObject({ protocol: 'ms-turn', tunnelledOnError: null, error: null });
      expect(session.details.turn?.allocations[0]?.reflexive).toMatch(new RegExp(`^${natAddress}:`));
    });

    it('media flows both ways, in Send requests and in data frames', async () => {
      const turn = await MsTurnPeer.start(file.lab.server, 443);
      const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443 }), { filter: 'protocol=ms-turn' });
      expect(result).toMatchObject({ failure: null, indications: 2, dataFrames: 3 });
      expect((await turn.stop()).hashes).toContainEqual({ received: result.hashes.sent, sent: result.hashes.received });
      expect(sessions).toMatchObject([{ tunnelledOnError: null, details: { turn: { dataFrames: { toUpstream: 3, toClient: 3 }, rtpSeen: true } } }]);
    });

    it('what is no TLS and nobody knows is still not let through there', async () => {
      const { sessions } = await at.gateway.during(() => file.lab.client.run(['curl', '-sS', '-m', '5', `http://${av.v4}:443/`]));
      expect(sessions).toMatchObject([{ state: 'errored', error: 'NOT_TLS', tunnelledOnError: null }]);
    });
  });
});

/** The same bytes on both sides; a proxy's words to the client come first there. */
function expectSameBytes(clients: readonly CapturedConnection[], servers: readonly CapturedConnection[], explicit: boolean): void {
  expect([clients.length, servers.length]).toEqual([1, 1]);
  const [[client], [upstream]] = [clients, servers];
  if (client === undefined || upstream === undefined) return;
  for (const side of ['fromOpener', 'fromTarget'] as const) {
    const [near, far] = [client[side], upstream[side]];
    expect(far.length).toBeGreaterThan(100);
    if (!explicit) expect(near.length).toBe(far.length);
    expect(near.subarray(near.length - far.length).equals(far)).toBe(true);
  }
}
