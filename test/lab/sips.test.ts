// Real SIP clients through a real gateway: linphonec and pidgin-sipe, which refuse bad certificates, register with kamailio over TLS on 443
// and on 5061; SIPp completes 200 calls, byte for byte.

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Program } from '../support/program.ts';
import { startCapture, type CapturedConnection } from './support/capture.ts';
import { labRules, modes } from './support/config.ts';
import { address, v4Names } from './support/names.ts';
import { sipAccount, startKamailio, unchallengedUser } from './support/peers/kamailio.ts';
import { Linphone } from './support/peers/linphone.ts';
import { runSipe } from './support/peers/sipe.ts';
import { runSippCalls, sippPorts, startSippServer, startSippTunnel, successfulCalls } from './support/peers/sipp.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const calls = 200;
const targets = [['sip', 443, 'https'], ['sip-5061', 5061, 'sip']] as const;

labFile('sips', async ({ lab, certificates }) => {
  await startKamailio(lab.server, certificates.server);
  await startSippServer(lab.server, certificates.server);
}, (file) => {
  describe.each([['redirect', 0], ['tproxy', 0], ['redirect', 2]] as const)('through %s, workers %i', (mode, workers) => {
    const at = gatewayFor(file, { mode, workers });
    let tunnel: Program | null = null;
    beforeAll(async () => {
      tunnel = await startSippTunnel(file.lab.client, at.gateway.caFile);
    });
    afterAll(async () => {
      await tunnel?.stop();
    });

    it.each(targets)('linphonec registers with %s on port %i', async (server, port, service) => {
      const { name, v4, v6 } = address(server);
      const { sessions } = await at.gateway.during(async () => {
        const phone = await Linphone.start(file.lab.client, { server: address(server), port, caFile: at.gateway.caFile });
        expect(await phone.outcome()).toBe('registered');
        const active = await at.gateway.waitForSession('protocol=sips & state=active', ({ details }) => details.sip?.registrations.some(({ state }) => state === 'registered') === true);
        // One phone is one registration, although linphonec changes its Contact once it has seen the address that its server saw.
        expect(active.details.sip?.registrations).toMatchObject([{ aor: `sip:${sipAccount.user}@${name}`, expiresSeconds: 600, userAgent: expect.stringContaining('Linphonec') }]);
        await phone.quit();
      });
      expect(sessions).toMatchObject([{
        service, protocol: 'sips', chain: ['tls', 'sips'], action: 'intercept', rule: labRules.ssl, error: null, tunnelledOnError: null, sni: name,
        destination: { ip: v4Names.has(server) ? v4 : v6, port }, tls: { upstream: { name: 'verified' }, leaf: { mirrored: true } },
        // Challenged, registered, and removed when it quits.
        details: { sip: { methods: { REGISTER: 3 }, registrations: [{ state: 'removed' }] } },
      }]);
    });

    it.each(targets)('pidgin-sipe signs on to %s on port %i', async (server, port, service) => {
      const { result, sessions } = await at.gateway.during(() => runSipe(file.lab.client, { server: address(server), port, caFolder: at.gateway.caFolder, staySeconds: 1 }));
      expect(result.stdout).toContain('SIGNED-ON');
      expect(result.code).toBe(0);
      expect(sessions).toMatchObject([{
        service, protocol: 'sips', chain: ['tls', 'sips'], action: 'intercept', error: null,
        details: { sip: { registrations: [{ aor: `sip:${unchallengedUser}@${address(server).name}` }] } },
      }]);
    });

    it('SIPp completes its calls, and both ends see the same bytes', async () => {
      const near = await startCapture(file.lab.client, 'lo', `tcp port ${sippPorts.client}`);
      const far = await startCapture(file.lab.server, 'lo', `tcp port ${sippPorts.server}`);
      const { result, sessions } = await at.gateway.during(() => runSippCalls(file.lab.client, calls), { filter: `destination=${address('sipp').v4},${address('sipp').v6}` });
      expect([result.code, successfulCalls(result)]).toEqual([0, calls]);
      const [client, server] = [await near.stop(), await far.stop()];
      expect(client.map(digest)).toEqual(server.map(digest));
      expect(client[0]?.fromOpener.toString('latin1').match(/^INVITE /gm)).toHaveLength(calls);
      expect(sessions).toMatchObject([{
        service: 'sip', protocol: 'sips', chain: ['tls', 'sips'], action: 'intercept', error: null,
        details: { sip: { methods: { INVITE: calls, ACK: calls, BYE: calls }, opaque: null } },
      }]);
      expect(await at.gateway.metric('sip_messages_total', { protocol: 'sips', kind: 'request', name: 'INVITE' })).toBe(calls);
    });
  });

  describe.each(modes)('through %s', (mode) => {
    const at = gatewayFor(file, { mode });

    it('linphonec refuses the gateway when it does not trust its CA', async () => {
      const phone = await Linphone.start(file.lab.client, { server: address('sip'), port: 443, caFile: file.certificates.rootFile });
      expect(await phone.outcome()).toBe('certificate refused');
      await phone.quit();
      await at.gateway.waitForSession('error=CLIENT_REJECTED_CERT', ({ state, chain }) => state === 'errored' && chain.join() === 'tls');
    });

    it('pidgin-sipe would ask its user when it does not trust the CA', async () => {
      const { stdout, code } = await runSipe(file.lab.client, { server: address('sip'), port: 443, caFolder: file.certificates.rootFolder, staySeconds: 1 });
      expect(stdout).toContain('PROMPT SSL Certificate Verification');
      expect(code).toBe(3);
    });
  });
});

function digest({ fromOpener, fromTarget }: CapturedConnection): Record<string, number | string> {
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  return { requestBytes: fromOpener.length, request: sha256(fromOpener), responseBytes: fromTarget.length, response: sha256(fromTarget) };
}
