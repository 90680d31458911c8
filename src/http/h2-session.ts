// How a node:http2 session takes over a socket that was read from before, and the options it is made with. It knows no streams.

import type { performServerHandshake } from 'node:http2';
import type { Socket } from 'node:net';
import type { Deps } from '../core/flow.ts';
import { ignoreErrors } from './closing.ts';

/** :method, :scheme, :authority, :path and :protocol come on top of the fields that are counted. */
export const pseudoHeaders = 5;

/** Options of a session with a client: what nghttp2 itself holds to. */
export function serverOptions(deps: Deps): Parameters<typeof performServerHandshake>[1] {
  const { limits } = deps;
  return {
    settings: {
      maxConcurrentStreams: limits.http2StreamsMax,
      initialWindowSize: limits.http2StreamWindowBytes,
      maxHeaderListSize: limits.httpHeadBytesMax,
    },
    maxHeaderListPairs: limits.httpHeadersMax + pseudoHeaders,
    streamResetBurst: limits.http2ResetsPerSecondMax * resetBurstSeconds,
    streamResetRate: limits.http2ResetsPerSecondMax,
  };
}

/** Node 24: a listener of 'readable' that was just taken off sets the stream flowing in the next tick, past the session. */
export function calm(socket: Socket): Promise<void> {
  ignoreErrors(socket);
  socket.pause();
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Node 24: a session takes a socket's handle as it is. One that is paused stays silent, and one with allowHalfOpen hears of
 * its peer's end and goes on for ever. What was put back into the socket is taken by the session in the next tick, before the socket
 * flows: from a flowing one it would be taken piece by piece, and a session that ends over one piece throws, uncaught, over the next.
 */
export function startReading(socket: Socket): void {
  socket.on('end', () => socket.end());
  process.nextTick(() => socket.resume());
}

/** nghttp2's own guard is the second one: ours names the limit and is met first. */
const resetBurstSeconds = 2;
