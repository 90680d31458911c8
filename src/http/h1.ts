// One strict, streaming HTTP/1 exchange: a client connection, exactly one server connection, and the queue of requests
// between them. Bytes are forwarded as they came; only our own answers are made here. No promise, closure or timer per request.

import type { Socket } from 'node:net';
import { FlowError, toFlowError } from '../core/errors.ts';
import type { Deps, Flow, Handled, Refusal } from '../core/flow.ts';
import type { HttpDetails } from '../core/session.ts';
import { Forwarder } from '../core/forwarder.ts';
import { watchIdle } from '../core/idle.ts';
import type { IdleWatch } from '../core/idle.ts';
import { relay } from '../core/relay.ts';
import { countRequest, httpDetails } from './account.ts';
import { abortSocket, endGently } from './closing.ts';
import { answerStatus, answerWithPage, brokenRequest } from './failures.ts';
import type { Exchange, Pending } from './pending.ts';
import { RequestSide } from './requests.ts';
import { ResponseSide } from './responses.ts';
import { Dialler, letGo, listenTo } from './sides.ts';
import type { Side } from './sides.ts';

/**
 * Runs HTTP/1 on a flow until it ends, is switched to another protocol (101), or CONNECT opens a tunnel: then the same sockets
 * are the Flow it answers with. Where the flow has no upstream, the first request that needs one dials. Rejects with FlowError;
 * if `flow.client` is not destroyed then, nothing was forwarded or answered and every byte was put back.
 */
export function exchangeHttp1(flow: Flow, deps: Deps): Promise<Handled> {
  return new Http1(flow, deps).run();
}

const nothing = (): void => {};

class Http1 implements Exchange {
  readonly flow: Flow;
  readonly deps: Deps;
  readonly details: HttpDetails;
  readonly queue: Pending[] = [];
  open = true;
  readonly #client: Socket;
  #upstream: Socket | null;
  #up: Forwarder | null = null;
  #down: Forwarder | null = null;
  readonly #requests: RequestSide;
  readonly #responses: ResponseSide;
  readonly #dialler: Dialler;
  /** What the flow is reported with when it ends orderly: a denial, or a failure that was told to the client. */
  #outcome: FlowError | null = null;
  #moved = 0;
  #idle: IdleWatch | null = null;
  #resolve: (handled: Handled) => void = nothing;
  #reject: (error: FlowError) => void = nothing;

  constructor(flow: Flow, deps: Deps) {
    this.flow = flow;
    this.deps = deps;
    this.details = httpDetails(flow.session);
    this.#client = flow.client;
    this.#upstream = flow.upstream;
    this.#requests = new RequestSide(this);
    this.#responses = new ResponseSide(this);
    this.#dialler = new Dialler(flow, deps);
  }

