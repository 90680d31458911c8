// MS-TURN through a real gateway: libnice gets its relayed candidates through the redirect of port 443 from a server that speaks
// pseudo-TLS, nothing is decrypted, and what both ends see is the same to the byte.

import { describe, expect, it } from 'vitest';
import { startCapture } from './support/capture.ts';
import { labRules } from './support/config.ts';
import { address } from './support/names.ts';
import { MsTurnPeer, runMsTurnClient, runNice, turnAccount } from './support/peers/ms-turn.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const { v4 } = address('av');

labFile('ms-turn', async () => { /* Each suite starts its own server, to read what it counted. */ }, (file) => {
  describe.each([['redirect', 0], ['tproxy', 0], ['redirect', 2]] as const)('through %s, workers %i', (mode, workers) => {
    const at = gatewayFor(file, { mode, workers });

    it.each([['tls', 443, 'https'], ['tcp', 3478, 'turn']] as const)('libnice gets a relayed candidate (%s on port %i), byte for byte', async (kind, port, service) => {
      const server = await MsTurnPeer.start(file.lab.server, port);
      const near = await startCapture(file.lab.client, 'lan', `tcp port ${port} and host ${v4}`);
      const far = await startCapture(file.lab.server, 'wan', `tcp port ${port} and host ${v4}`);
      const { result, sessions } = await at.gateway.during(() => runNice(file.lab.client, { kind, port, holdSeconds: 1 }), { filter: 'protocol=ms-turn' });
      expect(result.stdout).toContain(`relayed candidate: ${v4}`);
      expect(result.code).toBe(0);
      const [clients, servers] = [await near.stop(), await far.stop()];
      expect(clients).toHaveLength(1);
      expect(servers).toHaveLength(1);
      expect(servers[0]?.fromOpener.equals(clients[0]?.fromOpener ?? Buffer.alloc(0))).toBe(true);
      expect(servers[0]?.fromTarget.equals(clients[0]?.fromTarget ?? Buffer.alloc(0))).toBe(true);
      const stats = await server.stop();
      expect(stats).toMatchObject({ pseudoTls: kind === 'tls' ? 1 : 0, allocations: 1, tampered: 0 });
      expect(sessions).toMatchObject([{
        service, protocol: 'ms-turn', chain: ['ms-turn'], action: 'handoff', rule: labRules.protocol, error: null, tunnelledOnError: null,
        destination: { ip: v4, port }, tls: { client: null, upstream: null, leaf: null },
        bytes: { fromClient: clients[0]?.fromOpener.length, toClient: clients[0]?.fromTarget.length },
        details: { turn: { allocations: [{ realm: turnAccount.realm, user: turnAccount.user, lifetimeSeconds: 600, result: 'allocated' }], opaque: null } },
      }]);
      expect(sessions[0]?.details.turn?.allocations[0]?.relayed).toContain(v4);
    });

    it.each([undefined, 1, 7])('the whole exchange with data frames (writes of %s bytes)', async (splitBytes) => {
      const server = await MsTurnPeer.start(file.lab.server, 443);
      const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443, ...(splitBytes === undefined ? {} : { splitBytes }) }), { filter: 'protocol=ms-turn' });
      expect(result).toMatchObject({ failure: null });
      const stats = await server.stop();
      expect(stats.tampered).toBe(0);
      expect(stats.sends).toBeGreaterThan(0);
      expect(stats.hashes).toContainEqual({ received: result.hashes.sent, sent: result.hashes.received });
      expect(sessions).toMatchObject([{ protocol: 'ms-turn', chain: ['ms-turn'], action: 'handoff', error: null, details: { turn: { opaque: null, dataFrames: { toUpstream: stats.dataFrames } } } }]);
    });

    it('libnice lives when the server sends its hello in two pieces: the gateway delivers it in one', async () => {
      const server = await MsTurnPeer.start(file.lab.server, 443, { splitHello: 40 });
      const { result } = await at.gateway.during(() => runNice(file.lab.client, { kind: 'tls', port: 443 }), { filter: 'protocol=ms-turn' });
      expect(result.code).toBe(0);
      await server.stop();
    });

    it('wrong credentials are refused by the server, not by the gateway', async () => {
      const server = await MsTurnPeer.start(file.lab.server, 443);
      const { result, sessions } = await at.gateway.during(() => runMsTurnClient(file.lab.client, { port: 443, password: 'wrong' }), { filter: 'protocol=ms-turn' });
      expect(result.failure).not.toBeNull();
      expect((await server.stop()).refused).toBeGreaterThan(0);
      expect(sessions).toMatchObject([{ protocol: 'ms-turn', error: null }]);
      expect(sessions[0]?.details.turn?.allocations.some(({ result: end }) => end === 'allocated')).toBe(false);
    });
  });
});
