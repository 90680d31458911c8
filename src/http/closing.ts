// Ends sockets so that a last answer is not lost: what was written leaves, unread input is thrown away for a bounded time
// (a reset for it would overtake the answer), then the socket is destroyed. It never judges why.

import type { Socket } from 'node:net';
import { resetSocket } from '../core/reset.ts';

/** Ends the writing side, drains the reading side for at most `lingerMs`, destroys. Resolves when the socket is closed. */
export function endGently(socket: Socket, lingerMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve();
      return;
    }
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    const destroyWhenDone = (): void => {
      if (socket.readableEnded && socket.writableFinished) socket.destroy();
    };
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.on('end', destroyWhenDone);
    socket.on('finish', destroyWhenDone);
    if (socket.writableEnded) destroyWhenDone();
    else socket.end();
    // A reader without listeners throws bytes away.
    socket.resume();
  });
}

/** Drops a socket at once: a reset where it is plain TCP. */
export function abortSocket(socket: Socket): void {
  resetSocket(socket);
}

/** A socket that nobody listens to any more must not end the process with a late error. */
export function ignoreErrors(socket: Socket): void {
  if (!socket.listeners('error').includes(nothing)) socket.on('error', nothing);
}

function nothing(): void {}