  run(): Promise<Handled> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#idle = watchIdle(() => this.#moved, this.deps.limits.httpIdleMs, () => this.#onIdle());
      if (this.#upstream !== null) this.#join(this.#upstream);
      listenTo(this.#client, this.#clientSide);
    });
  }

  get dialling(): boolean {
    return this.#dialler.busy;
  }

  get clientHasRoom(): boolean {
    return !this.#client.writableNeedDrain;
  }

  get requestsWait(): boolean {
    return this.#requests.held || this.#requests.ended;
  }

  toUpstream(bytes: Buffer): void {
    if (this.#up === null) this.#dialler.send(bytes, this.#onDialled, this.#onDialFailed);
    else if (!this.#up.write(bytes)) this.#client.pause();
  }

  toClient(bytes: Buffer): void {
    if (this.#down?.write(bytes) === false) this.#upstream?.pause();
  }

  holdClient(): void {
    this.#client.pause();
  }

  resumeClient(): void {
    if (this.#upstream?.writableNeedDrain !== true) this.#client.resume();
  }

  refuseWith(pending: Pending, refusal: Refusal, keepAlive: boolean): void {
    answerWithPage(pending, refusal, keepAlive);
    this.#outcome ??= new FlowError(refusal.code, refusal.detail);
  }

  advance(): void {
    for (let pending = this.queue[0]; pending !== undefined && pending.answer !== null; pending = this.queue[0]) {
      this.details.status = pending.status;
      this.queue.shift();
      pending.toClientBytes += pending.answer.length;
      if (!this.#client.write(pending.answer)) this.#upstream?.pause();
      this.#count(pending);
      if (pending.closeAfter) return this.#close();
    }
    if (this.queue.length === 0 && this.#requests.ended) this.finish();
  }

  giveBack(bytes: Buffer, error: FlowError): void {
    this.#detach();
    this.#client.pause();
    this.#upstream?.pause();
    if (bytes.length > 0) this.#client.unshift(bytes);
    this.#reject(error);
  }

  failRequest(error: FlowError, status: number | null, tail: Pending | null): void {
    this.#requests.stop();
    // The fault is in a body whose response has begun or is complete: no page can be told any more.
    if (tail !== null && (tail.status !== 0 || !this.queue.includes(tail))) return this.#abort(error);
    const pending = tail ?? brokenRequest(this.deps.clock());
    if (tail === null) this.queue.push(pending);
    this.#tell(pending, error, status);
  }

  failResponse(error: FlowError, tell: boolean): void {
    if (!this.open) return;
    this.#requests.stop();
    const pending = this.queue[0];
    if (pending !== undefined && (pending.status !== 0 || pending.answer !== null)) return this.#abort(error);
    if (pending !== undefined && tell) return this.#tell(pending, error, answerStatus(error));
    this.#outcome = error;
    this.#close();
  }

  #tell(pending: Pending, error: FlowError, status: number | null): void {
    this.#outcome = error;
    this.refuseWith(pending, { code: error.code, detail: error.detail, rule: null, status }, false);
    this.advance();
  }

  clientEnded(midRequest: boolean): void {
    if (!this.open) return;
    if (this.queue.length === 0 && !midRequest) this.finish();
    else if (this.#idle !== null) {
      this.#idle.limitMs = this.deps.limits.halfOpenMs;
      this.#upstream?.end();
    }
  }

  responseDone(closing: boolean): void {
    const pending = this.queue.shift();
    if (pending !== undefined) this.#count(pending);
    if (closing) return this.#close();
    this.#requests.stayHttp();
    this.advance();
    if (this.open) this.#requests.release();
  }

  switchProtocols(rest: Buffer): void {
    const upstream = this.#handOver();
    if (upstream === null) return;
    this.details.upgraded = this.queue[0]?.upgrade ?? null;
    const { relayIdleMs, halfOpenMs, injectBytesMax } = this.deps.limits;
    const early = this.#requests.takeRest();
    if (rest.length > 0) this.#client.write(rest);
    if (early !== null) upstream.write(early);
    const relayed = relay(this.#client, upstream, { idleMs: relayIdleMs, halfOpenMs, injectBytesMax });
    relayed.then(() => this.#resolve('done'), (caught: unknown) => this.#reject(toFlowError(caught)));
  }

  openTunnel(rest: Buffer): void {
    const upstream = this.#handOver();
    if (upstream === null) return;
    const early = this.#requests.takeRest();
    this.#client.pause();
    upstream.pause();
    if (rest.length > 0) upstream.unshift(rest);
    if (early !== null && !this.#client.readableEnded) this.#client.unshift(early);
    this.#resolve({ ...this.flow, upstream, depth: this.flow.depth + 1, repliedBytes: this.flow.raw.bytesWritten });
  }

  finish(): void {
    if (this.open) this.#close();
  }

  /** Both sockets are another's from here; the request that asked for it is counted. */
  #handOver(): Socket | null {
    if (this.queue[0] !== undefined) this.#count(this.queue[0]);
    this.#detach();
    return this.#upstream;
  }

  #count(pending: Pending): void {
    countRequest(this.flow.session, this.deps, pending);
  }

  #join(upstream: Socket): void {
    this.#upstream = upstream;
    this.#up = new Forwarder(this.#client, upstream);
    this.#down = new Forwarder(upstream, this.#client);
    listenTo(upstream, this.#upstreamSide);
  }

  readonly #onDialled = (upstream: Socket): void => {
    this.#join(upstream);
    if (this.open) this.#requests.release();
    else {
      letGo(upstream, this.#upstreamSide);
      upstream.destroy();
    }
  };

  readonly #onDialFailed = (error: FlowError): void => this.failResponse(error, true);

  /** Orderly: what was written leaves, what still comes is thrown away, both ends are closed. */
  #close(): void {
    this.open = false;
    this.#detach();
    const upstream = this.#upstream;
    if (upstream !== null) {
      if (this.#outcome === null && upstream.writable && !this.#requests.midRequest) upstream.end();
      else upstream.destroy();
    }
    void endGently(this.#client, this.deps.limits.lingerMs).then(() => {
      upstream?.destroy();
      if (this.#outcome === null) this.#resolve('done');
      else this.#reject(this.#outcome);
    });
  }

  #abort(error: FlowError): void {
    if (!this.open) return;
    this.open = false;
    this.#detach();
    for (const pending of this.queue) this.#count(pending);
    abortSocket(this.#client);
    if (this.#upstream !== null) abortSocket(this.#upstream);
    this.#reject(error);
  }

  #detach(): void {
    this.#idle?.stop();
    this.#requests.stop();
    this.#responses.stop();
    letGo(this.#client, this.#clientSide);
    if (this.#upstream !== null) letGo(this.#upstream, this.#upstreamSide);
  }

  readonly #clientSide: Side = {
    data: (chunk) => {
      this.#moved += chunk.length;
      this.#requests.onData(chunk);
    },
    end: () => this.#requests.onEnd(),
    drain: () => {
      this.#moved += 1;
      this.#upstream?.resume();
      this.#requests.release();
    },
    error: (error) => this.#abort(error instanceof FlowError ? error : new FlowError('RESET_BY_CLIENT', null, error)),
    close: () => {
      if (!this.#requests.ended) this.#abort(new FlowError('RESET_BY_CLIENT'));
      else if (this.queue.length > 0) this.#abort(new FlowError('RESET_BY_CLIENT', 'the client closed before its answer was complete'));
      else this.finish();
    },
  };

  readonly #upstreamSide: Side = {
    data: (chunk) => {
      this.#moved += chunk.length;
      this.#responses.onData(chunk);
    },
    end: () => this.#responses.onEnd(),
    drain: () => {
      this.#moved += 1;
      if (!this.#requests.held) this.#client.resume();
    },
    error: (error) => this.failResponse(error instanceof FlowError ? error : new FlowError('RESET_BY_UPSTREAM', null, error), true),
    close: () => {
      if (this.#upstream?.readableEnded !== true) this.failResponse(new FlowError('RESET_BY_UPSTREAM'), true);
    },
  };

  /** A kept connection that nobody uses just ends; one that owes an answer is told. */
  #onIdle(): void {
    if (this.queue.length === 0 && !this.#requests.midRequest) this.finish();
    else this.failResponse(new FlowError('IDLE_TIMEOUT'), true);
  }
}
