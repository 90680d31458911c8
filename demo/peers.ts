// The demo's side of the internet: real servers for HTTPS, SIP over TLS, MS-TURN, an unknown protocol in TLS, and one that requires a
// client certificate. They know nothing of the gateway.

import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTlsServer } from 'node:tls';
import type { Server } from 'node:net';
import type { DemoAuthority } from './identities.ts';
import { startMsTurnServer } from './ms-turn-server.ts';
import { startSipServer } from './sip-server.ts';

/** Ports of the servers; 0 takes free ones. */
export interface PeerPorts {
  readonly https: number;
  readonly sips: number;
  readonly msTurn: number;
  readonly unknown: number;
  readonly clientCert: number;
}

export interface Peers {
  readonly ports: PeerPorts;
  close(): Promise<void>;
}

/** Names under which the servers have certificates. */
export const peerNames = {
  https: 'www.demo.test', sips: 'sip.demo.test', unknown: 'game.demo.test', clientCert: 'bank.demo.test',
} as const;

/** The TURN user of the demo. */
export const turnUser = { user: 'demo', password: 'demo' } as const;

/** Starts all servers on one address. */
export async function startPeers(host: string, ports: PeerPorts, authority: DemoAuthority): Promise<Peers> {
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
  const sips = await startSipServer({ host, port: ports.sips, ...(await authority.server(peerNames.sips)) });
  const msTurn = await startMsTurnServer({ host, port: ports.msTurn, users: { [turnUser.user]: turnUser.password } });
  const bound = {
    https: await listening(https, host, ports.https), unknown: await listening(unknown, host, ports.unknown),
    clientCert: await listening(clientCert, host, ports.clientCert), sips: sips.port, msTurn: msTurn.port,
  };
  return {
    ports: bound,
    async close() {
      https.closeAllConnections();
      await Promise.all([...[https, unknown, clientCert].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))), sips.close(), msTurn.close()]);
    },
  };
}

function listening(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
