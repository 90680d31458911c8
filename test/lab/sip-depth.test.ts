// SIP in depth through a real gateway: baresip, SIPp under load with every message counted, idle registrations held by keep-alives,
// plain SIP on a tunnel service, and what phones do when a rule refuses a request: linphonec goes on, a signed association ignores us.
// Idle registrations are held while the rest goes on (test/soak holds them for longer).

import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { SipFramer } from '../../src/sip/framer.ts';
import type { Program } from '../support/program.ts';
import type { Torture, TortureEnd } from './peers/sip-torture.ts';
import { startCapture, type CapturedConnection } from './support/capture.ts';
import { whileHeld, type Hold } from './support/held.ts';
import { address, network } from './support/names.ts';
import { runBaresip } from './support/peers/baresip.ts';
import { sipAccount, startKamailio } from './support/peers/kamailio.ts';
import { Linphone } from './support/peers/linphone.ts';
import { LyncServer, lyncUser } from './support/peers/lync.ts';
import { runSipe, type SipeOptions } from './support/peers/sipe.ts';
import { startServers, talk, type SmallServers } from './support/peers/small.ts';
import { runSippCalls, startPlainSippServer, startSippServer, successfulCalls } from './support/peers/sipp.ts';
import { sippLoad } from './support/sipp-load.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const load = { callsPerSecond: 200, seconds: 60 } as const;
const hold: Hold = { count: 50, holdMs: 180_000, pingMs: 20_000 };
const sipIdleMs = 60_000;

/** MS-SIPCOMP section 4.1, and the server's consent. */
const negotiation = `NEGOTIATE sip:10.77.2.30:443 SIP/2.0\r\n${negotiating()}`;
const agreed = `SIP/2.0 200 OK\r\n${negotiating()}`;
let kamailio: Program;
let compressing: SmallServers;

