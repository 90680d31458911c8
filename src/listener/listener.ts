// Listens for one service: binds, accepts, and hands over sockets ready for peeking (half-close allowed, no Nagle, paused).
// It never reads a byte.

import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setTransparent } from './original-dst.ts';

export interface ListenOptions {
  /** An IP address; `::` is dual stack. */
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
  /** Several processes listen on the same port, the kernel deals connections out (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Accept connections to any address (TPROXY). Needs CAP_NET_ADMIN. */
  readonly transparent: boolean;
}

export interface Listening {
  readonly port: number;
  /** Stops accepting; accepted sockets live on. */
  close(): Promise<void>;
}

/** Resolves once bound; rejects with the system's error. */
export function listen(options: ListenOptions, accept: (socket: Socket) => void): Promise<Listening> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.host, port: options.port, backlog: options.backlog, reusePort: options.reusePort, exclusive: true }, () => {
      server.off('error', reject);
      // What goes wrong with one connection while it is accepted (no memory, no descriptors) is the end of that one alone.
      server.on('error', () => {});
      try {
        if (options.transparent) setTransparent(server);
        resolve({ port: portOf(server), close: () => closed(server) });
      } catch (caught) {
        server.close();
        reject(caught instanceof Error ? caught : new Error(String(caught)));
      }
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
