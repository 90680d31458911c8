// Every client and server of the lab with nothing between them but routing: when one of these fails, a peer is broken and the gateway is
// not to blame. Also pins which clients refuse which certificates, since other tests prove certificates by those clients.

import { expect, it } from 'vitest';
import { startCapture } from './support/capture.ts';
import { address } from './support/names.ts';
import { allReturned, runTurnClient, startCoturn } from './support/peers/coturn.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { Linphone } from './support/peers/linphone.ts';
import { MsTurnPeer, runNice } from './support/peers/ms-turn.ts';
import { greeting, makeBigFile, startNginx } from './support/peers/nginx.ts';
import { runSipe } from './support/peers/sipe.ts';
import { runSippCalls, sippPorts, startSippServer, startSippTunnel, successfulCalls } from './support/peers/sipp.ts';
import { banners, startSmallServers, talk, type SmallServers } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { labFile } from './support/suite.ts';

const bigBytes = 4 * 1024 * 1024;
let bigHash = '';
let small: SmallServers;

labFile('peers without a gateway', async ({ lab, certificates }) => {
  bigHash = makeBigFile(lab.server, bigBytes);
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await startSippServer(lab.server, certificates.server);
  await startSippTunnel(lab.client, certificates.rootFile);
  await startCoturn(lab.server, certificates.server);
  small = await startSmallServers(lab.server, certificates.server);
}, (file) => {
  it.each(['https', 'tls12', 'tls13'] as const)('curl fetches from %s over IPv4 and IPv6', async (server) => {
    for (const family of ['-4', '-6']) {
      const { code, stdout } = await curl(file.lab.client, { server, caFile: file.certificates.rootFile, more: [family] });
      expect([code, stdout]).toEqual([0, greeting(server)]);
    }
  });

  it('curl gets the large file whole', async () => {
    const { hash } = await curl(file.lab.client, { server: 'https', path: '/big', caFile: file.certificates.rootFile });
    expect(hash).toBe(bigHash);
  });

  it.each([['expired', 'certificate has expired'], ['untrusted', 'unable to get local issuer'], ['wrong-name', 'no alternative certificate subject name']] as const)(
    'curl refuses %s', async (server, words) => {
      const { code, stderr } = await curl(file.lab.client, { server, caFile: file.certificates.rootFile });
      expect(code).toBe(60);
      expect(stderr).toContain(words);
    },
  );

  it.each([['sip', 443], ['sip-5061', 5061]] as const)('linphonec registers with %s on port %i', async (server, port) => {
    const phone = await Linphone.start(file.lab.client, { server: address(server), port, caFile: file.certificates.rootFile });
    expect(await phone.outcome()).toBe('registered');
    await phone.quit();
  });

  it('linphonec refuses an unknown root', async () => {
    const phone = await Linphone.start(file.lab.client, { server: address('sip'), port: 443, caFile: file.certificates.userRootFile });
    expect(await phone.outcome()).toBe('certificate refused');
    await phone.quit();
  });

  it('pidgin-sipe signs on, and refuses an unknown root', async () => {
    const target = { server: address('sip'), port: 443, staySeconds: 1 };
    const good = await runSipe(file.lab.client, { ...target, caFolder: file.certificates.rootFolder });
    expect(good.stdout).toContain('SIGNED-ON');
    expect(good.code).toBe(0);
    const bad = await runSipe(file.lab.client, { ...target, caFolder: file.lab.client.folder });
    expect(bad.stdout).toContain('PROMPT SSL Certificate Verification');
    expect(bad.code).toBe(3);
  });

  it('SIPp completes calls, and both ends see the same bytes', async () => {
    const near = await startCapture(file.lab.client, 'lo', `tcp port ${sippPorts.client}`);
    const far = await startCapture(file.lab.server, 'lo', `tcp port ${sippPorts.server}`);
    const result = await runSippCalls(file.lab.client, 20);
    expect([result.code, successfulCalls(result)]).toEqual([0, 20]);
    const [client, server] = [await near.stop(), await far.stop()];
    expect(client).toHaveLength(1);
    expect(client[0]?.fromOpener.length).toBeGreaterThan(10_000);
    expect(server[0]?.fromOpener.equals(client[0]?.fromOpener ?? Buffer.alloc(0))).toBe(true);
    expect(server[0]?.fromTarget.equals(client[0]?.fromTarget ?? Buffer.alloc(0))).toBe(true);
  });

  it.each([true, false])('coturn relays datagrams (TLS %s)', async (tls) => {
    const result = await runTurnClient(file.lab.client, { tls, messages: 5 });
    expect(allReturned(result)).toBe(true);
  });

  it.each([['tls', 443], ['tcp', 3478]] as const)('libnice gets a relayed candidate (%s on port %i)', async (kind, port) => {
    const server = await MsTurnPeer.start(file.lab.server, port);
    const { code, stdout } = await runNice(file.lab.client, { kind, port, holdSeconds: 1 });
    expect([code, stdout]).toEqual([0, expect.stringContaining(`relayed candidate: ${address('av').v4}`)]);
    expect(await server.stop()).toMatchObject({ connections: 1, allocations: 1, tampered: 0 });
  });

  it('the small servers speak as they are said to', async () => {
    const tls = { caFile: file.certificates.rootFile, name: address('echo').name };
    const echo = await talk(file.lab.client, { host: address('echo').v4, port: 443, tls, say: [{ text: 'HELO lab\n' }], untilBytes: 9 });
    expect(echo).toMatchObject({ receivedText: 'HELO lab\n', end: 'left' });
    const [record] = await small.records('tls-echo', 1);
    expect(record?.received).toEqual(echo.sent);
    const inside = await talk(file.lab.client, { host: address('echo').v4, port: 4443, tls, say: [{ text: 'one\n', afterBytes: 5 }], end: true });
    expect(inside.receivedText).toBe(`${banners.inside}250 one\n`);
    const smtp = await talk(file.lab.client, { host: address('smtp').v4, port: 443, say: [{ text: 'QUIT\n', afterBytes: 5 }], end: true });
    expect(smtp.receivedText).toBe(`${banners.smtp}250 QUIT\n`);
    const refused = await talk(file.lab.client, { host: address('refused').v4, port: 443 });
    expect(refused).toMatchObject({ connected: false, errorCode: 'ECONNREFUSED' });
  });
});
