// Tells a client whose connection is denied or failed why, in SIP: waits a bounded time for its first whole request,
// answers that, and closes. What is no request is closed without a word; nothing reaches the server.

import type { Duplex } from 'node:stream';
import type { Deps, Flow, Refusal } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { SipFramer } from './framer.ts';
import { refusalStatus, refuse } from './refusal.ts';

/** Answers the first request and ends both sides. Never rejects: the flow is over either way. */
export async function refuseConnection(flow: Flow, deps: Deps, refusal: Refusal): Promise<void> {
  flow.upstream?.destroy();
  const answer = await answerToFirstRequest(flow, deps.limits, refusal);
  await closeWith(flow.client, answer, deps.limits.sipRefuseMs);
}

/** The answer to the first whole request that comes within sipRefuseMs; null when none does. */
function answerToFirstRequest({ client, session }: Flow, limits: Limits, refusal: Refusal): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const framer = new SipFramer(limits);
    const settle = (answer: Buffer | null): void => {
      clearTimeout(timer);
      client.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      client.pause();
      resolve(answer);
    };
    const onEnd = (): void => settle(null);
    const onData = (chunk: Buffer): void => {
      framer.feed(chunk);
      for (let step = framer.next(); step !== 'more'; step = framer.next()) {
        if (step === 'fault') return settle(null);
        if (step === 'head' && framer.head.status === 0 && framer.head.method !== 'ACK') {
          return settle(refuse(framer.head, refusalStatus(refusal.code, refusal.status), refusal.code, session.client));
        }
      }
    };
    const timer = setTimeout(onEnd, limits.sipRefuseMs);
    if (client.destroyed) return onEnd();
    client.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onEnd);
    client.resume();
  });
}

/** Writes, ends, and destroys once the bytes have left and the client has closed, or at the latest after `waitMs`. */
function closeWith(client: Duplex, answer: Buffer | null, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      client.destroy();
      resolve();
    };
    const timer = setTimeout(done, waitMs);
    if (client.destroyed) return done();
    client.on('error', done).on('close', done).on('end', done);
    if (answer === null) client.end();
    else client.end(answer);
    // What the client still sends is read and thrown away: closing over unread bytes would reset the answer away.
    client.resume();
  });
}
