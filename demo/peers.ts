// The demo's side of the internet: real servers for HTTPS, SIP over TLS, MS-TURN, an unknown protocol in TLS, and one that requires a
// client certificate. They know nothing of the gateway.

import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTlsServer } from 'node:tls';
import type { Server } from 'node:net';
import type { DemoAuthority } from './identities.ts';
import { startMsTurnServer } from './ms-turn-server.ts';
import { startSipServer } from './sip-server.ts';

/** The servers by name. */
export type PeerName = 'https' | 'sips' | 'msTurn' | 'unknown' | 'clientCert';

export interface Endpoint {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** Where each server is. */
export type PeerEndpoints = Readonly<Record<PeerName, Endpoint>>;

export interface Peers {
  readonly at: PeerEndpoints;
  close(): Promise<void>;
}

/** Names under which the servers have certificates. */
export const peerNames = {
  https: 'www.demo.test', sips: 'sip.demo.test', unknown: 'game.demo.test', clientCert: 'bank.demo.test',
} as const;

/** The TURN user of the demo. */
export const turnUser = { user: 'demo', password: 'demo' } as const;

/** Starts all servers. */
export async function startPeers(at: PeerEndpoints, authority: DemoAuthority): Promise<Peers> {
  const https = createHttpsServer(await authority.server(peerNames.https), (request, response) => response.end(`hello from ${request.url ?? ''}\n`));
  const unknown = createTlsServer(await authority.server(peerNames.unknown), (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const clientCert = createTlsServer({ ...(await authority.server(peerNames.clientCert)), ca: authority.root.cert, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.on('error', () => {});
    socket.end('welcome\n');
  });
  clientCert.on('tlsClientError', () => {});
  const sips = await startSipServer({ ...at.sips, ...(await authority.server(peerNames.sips)) });
  const msTurn = await startMsTurnServer({ ...at.msTurn, users: { [turnUser.user]: turnUser.password } });
  const bound = (name: PeerName, port: number): Endpoint => ({ host: at[name].host, port });
  return {
    at: {
      https: bound('https', await listening(https, at.https)), unknown: bound('unknown', await listening(unknown, at.unknown)),
      clientCert: bound('clientCert', await listening(clientCert, at.clientCert)), sips: bound('sips', sips.port), msTurn: bound('msTurn', msTurn.port),
    },
    async close() {
      https.closeAllConnections();
      await Promise.all([...[https, unknown, clientCert].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))), sips.close(), msTurn.close()]);
    },
  };
}

function listening(server: Server, { host, port }: Endpoint): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