labFile('SIP in depth', async ({ lab, certificates }) => {
  kamailio = await startKamailio(lab.server, certificates.server);
  await startSippServer(lab.server, certificates.server);
  await startPlainSippServer(lab.server);
  compressing = await startServers(lab.server, [{ name: 'compressing', host: address('echo').v4, port: 443, kind: 'answers', text: agreed, ...certificates.server }]);
}, (file) => {
  it('the RFC messages, each with an OPTIONS behind it: Kamailio never frames differently from us', async () => {
    const data = join(import.meta.dirname, '../data');
    const files = Object.fromEntries(['rfc4475', 'rfc5118'].flatMap((folder) => readdirSync(join(data, folder)).map((name) => [`${folder}/${name.replace('.dat', '')}`, join(data, folder, name)])));
    const { name, v4 } = address('sip');
    const plan: Torture = { host: v4, port: 443, name, caFile: file.certificates.rootFile, files };
    const ends: Record<string, TortureEnd> = JSON.parse(await file.lab.client.mustRun([process.execPath, join(import.meta.dirname, 'peers/sip-torture.ts'), JSON.stringify(plan)], { timeoutMs: 60_000 }));
    const differences = Object.entries(files).flatMap(([label, path]) => {
      const ours = framedEnd(readFileSync(path));
      return ours === ends[label] ? [] : [[label, `${ours}, Kamailio: ${ends[label] ?? '?'}`]];
    });
    expect(Object.keys(ends)).toHaveLength(62);
    // Every difference is Kamailio ending a connection over the grammar of a message that both frame alike, which is a server's business and
    // no gateway's. None is a message after which both go on: only that would be a way to smuggle.
    const closes = 'in step, Kamailio: closed';
    expect(Object.fromEntries(differences)).toEqual({
      'rfc4475/baddn': 'closed, Kamailio: waits', // this copy lacks its last line end, so the OPTIONS becomes a header: we see that it is none
      'rfc4475/badinv01': closes, // stray separators
      'rfc4475/badvers': closes, // SIP/7.0
      'rfc4475/bigcode': closes, // a status of ten digits
      'rfc4475/esc02': closes, // an escaped method
      'rfc4475/insuf': closes, // no Call-ID, From or To
      'rfc4475/intmeth': closes, // a valid method of odd characters, which Kamailio does not take
      'rfc4475/lwsruri': closes, // blanks in the Request-URI
      'rfc4475/lwsstart': closes, // blanks in the start line
      'rfc4475/multi01': closes, // fields that may be there once, twice
      'rfc4475/quotbal': closes, // a quote that never closes
      'rfc4475/wsinv': closes, // valid, with blanks and folds that Kamailio does not take
    });
  });

  describe('without rules', () => {
    const at = gatewayFor(file, { mode: 'redirect', limits: { sipIdleMs } });
    whileHeld(file, at, hold, () => {
      it.each([['sip', 443, 'https'], ['sip-5061', 5061, 'sip']] as const)('baresip registers with %s on port %i, and leaves', async (server, port, service) => {
        const { result, sessions } = await at.gateway.during(() => runBaresip(file.lab.client, { server: address(server), port, seconds: 2 }));
        expect(result.stdout + result.stderr).toMatch(/200 OK/);
        expect(sessions).toMatchObject([{
          service, protocol: 'sips', chain: ['tls', 'sips'], action: 'intercept', sni: null, destination: { ip: address(server).v4, port },
          details: { sip: { registrations: [{ aor: `sip:${sipAccount.user}@${address(server).name}`, state: 'removed', scheme: 'Digest', userAgent: expect.stringContaining('baresip') }] } },
        }]);
      });

      sippLoad(file, at, load);

      it('after a successful NEGOTIATE (MS-SIPCOMP) everything passes unread, and both ends hash the same bytes', async () => {
        const known = (await compressing.records('compressing', 0)).length;
        // What is compressed may look like anything, requests and faults of framing included.
        const compressed = Buffer.concat([randomBytes(30_000), Buffer.from('REGISTER sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n'), randomBytes(30_000)]);
        const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, {
          host: address('echo').v4, port: 443, tls: { caFile: at.gateway.caFile, name: address('echo').name },
          say: [{ text: negotiation }, { hex: compressed.toString('hex'), afterBytes: agreed.length }], untilBytes: agreed.length + compressed.length,
        }), { filter: `destination=${address('echo').v4}` });
        expect(result.receivedText.startsWith(agreed)).toBe(true);
        expect((await compressing.records('compressing', known + 1)).at(-1)).toMatchObject({ received: result.sent, sent: result.received });
        expect(sessions).toMatchObject([{ protocol: 'sips', error: null, details: { sip: { methods: { NEGOTIATE: 1 }, statuses: { 200: 1 }, opaque: 'compressed (MS-SIPCOMP)' } } }]);
        expect(Object.keys(sessions[0]?.details.sip?.methods ?? {})).toEqual(['NEGOTIATE']);
      });

      it('plain SIP on a tunnel service is sip, and both ends see the same bytes', async () => {
        const { v4 } = address('plain');
        const near = await startCapture(file.lab.client, 'lan', `tcp port 5061 and host ${v4}`);
        const far = await startCapture(file.lab.server, 'wan', `tcp port 5061 and host ${v4}`);
        const { result, sessions } = await at.gateway.during(() => runSippCalls(file.lab.client, 50, { plainFrom: network.clients[0] }), { filter: `destination=${v4}` });
        expect([result.code, successfulCalls(result)]).toEqual([0, 50]);
        expect((await near.stop()).map(digest)).toEqual((await far.stop()).map(digest));
        expect(sessions).toMatchObject([{ service: 'sip', protocol: 'sip', chain: ['sip'], action: 'handoff', error: null, tls: { client: null }, details: { sip: { methods: { INVITE: 50, ACK: 50, BYE: 50 } } } }]);
      });
    });
  });

  describe('with rules that refuse', () => {
    const at = gatewayFor(file, {
      mode: 'redirect',
      policy: { sip: [
        { name: 'not-bob', when: { method: ['INVITE'], to: ['sip:bob@*'], agent: ['*inphone*'] }, then: 'deny' },
        { name: 'not-carol', when: { method: ['INVITE'], to: ['sip:carol@*'] }, then: 'deny', status: 488 },
        { name: 'not-dave', when: { method: ['INVITE'], to: ['sip:dave@*'] }, then: 'deny', status: 503 },
        { name: 'no-relays', when: { method: ['SERVICE'], agent: ['*Sipe*'] }, then: 'deny', status: 488 },
        { name: 'not-mallory', when: { method: ['REGISTER'], from: ['sip:mallory@lab.test'] }, then: 'deny' },
      ] },
    });
    let lync: LyncServer;
    beforeAll(async () => {
      lync = await LyncServer.start(file.lab.server, file.certificates.server, { internal: 443, external: 443, listens: [443] });
    });
    afterAll(() => lync.stop());
    const sipe = (account: string): SipeOptions => ({ account, authentication: 'tls-dsk', caFolder: at.gateway.caFolder, staySeconds: 1 });

    it('linphonec is told with 403, 488 and 503, and its connection stays usable', async () => {
      const told = { bob: '403 Forbidden', carol: '488 Not Acceptable Here', dave: '503 Service Unavailable' };
      const calls = (): string[] => kamailio.output().match(/lab: (?:INVITE|ACK) .*/g) ?? [];
      const before = calls().length;
      const { sessions } = await at.gateway.during(async () => {
        const phone = await Linphone.start(file.lab.client, { server: address('sip'), port: 443, caFile: at.gateway.caFile, logs: true });
        expect(await phone.outcome()).toBe('registered');
        for (const [index, [user, answer]] of Object.entries(told).entries()) {
          await phone.ask(`call sip:${user}@${address('sip').name}`, /^.*Call \d+ with \S+ error\.$/m);
          expect(phone.log()).toContain(`SIP/2.0 ${answer}`);
          await at.gateway.waitForSession('protocol=sips & state=active', ({ details }) => details.sip?.denied?.requests === index + 1 && details.sip.methods['ACK'] === index + 1);
        }
        await phone.quit();
      });
      // One connection for all of it: registered, refused three times, unregistered.
      expect(sessions).toMatchObject([{
        protocol: 'sips', error: null,
        details: { sip: { methods: { REGISTER: 3, INVITE: 3, ACK: 3 }, denied: { requests: 3, rule: 'sip/not-dave' }, dialogs: [], registrations: [{ state: 'removed' }] } },
      }]);
      // Neither the requests nor their ACKs reached the server.
      expect(calls()).toHaveLength(before);
    });

    it('compression is refused (488), and the client goes on without it', async () => {
      const known = (await compressing.records('compressing', 0)).length;
      const next = 'OPTIONS sip:echo.lab.test SIP/2.0\r\nVia: SIP/2.0/TLS 10.77.1.2:2616;branch=z9hG4bK7\r\nFrom: <sip:a@lab.test>;tag=1\r\nTo: <sip:echo.lab.test>\r\nCall-ID: next\r\nCSeq: 2 OPTIONS\r\nContent-Length: 0\r\n\r\n';
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, {
        host: address('echo').v4, port: 443, tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: negotiation }, { text: next, afterBytes: 1 }, { text: '', afterBytes: 800 }], timeoutMs: 3_000,
      }), { filter: `destination=${address('echo').v4}` });
      expect(result.receivedText).toMatch(/^SIP\/2\.0 488 Not Acceptable Here\r\n/);
      // The server saw the OPTIONS alone, and took it for what it answers.
      expect(result.receivedText.endsWith(agreed)).toBe(true);
      expect((await compressing.records('compressing', known + 1)).at(-1)).toMatchObject({ received: { bytes: next.length } });
      expect(sessions).toMatchObject([{ protocol: 'sips', details: { sip: { denied: { requests: 1, rule: 'no compression past sip rules' }, opaque: null } } }]);
    });

    it('a signed association does not take our word: pidgin-sipe ignores the refusal, and its connection goes on', async () => {
      const { result, sessions } = await at.gateway.during(() => runSipe(file.lab.client, sipe(lyncUser)), { count: 4 });
      expect(result.code).toBe(0);
      expect(result.stdout).toMatch(/SIP\/2\.0 488 Not Acceptable Here/);
      expect(result.stdout).toContain('message without authentication data - ignoring');
      expect(result.stdout).not.toContain('Media relay:');
      const { sip } = await lync.records(1);
      // The refused request never reached the server, and every other one was signed and accepted.
      expect(sip).toMatchObject([{ failure: null, badSignatures: 0, unsigned: 0, mras: 0, methods: { REGISTER: expect.any(Number), SUBSCRIBE: 2 } }]);
      expect(sip[0]?.methods['SERVICE']).toBeUndefined();
      const refused = sessions.find(({ protocol }) => protocol === 'sips');
      expect(refused).toMatchObject({ details: { sip: { denied: { rule: 'sip/no-relays' }, registrations: [{ scheme: 'TLS-DSK' }] } } });
    });

    it('before there is an association the refusal counts: pidgin-sipe gives up and says why', async () => {
      const { result, sessions } = await at.gateway.during(() => runSipe(file.lab.client, sipe('mallory@lab.test')), { count: 3 });
      expect(result.code).toBe(2);
      expect(result.stdout).toContain('You have been rejected by the server');
      expect(sessions.find(({ protocol }) => protocol === 'sips')).toMatchObject({ details: { sip: { denied: { requests: 1, rule: 'sip/not-mallory' }, registrations: [] } } });
      expect((await lync.records(1)).sip).toMatchObject([{ methods: {} }]);
    });
  });
});

