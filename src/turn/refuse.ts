// Tells a TURN client in its own words that its connection is refused: plays the server's part of the pseudo hello where the
// client waits for one, then answers the first request with an error response. It never dials and never waits unbounded.

import type { Deps, Flow, Refusal } from '../core/flow.ts';
import { encodeErrorResponse } from './codec.ts';
import { startOf } from './detect.ts';
import { FrameWalker } from './frames.ts';
import type { Framing } from './frames.ts';
import { makeHello, msServerHello, ssltcpServerHello } from './hello.ts';
import { framed } from './judge.ts';

/** RFC 8656 section 15: 403 for what rules forbid; RFC 5389 section 15.6: 500 for what failed. */
const forbidden = 403;
const serverError = 500;

/**
 * Refuses a flow whose first bytes are still unread in `flow.client`; both sides are ended. A client that was answered
 * already, or sends no request within turnRefusalMs, just sees its connection close.
 */
export async function refuseTurn(flow: Flow, deps: Deps, refusal: Refusal, framing: Framing): Promise<void> {
  flow.upstream?.destroy();
  const { client, raw } = flow;
  if (client.destroyed) return;
  // Inside TLS the handshake counts as written; there a relay that had begun has destroyed the socket.
  if (!flow.insideTls && raw.bytesWritten > flow.repliedBytes) {
    client.destroy();
    return;
  }
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  client.on('error', () => client.destroy());
  const status = refusal.status ?? (isPolicy(refusal) ? forbidden : serverError);
  const reason = isPolicy(refusal) ? 'Forbidden by policy' : `Server Error (${refusal.code})`;
  const answer = await new FirstRequest(flow, deps, framing, status, reason).answer();
  if (answer !== null && !client.destroyed) client.write(answer);
  client.end();
  client.resume();
  // A close with unread bytes would be a reset, and the answer lost: the client gets time to read and to close.
  const linger = setTimeout(() => client.destroy(), deps.limits.turnRefusalMs);
  await closed;
  clearTimeout(linger);
}

function isPolicy({ code }: Refusal): boolean {
  return code === 'PROTOCOL_DENIED' || code === 'CONNECTION_DENIED' || code === 'REQUEST_DENIED';
}

/** Reads up to the client's first control message. */
class FirstRequest {
  readonly #flow: Flow;
  readonly #deps: Deps;
  readonly #framing: Framing;
  readonly #status: number;
  readonly #reason: string;
  #walker: FrameWalker | null = null;
  #bytesRead = 0;

  constructor(flow: Flow, deps: Deps, framing: Framing, status: number, reason: string) {
    this.#flow = flow;
    this.#deps = deps;
    this.#framing = framing;
    this.#status = status;
    this.#reason = reason;
  }

  /** The framed error response, or null when no request came. */
  answer(): Promise<Buffer | null> {
    const { client } = this.#flow;
    return new Promise((resolve) => {
      const done = (answer: Buffer | null): void => {
        clearTimeout(timer);
        client.off('data', onData);
        client.off('end', onEnd);
        client.off('close', onEnd);
        resolve(answer);
      };
      const onData = (chunk: Buffer): void => {
        const answer = this.#push(chunk);
        if (answer !== 'more') done(answer);
      };
      const onEnd = (): void => done(null);
      const timer = setTimeout(onEnd, this.#deps.limits.turnRefusalMs);
      client.on('data', onData);
      client.on('end', onEnd);
      client.on('close', onEnd);
      client.resume();
    });
  }

  #push(chunk: Buffer): Buffer | null | 'more' {
    this.#bytesRead += chunk.length;
    this.#walker ??= this.#begin(chunk);
    const walker = this.#walker;
    walker.feed(chunk);
    for (let step = walker.next(); step !== 'end'; step = walker.next()) {
      if (step === 'opaque' || step === 'data') return null;
      if (step !== 'control') continue;
      const answer = encodeErrorResponse(walker.message, walker.dialect, this.#status, this.#reason);
      return answer === null ? null : framed(this.#framing, answer, walker.bytes.subarray(walker.start, walker.start + walker.headerBytes));
    }
    return this.#bytesRead > this.#deps.limits.peekBytesMax ? null : 'more';
  }

  /** Detection has seen these bytes and put them back, so they come in one piece; a hello among them is answered at once. */
  #begin(first: Buffer): FrameWalker {
    const hello = this.#framing !== 'rfc' && startOf(null, first).hello;
    if (hello) this.#flow.client.write(makeHello(this.#framing === 'ssltcp' ? ssltcpServerHello : msServerHello));
    return new FrameWalker({ framing: this.#framing, hello, messageBytesMax: this.#deps.limits.turnMessageBytesMax });
  }
}
