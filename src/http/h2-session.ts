// How a node:http2 session takes over a socket that was read from before, the options it is made with, and whose fault its end is. It knows
// no streams.

import { connect } from 'node:http2';
import type { ClientHttp2Session, performServerHandshake } from 'node:http2';
import type { Socket } from 'node:net';
import { FlowError } from '../core/errors.ts';
import type { Deps } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { ignoreErrors } from './closing.ts';

/** :method, :scheme, :authority, :path and :protocol come on top of the fields that are counted. */
export const pseudoHeaders = 5;

/** Options of a session with a client: what nghttp2 itself holds to. Extended CONNECT (RFC 8441) only where its server offers it. */
export function serverOptions(deps: Deps, enableConnectProtocol: boolean): Parameters<typeof performServerHandshake>[1] {
  const { limits } = deps;
  return {
    settings: {
      maxConcurrentStreams: limits.http2StreamsMax,
      initialWindowSize: limits.http2StreamWindowBytes,
      maxHeaderListSize: limits.httpHeadBytesMax,
      ...(enableConnectProtocol ? { enableConnectProtocol } : {}),
    },
    maxHeaderListPairs: limits.httpHeadersMax + pseudoHeaders,
    streamResetBurst: limits.http2ResetsPerSecondMax * resetBurstSeconds,
    streamResetRate: limits.http2ResetsPerSecondMax,
  };
}

/**
 * A session with the server that has told its SETTINGS, or let http2SettingsMs pass. Rejects with FlowError when the server ends it or does
 * not speak HTTP/2; the socket is closed then.
 */
export async function openUpstream(socket: Socket, insideTls: boolean, limits: Limits): Promise<ClientHttp2Session> {
  if (socket.destroyed) throw new FlowError('RESET_BY_UPSTREAM');
  const session = connect(`${insideTls ? 'https' : 'http'}://upstream.invalid`, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: limits.http2StreamWindowBytes, maxHeaderListSize: limits.httpHeadBytesMax },
    maxHeaderListPairs: limits.httpHeadersMax + pseudoHeaders,
  });
  let failure: FlowError | null = null;
  session.on('error', (error: Error) => (failure ??= sessionError(error, 'server')));
  session.once('connect', () => {
    if (!session.destroyed) session.setLocalWindowSize(limits.http2ConnectionWindowBytes);
  });
  startReading(socket);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, limits.http2SettingsMs);
    const settle = (): void => {
      clearTimeout(timer);
      resolve();
    };
    session.once('remoteSettings', settle);
    session.once('close', settle);
  });
  if (!session.destroyed) return session;
  socket.destroy();
  throw failure ?? new FlowError('RESET_BY_UPSTREAM', 'the server closed before its SETTINGS');
}

/** Errors of a session by whose they are; floods that nghttp2 itself sees come with ENHANCE_YOUR_CALM or its flood codes. */
export function sessionError(error: Error, side: 'client' | 'server'): FlowError {
  if (error instanceof FlowError) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  const isReset = code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT';
  if (isReset) return new FlowError(side === 'client' ? 'RESET_BY_CLIENT' : 'RESET_BY_UPSTREAM', null, error);
  const isFlood = side === 'client' && (code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES' || /flood|calm|too many/i.test(error.message));
  return new FlowError(isFlood ? 'HTTP2_FLOOD' : 'HTTP2_PROTOCOL', `${side}: ${code ?? 'unknown'}`, error);
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
