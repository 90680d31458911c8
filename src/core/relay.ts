// The relay: bytes both ways between two sockets, unmodified, with half-close, back-pressure, an idle limit and taps.
// It never parses; a tap may look, hold a frame's head, drop, answer or close. It stores nothing beyond what a tap holds.

import type { Socket } from 'node:net';
import { FlowError } from './errors.ts';
import type { ErrorCode } from './errors.ts';
import { Forwarder } from './forwarder.ts';
import { watchIdle } from './idle.ts';
import { resetSocket } from './reset.ts';

/** What a tap says of the bytes it was just shown (and of those it held before). */
export interface Judgement {
  /** Bytes to pass on now, in order, the relay's from then on; null holds or drops everything. A view of the pushed chunk where possible. */
  readonly forward: Buffer | null;
  /** Offset in `forward` of its last frame end, where a foreign frame may be put in; -1 when there is none. */
  readonly boundary: number;
  /** Whole frames to send back to where the bytes came from, put in between two frames of the other direction. */
  readonly answer: Buffer | null;
  /** Ends the flow after everything above was written. */
  readonly close: FlowError | null;
}

/** Watches one direction. Never throws on input; holds at most one frame head, bounded by its own limits. */
export interface Tap {
  /** Judges the next bytes. 'pass' forwards the chunk as it is. */
  push(chunk: Buffer): Judgement | 'pass';
  /** The direction has ended: bytes still held, to be passed on as they are. */
  end(): Buffer | null;
  /** True when every frame whose first byte was forwarded is forwarded whole: another frame may be put in here. */
  readonly betweenFrames: boolean;
  /** Views of a pushed chunk may be looked at after `push` has returned: its memory must stay. */
  readonly retainsChunks: boolean;
}

export interface RelayOptions {
  readonly idleMs: number;
  /** How long one direction may go on without progress after the other has ended; also bounds the last writes. */
  readonly halfOpenMs: number;
  /** Bound of answers that wait for a gap. */
  readonly injectBytesMax: number;
  /** Judges what comes from the client; likewise from upstream. */
  readonly clientTap?: Tap;
  readonly upstreamTap?: Tap;
}

interface Direction {
  readonly from: Socket;
  readonly to: Socket;
  readonly tap: Tap | null;
  readonly write: (bytes: Buffer) => boolean;
  readonly resetCode: ErrorCode;
  ended: boolean;
  /** Answers of the opposite tap that wait until this direction is between frames. */
  waiting: Buffer[];
  waitingBytes: number;
}

/**
 * Relays until both directions have ended. Resolves on an orderly end; rejects with FlowError RESET_BY_CLIENT,
 * RESET_BY_UPSTREAM, IDLE_TIMEOUT, what a tap closed with, or the FlowError a socket was destroyed with.
 * Both sockets are destroyed when it settles. Sockets must be paused with `allowHalfOpen`; bytes unshifted onto them come first.
 */
export function relay(client: Socket, upstream: Socket, options: RelayOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const up: Direction = direction(client, upstream, options.clientTap, 'RESET_BY_CLIENT');
    const down: Direction = direction(upstream, client, options.upstreamTap, 'RESET_BY_UPSTREAM');
    let moved = 0;
    let settled = false;

    const idle = watchIdle(() => moved, options.idleMs, () => {
      // Silence after one side has said goodbye is an end like any other.
      settle(up.ended || down.ended ? null : new FlowError('IDLE_TIMEOUT'));
    });
    const settle = (error: FlowError | null): void => {
      if (settled) return;
      settled = true;
      idle.stop();
      close(client, error, options.halfOpenMs);
      close(upstream, error, options.halfOpenMs);
      if (error === null) resolve();
      else reject(error);
    };
    const ended = (way: Direction): void => {
      way.ended = true;
      idle.limitMs = options.halfOpenMs;
      if (up.ended && down.ended) settle(null);
    };
    const pump = (way: Direction, back: Direction): void => {
      way.from.on('data', (chunk: Buffer) => {
        // What still comes after the end is drained, never written behind the last words, never shown to a tap.
        if (settled) return;
        moved += chunk.length;
        const room = way.tap === null ? way.write(chunk) : judged(way, back, chunk, options.injectBytesMax, settle);
        if (!room && !settled) way.from.pause();
      });
      way.to.on('drain', () => {
        moved += 1;
        way.from.resume();
      });
      const onEnd = (): void => {
        if (settled) return;
        const held = way.tap?.end() ?? null;
        if (held !== null) way.to.write(held);
        flushAnswers(way);
        way.to.end();
        ended(way);
      };
      way.from.on('end', onEnd);
      way.from.on('error', (error: Error) => settle(asReset(way, error)));
      way.from.on('close', () => {
        if (!way.ended) settle(new FlowError(way.resetCode));
      });
      if (way.from.readableEnded) onEnd();
      // Gone before the relay began: neither 'end' nor 'close' may come any more.
      else if (way.from.destroyed) settle(asReset(way));
    };
    pump(up, down);
    pump(down, up);
    client.resume();
    upstream.resume();
  });
}

