// The reference's two policies and every sentence of its notes on them, each a test with the sentence as its name: real clients and servers,
// asserting what the client saw, what reached the server, and what the session says.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.ts';
import { labConfig } from './support/config.ts';
import { curlWith, gatewayAt } from './support/explicit.ts';
import { address, network, type ServerName } from './support/names.ts';
import { MsTurnPeer, runMsTurnClient } from './support/peers/ms-turn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { repository, sallyport } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** Enable SSL interception with proxy handoff. */
const policy1 = { name: 'proxy-handoff', then: 'intercept', handoff: true } as const;
/** Deny unknown, undetected protocols (CONTRACT "Config"). */
const policy2 = [
  { name: 'deny-unknown', when: { tls: 'intercepted', not: { protocol: ['https', 'sips', 'ms-turn'] } }, then: 'deny' },
  { name: 'deny-undetected', when: { tls: 'none', protocol: ['undetected'] }, then: 'deny' },
] as const;
const strangeWords = 'HELLO-LAB 1 frobnicate\n';
const untouched = { action: 'tunnel', protocol: 'tls', chain: ['tls'], error: null, tls: { client: null, leaf: null } } as const;
const [, mapped = ''] = network.clients;
let servers: SmallServers;

labFile('the reference', async ({ lab, certificates }) => {
  servers = await startSmallServers(lab.server, certificates.server);
  await startNginx(lab.server, certificates);
}, (file) => {
  const echo = address('echo');
  const https = `https://${address('https').name}/`;
  const say = (caFile: string, more: { readonly port?: number } = {}) => talk(file.lab.client, { host: echo.v4, port: 443, tls: { caFile, name: echo.name }, say: [{ text: strangeWords }], untilBytes: strangeWords.length, timeoutMs: 8_000, ...more });
  const fetched = (caFile: string, ...more: string[]) => curlWith(file.lab.client, ['-4', '--cacert', caFile, ...more, https]);
  const check = async (configFile: string): Promise<string> => (await file.lab.gateway.run([...sallyport, 'check', '-c', configFile], { cwd: repository })).stdout;
  const bytesAtServer = async (name: string): Promise<number> => (await servers.records(name, 0)).reduce((sum, { received }) => sum + received.bytes, 0);

  describe('Policy 1: Enable SSL Interception with Proxy Handoff', () => {
    const at = gatewayFor(file, { mode: 'redirect', tunnelOnError: false, policy: { ssl: [policy1] } });

    it('"performs SSL interception on the traffic and then hands traffic off to a proxy capable of handling it"', async () => {
      const { result, sessions } = await at.gateway.during(() => fetched(at.gateway.caFile));
      expect(result.stdout).toBe(greeting('https'));
      expect(sessions).toMatchObject([{ action: 'intercept', chain: ['tls', 'h2'], rule: 'ssl/proxy-handoff', error: null, tls: { leaf: { mirrored: true } } }]);
    });

    it('"the protocol is not recognized": "behaves the same as Enable STunnel interception"', async () => {
      const { result, sessions } = await at.gateway.during(() => say(at.gateway.caFile));
      expect(result).toMatchObject({ receivedText: strangeWords, secured: true });
      expect(sessions).toMatchObject([{ action: 'relay', chain: ['tls', 'unknown'], note: 'no protocol matches', error: null, tls: { leaf: { mirrored: true } } }]);
    });
  });

  const switchedOff = ['tls-any', 'http-any', 'sip-any', 'turn-any', 'ssltcp'];
  const stunnels: [string, NonNullable<NonNullable<ConfigInput['policy']>['ssl']>[number]][] = [
    ['"protocol detection is disabled": "behaves the same as Enable STunnel interception"', { ...policy1, detect: { off: switchedOff } }],
    ['Enable STunnel interception', { name: 'stunnel', then: 'intercept', handoff: false }],
  ];
  describe.each(stunnels)('%s', (_name, rule) => {
    const at = gatewayFor(file, { mode: 'redirect', policy: { ssl: [rule] } });

    it('HTTPS and the unknown alike are decrypted, relayed byte for byte, and called undetected', async () => {
      const web = await at.gateway.during(() => fetched(at.gateway.caFile, '--http1.1'));
      expect(web.result.stdout).toBe(greeting('https'));
      const strange = await at.gateway.during(() => say(at.gateway.caFile));
      expect(strange.result).toMatchObject({ receivedText: strangeWords, secured: true });
      for (const { sessions } of [web, strange]) expect(sessions).toMatchObject([{ action: 'relay', chain: ['tls', 'undetected'], protocol: 'undetected', note: 'detection is off', rule: `ssl/${rule.name ?? ''}`, error: null, tls: { leaf: { mirrored: true } } }]);
    });
  });

  describe('Enable HTTPS interception', () => {
    const at = gatewayFor(file, { mode: 'redirect', policy: { ssl: [policy1], protocol: [{ name: 'https-only', when: { tls: 'intercepted', not: { protocol: ['https'] } }, then: 'deny' }] } });

    it('HTTPS passes; anything else inside is refused with an error', async () => {
      expect((await fetched(at.gateway.caFile)).stdout).toBe(greeting('https'));
      const { result, sessions } = await at.gateway.during(() => say(at.gateway.caFile));
      expect(result).toMatchObject({ secured: true, receivedText: '' });
      expect(sessions).toMatchObject([{ action: 'deny', error: 'PROTOCOL_DENIED', rule: 'protocol/https-only' }]);
    });
  });

  describe('Policy 2: Deny Unknown, Undetected Protocols', () => {
    const bypassed: readonly ServerName[] = ['tls12', 'echo'];
    const at = gatewayFor(file, {
      mode: 'redirect',
      whole: (certificates, stateFolder) => {
        const map = join(file.lab.gateway.folder, 'user-map');
        writeFileSync(map, `${mapped} ann\n10.77.1.0/24 somebody\n`);
        const config = labConfig(certificates, stateFolder, {
          mode: 'redirect', tunnelOnError: false,
          policy: {
            connection: [{ name: 'no-detection', when: { destination: `${address('tls13').v4}/32` }, then: 'allow', detect: { off: ['tls-any', 'http-any', 'sip-any', 'turn-any', 'ssltcp'] } }],
            ssl: [{ name: 'not-intercepted', when: { sni: bypassed.map((server) => address(server).name), port: [443] }, then: 'tunnel' }, { name: 'ann', when: { user: 'ann' }, then: 'tunnel' }, policy1],
            protocol: [
              { name: 'allowed-before', when: { service: ['proxy-allowed', 'tunnel-allowed'], tls: 'none' }, then: 'relay' },
              { name: 'no-detection', when: { destination: `${address('tls13').v4}/32`, protocol: ['undetected'] }, then: 'relay' },
              ...policy2.map((rule) => ({ ...rule, when: { ...rule.when } })),
            ] as NonNullable<NonNullable<ConfigInput['policy']>['protocol']>,
          },
          services: [
            { name: 'proxy-blind', type: 'http-explicit', listen: '[::]:3130', detectProtocol: false },
            { name: 'socks-blind', type: 'socks', listen: '[::]:1082', detectProtocol: false },
            { name: 'tunnel-blind', type: 'tcp-tunnel', listen: '[::]:8062', to: `${echo.v4}:443`, detectProtocol: false },
            { name: 'proxy-allowed', type: 'http-explicit', listen: '[::]:3131', detectProtocol: false },
            { name: 'tunnel-allowed', type: 'tcp-tunnel', listen: '[::]:8063', to: `${echo.v4}:443`, detectProtocol: false },
          ],
        });
        return { ...config, services: config.services.map((service) => (service.name === 'https' ? { ...service, userMap: map } : service)) };
      },
    });
    const through = (way: string, port: number) => curlWith(file.lab.client, ['-4', way, gatewayAt(port), '--cacert', file.certificates.rootFile, '-w', '\n%{http_connect}', https]);

    it('"The known protocols are HTTPS, SIPS, and MS-TURN": they pass', async () => {
      expect((await fetched(at.gateway.caFile)).stdout).toBe(greeting('https'));
      const sip = await at.gateway.during(() => talk(file.lab.client, {
        host: echo.v4, port: 5061, tls: { caFile: at.gateway.caFile, name: echo.name }, untilBytes: 1,
        say: [{ text: `OPTIONS sip:x@lab.test SIP/2.0\r\nVia: SIP/2.0/TLS 10.77.1.2:5061;branch=z9hG4bK1\r\nFrom: <sip:a@lab.test>;tag=1\r\nTo: <sip:x@lab.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n` }],
      }));
      expect(sip.sessions).toMatchObject([{ protocol: 'sips', action: 'intercept', error: null }]);
      const turn = await MsTurnPeer.start(file.lab.server, 443);
      const media = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443 }), { filter: 'protocol=ms-turn' });
      await turn.stop();
      expect(media.result.failure).toBeNull();
      expect(media.sessions).toMatchObject([{ protocol: 'ms-turn', action: 'handoff', error: null }]);
    });

    it('"The proxy denies all traffic that is traversing over an intercepted SSL connection that is not one of these three protocols"', async () => {
      const before = await bytesAtServer('tls-echo-5061');
      const { result, sessions } = await at.gateway.during(() => say(at.gateway.caFile, { port: 5061 }));
      expect(result).toMatchObject({ secured: true, receivedText: '' });
      expect(sessions).toMatchObject([{ action: 'deny', error: 'PROTOCOL_DENIED', rule: 'protocol/deny-unknown', chain: ['tls', 'unknown'] }]);
      expect(await bytesAtServer('tls-echo-5061')).toBe(before);
    });

    it('"For non-intercepted SSL traffic, the proxy cannot apply the Detection Protocol policy": "it tunnels through the proxy"', async () => {
      const { rootFile } = file.certificates;
      const web = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', rootFile, `https://${address('tls12').name}/`]));
      expect(web.result.stdout).toBe(greeting('tls12'));
      const strange = await at.gateway.during(() => say(rootFile));
      expect(strange.result).toMatchObject({ receivedText: strangeWords });
      for (const { sessions } of [web, strange]) expect(sessions).toMatchObject([{ ...untouched, rule: 'ssl/not-intercepted' }]);
    });

    it('"For cases where Protocol Detection is disabled": "Denies CONNECT requests through the HTTP Proxy"', async () => {
      const { result, sessions } = await at.gateway.during(() => through('-x', 3130));
      expect(result.code).not.toBe(0);
      expect(result.stdout).toMatch(/403$/);
      expect(sessions).toMatchObject([{ service: 'proxy-blind', action: 'deny', error: 'PROTOCOL_DENIED', rule: 'protocol/deny-undetected', bytes: { toUpstream: 0 } }]);
    });

    it('"For cases where Protocol Detection is disabled": "Denies requests through the SOCKS Proxy"', async () => {
      const { result, sessions } = await at.gateway.during(() => through('--socks5-hostname', 1082));
      expect(result.code).toBe(97);
      expect(sessions).toMatchObject([{ service: 'socks-blind', action: 'deny', error: 'PROTOCOL_DENIED', rule: 'protocol/deny-undetected', bytes: { toUpstream: 0 } }]);
    });

    it('"For cases where Protocol Detection is disabled": "Denies all traffic through the TCP-Tunnel Proxy service"', async () => {
      const before = await bytesAtServer('tls-echo');
      const { result, sessions } = await at.gateway.during(() => talk(file.lab.client, { host: network.gatewayToClient.v4, port: 8062, tls: { caFile: file.certificates.rootFile, name: echo.name }, say: [{ text: strangeWords }], timeoutMs: 8_000 }));
      expect(result).toMatchObject({ secured: false, received: { bytes: 0 } });
      expect(sessions).toMatchObject([{ service: 'tunnel-blind', action: 'deny', error: 'PROTOCOL_DENIED', rule: 'protocol/deny-undetected', protocol: 'undetected' }]);
      expect(await bytesAtServer('tls-echo')).toBe(before);
    });

    it('"you must adjust your CPL to allow those specific services/requests in this layer before the DENY rule applies"', async () => {
      const { result, sessions } = await at.gateway.during(() => through('-x', 3131));
      expect(result.stdout).toBe(`${greeting('https')}\n200`);
      expect(sessions).toMatchObject([{ service: 'proxy-allowed', action: 'relay', protocol: 'undetected', rule: 'protocol/allowed-before', error: null }]);
      const plain = await at.gateway.during(() => talk(file.lab.client, { host: network.gatewayToClient.v4, port: 8063, tls: { caFile: file.certificates.rootFile, name: echo.name }, say: [{ text: strangeWords }], untilBytes: strangeWords.length }));
      expect(plain.result.receivedText).toBe(strangeWords);
      expect(plain.sessions).toMatchObject([{ service: 'tunnel-allowed', action: 'relay', error: null }]);
    });

    it('B#243071 "Disable SSL Detection policy prevented access to specific HTTPS URLs": switched off by group, they are reached', async () => {
      const { result, sessions } = await at.gateway.during(() => curlWith(file.lab.client, ['-4', '--cacert', file.certificates.rootFile, `https://${address('tls13').name}/`]));
      expect([result.code, result.stdout]).toEqual([0, greeting('tls13')]);
      expect(sessions).toMatchObject([{ protocol: 'undetected', action: 'relay', rule: 'protocol/no-detection', error: null, tls: { leaf: null } }]);
    });

    it('check says at load time which services the rule would deny', async () => {
      const warnings = await check(at.gateway.configFile);
      for (const service of ['proxy-blind', 'socks-blind', 'tunnel-blind']) expect(warnings).toMatch(new RegExp(`warning: .*${service}.*deny-undetected|warning: .*deny-undetected.*${service}`));
      for (const service of ['proxy-allowed', 'tunnel-allowed']) expect(warnings).not.toMatch(new RegExp(`${service}.*deny-undetected`));
    });

    it('users by address count in rules and in sessions', async () => {
      const ask = (from: string, caFile: string) => at.gateway.during(() => curlWith(file.lab.client, ['-4', '--interface', from, '--cacert', caFile, https]));
      const ann = await ask(mapped, file.certificates.rootFile);
      expect(ann.result.stdout).toBe(greeting('https'));
      expect(ann.sessions).toMatchObject([{ ...untouched, user: 'ann', rule: 'ssl/ann' }]);
      expect((await ask(network.clients[2], at.gateway.caFile)).sessions).toMatchObject([{ user: 'somebody', action: 'intercept' }]);
      expect(await at.gateway.sessions('user=ann')).toHaveLength(1);
    });
  });
});
