// Protocols that the gateway does not know, and TURN inside TLS: relayed to the byte inside opened TLS, or denied by rule.

import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { labRules, modes } from './support/config.ts';
import { address } from './support/names.ts';
import { allReturned, runTurnClient, startCoturn } from './support/peers/coturn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { banners, startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** First bytes that no row of the protocol table may take for its own. */
const strangeWords = 'HELLO-LAB 1 frobnicate\n';
const noiseBytes = 24 * 1024;
/** coturn answers a FIN with a reset, and its client resets what it no longer needs, with or without a gateway. */
const anyReset = expect.toBeOneOf([null, 'RESET_BY_CLIENT', 'RESET_BY_UPSTREAM']);
let servers: SmallServers;

labFile('unknown protocols', async ({ lab, certificates }) => {
  servers = await startSmallServers(lab.server, certificates.server);
  await startNginx(lab.server, certificates);
  await startCoturn(lab.server, certificates.server);
}, (file) => {
  const echo = address('echo');

  describe.each(modes)('through %s', (mode) => {
    const at = gatewayFor(file, { mode });
    const tls = (): { caFile: string; name: string } => ({ caFile: at.gateway.caFile, name: echo.name });

    it.each([[443, 'tls-echo', 'https'], [5061, 'tls-echo-5061', 'sip']] as const)('inside TLS on %i it is relayed, byte for byte', async (port, name, service) => {
      const known = (await servers.records(name, 0)).length;
      const say = [{ text: strangeWords }, { hex: randomBytes(noiseBytes).toString('hex'), afterBytes: strangeWords.length }];
      const untilBytes = strangeWords.length + noiseBytes;
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: echo.v4, port, tls: tls(), say, untilBytes }));
      expect(result).toMatchObject({ end: 'left', received: result.sent });
      const record = (await servers.records(name, known + 1)).at(-1);
      expect(record).toMatchObject({ received: result.sent, sent: result.received, tls: { sni: echo.name } });
      expect(sessions).toMatchObject([{
        service, protocol: 'unknown', chain: ['tls', 'unknown'], action: 'relay', error: null, tunnelledOnError: null, state: 'closed',
        tls: { upstream: { name: 'verified' }, leaf: { mirrored: true } },
      }]);
    });

    it('a half-close passes inside TLS', async () => {
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: echo.v4, port: 443, tls: tls(), say: [{ text: strangeWords }], end: true }));
      expect(result).toMatchObject({ end: 'ended', receivedText: strangeWords, errorCode: null });
      expect(sessions).toMatchObject([{ protocol: 'unknown', error: null }]);
    });

    it('a server that speaks first inside TLS is heard', async () => {
      const plan = { host: echo.v4, port: 4443, tls: tls(), say: [{ text: 'one\n', afterBytes: 5 }], end: true };
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, plan));
      expect(result.receivedText).toBe(`${banners.inside}250 one\n`);
      expect(sessions).toMatchObject([{ protocol: 'unknown', chain: ['tls', 'unknown'], action: 'relay', error: null }]);
    });

    it('TURN inside TLS is turns, plain it is turn', async () => {
      const secure = await at.gateway.during(() => runTurnClient(file.lab.client, { tls: true, messages: 5 }), { filter: 'protocol=turns', count: 2 });
      expect(allReturned(secure.result)).toBe(true);
      for (const session of secure.sessions) expect(session).toMatchObject({ service: 'https', protocol: 'turns', chain: ['tls', 'turns'], action: 'intercept', error: anyReset, sni: null });
      const plain = await at.gateway.during(() => runTurnClient(file.lab.client, { tls: false, messages: 5 }), { filter: 'protocol=turn', count: 2 });
      expect(allReturned(plain.result)).toBe(true);
      for (const session of plain.sessions) expect(session).toMatchObject({ service: 'turn', protocol: 'turn', chain: ['turn'], action: 'handoff', rule: labRules.protocol, error: anyReset });
    });
  });

  describe.each(modes)('through %s, unknown denied', (mode) => {
    // The reference's deny-unknown policy (CONTRACT "Config").
    const at = gatewayFor(file, {
      mode, policy: { protocol: [{ name: 'deny-unknown', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' }] },
    });

    it('it is refused, the session says PROTOCOL_DENIED, and not a byte reaches the server', async () => {
      const known = (await servers.records('tls-echo', 0)).length;
      const plan = { host: echo.v4, port: 443, tls: { caFile: at.gateway.caFile, name: echo.name }, say: [{ text: strangeWords }], untilBytes: 1 };
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, plan));
      expect(result.received.bytes).toBe(0);
      expect(result.end).not.toBe('timeout');
      expect(sessions).toMatchObject([{ protocol: 'unknown', chain: ['tls', 'unknown'], action: 'deny', rule: 'protocol/deny-unknown', error: 'PROTOCOL_DENIED', state: 'errored' }]);
      const records = (await servers.records('tls-echo', known)).slice(known);
      for (const { received } of records) expect(received.bytes).toBe(0);
    });

    it('https still passes', async () => {
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile }));
      expect(result.stdout).toBe(greeting('https'));
      expect(sessions).toMatchObject([{ protocol: 'https', action: 'intercept', error: null }]);
    });
  });

  describe('with interception but no handoff', () => {
    const at = gatewayFor(file, { mode: 'redirect', policy: { ssl: [{ name: 'stunnel', then: 'intercept', handoff: false }] } });

    it('everything inside TLS is relayed decrypted and called undetected', async () => {
      const { result, sessions } = await at.gateway.during(() => curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile, more: ['--http1.1'] }));
      expect(result.stdout).toBe(greeting('https'));
      expect(sessions).toMatchObject([{ protocol: 'undetected', chain: ['tls', 'undetected'], action: 'relay', rule: 'ssl/stunnel', error: null }]);
    });
  });
});