/** The end of a direction whose source failed: what it was destroyed with, or a reset. */
function asReset({ from, resetCode }: Direction, error: Error | null = from.errored): FlowError {
  return error instanceof FlowError ? error : new FlowError(resetCode, null, error ?? undefined);
}

function direction(from: Socket, to: Socket, tap: Tap | undefined, resetCode: ErrorCode): Direction {
  const forwarder = tap?.retainsChunks === true ? to : new Forwarder(from, to);
  return { from, to, tap: tap ?? null, write: (bytes) => forwarder.write(bytes), resetCode, ended: false, waiting: [], waitingBytes: 0 };
}

/** Writes what the tap lets through; answers whether there is room for more. */
function judged(way: Direction, back: Direction, chunk: Buffer, injectBytesMax: number, settle: (error: FlowError | null) => void): boolean {
  const judgement = way.tap?.push(chunk) ?? 'pass';
  const verdict: Judgement = judgement === 'pass' ? { forward: chunk, boundary: -1, answer: null, close: null } : judgement;
  let room = true;
  if (verdict.forward !== null && verdict.forward.length > 0) room = writeWithAnswers(way, verdict.forward, verdict.boundary);
  else if (way.waiting.length > 0 && way.tap?.betweenFrames !== false) flushAnswers(way);
  if (verdict.answer !== null) {
    back.waiting.push(verdict.answer);
    back.waitingBytes += verdict.answer.length;
    if (back.tap === null || back.tap.betweenFrames) flushAnswers(back);
    else if (back.waitingBytes > injectBytesMax) settle(new FlowError('REQUEST_DENIED', 'refusals wait for a gap that does not come'));
  }
  if (verdict.close !== null) settle(verdict.close);
  return room;
}

/** Forwards bytes, putting waiting answers in at the last frame end. */
function writeWithAnswers(way: Direction, bytes: Buffer, boundary: number): boolean {
  if (way.waiting.length === 0) return way.write(bytes);
  if (way.tap?.betweenFrames === true) {
    const room = way.to.write(bytes);
    flushAnswers(way);
    return room;
  }
  if (boundary < 0) return way.to.write(bytes);
  way.to.write(bytes.subarray(0, boundary));
  flushAnswers(way);
  return way.to.write(bytes.subarray(boundary));
}

function flushAnswers(way: Direction): void {
  for (const answer of way.waiting) way.to.write(answer);
  way.waiting = [];
  way.waitingBytes = 0;
}

/** Ends a socket: what was written still leaves when the end is orderly or ours; a reset is passed on as a reset. */
function close(socket: Socket, error: FlowError | null, lingerMs: number): void {
  if (socket.destroyed) return;
  const reset = error !== null && (error.code === 'RESET_BY_CLIENT' || error.code === 'RESET_BY_UPSTREAM');
  if (reset || socket.writableFinished) {
    if (reset) resetSocket(socket);
    else socket.destroy();
    return;
  }
  const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
  socket.once('finish', () => socket.destroy());
  socket.end();
  socket.resume();
}