/** What our framer makes of a message and an OPTIONS behind it, in the words of the torture client. */
function framedEnd(message: Buffer): TortureEnd {
  const framer = new SipFramer(limitsWith());
  framer.feed(Buffer.concat([message, Buffer.from('OPTIONS sip:x SIP/2.0\r\nCall-ID: marker\r\nContent-Length: 0\r\n\r\n')]));
  let last: string | null = null;
  for (let step = framer.next(); step !== 'more'; step = framer.next()) {
    if (step === 'fault') return 'closed';
    if (step === 'head') last = framer.head.raw('call-id');
  }
  return last === 'marker' ? 'in step' : 'waits';
}

function digest({ fromOpener, fromTarget }: CapturedConnection): readonly (number | string)[] {
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  return [fromOpener.length, sha256(fromOpener), fromTarget.length, sha256(fromTarget)];
}

function negotiating(): string {
  return [
    'Via: SIP/2.0/TLS 10.77.1.2:2616;branch=z9hG4bK6', 'CSeq: 1 NEGOTIATE', 'Call-ID: 8d8b20f87c9c4221a732f3a70f57e9b8', 'From: <sip:10.77.1.2:2616>;tag=984721fb', 'To: <sip:10.77.2.30:443>;tag=1',
    'Compression: LZ77-8K', 'Max-Forwards: 0', 'Content-Length: 0', '\r\n',
  ].join('\r\n');
}
