// Drops a socket at once, with a reset where that can be done. It never waits for anything to leave.

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/**
 * Resets a TCP socket; whatever cannot be reset is destroyed. Node 24: `resetAndDestroy` wants a bare TCP handle, so a TLS socket has
 * none; and while the socket's own end is still on its way (libuv: shutting down) the reset fails and the descriptor is never
 * closed, with nobody left who could (pinned by reset.test.ts).
 */
export function resetSocket(socket: Duplex): void {
  if (socket.destroyed) return;
  const isEnding = socket.writableEnded && !socket.writableFinished;
  if (socket instanceof Socket && !(socket instanceof TLSSocket) && !isEnding) socket.resetAndDestroy();
  else socket.destroy();
}
