// Listens for one service: binds (or takes what the service manager has bound), accepts, and hands over sockets ready for peeking (half-close allowed, no Nagle, paused).
// It never reads a byte.

import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { listeningCarrier } from './activation.ts';
import { isTransparent, setTransparent } from './original-dst.ts';

export interface ListenOptions {
  /** An IP address; `::` is dual stack. */
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
  /** Several processes listen on the same port, the kernel deals connections out (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Accept connections to any address (TPROXY). Needs CAP_NET_ADMIN. */
  readonly transparent: boolean;
  /** A socket of the service manager to be taken instead of binding one; it must be on this port. */
  readonly descriptor?: number | null;
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
    const up = (): void => {
      server.off('error', reject);
      // What goes wrong with one connection while it is accepted (no memory, no descriptors) is the end of that one alone.
      server.on('error', () => {});
      try {
        const port = portOf(server);
        if (handedOver && options.port !== 0 && port !== options.port) throw new Error(`the service manager hands over port ${port}, but the config says ${options.port}: make them the same`);
        if (options.transparent && !(handedOver && isTransparent(server))) setTransparent(server);
        resolve({ port, close: () => closed(server) });
      } catch (caught) {
        server.close();
        reject(caught instanceof Error ? caught : new Error(String(caught)));
      }
    };
    const { descriptor = null, host, port, backlog, reusePort } = options;
    const handedOver = descriptor !== null;
    if (handedOver) server.listen(listeningCarrier(descriptor), backlog, up);
    else server.listen({ host, port, backlog, reusePort, exclusive: true }, up);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
