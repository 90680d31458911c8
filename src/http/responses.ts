// The server's side of an exchange: matches each response with its request, follows its body, and forwards the bytes as
// they came. What nobody asked for or cannot be framed is never passed on.

import { FlowError } from '../core/errors.ts';
import { watchIdle } from '../core/idle.ts';
import type { IdleWatch } from '../core/idle.ts';
import { BodyWalker } from './body.ts';
import type { Fault } from './grammar.ts';
import { persists, responseFraming } from './head-rules.ts';
import { HeadReader, isFault } from './head-reader.ts';
import type { Head } from './head.ts';
import type { Exchange, Pending } from './pending.ts';

const switchingProtocols = 101;

/** Reads what the server sends. */
export class ResponseSide {
  readonly #exchange: Exchange;
  readonly #reader: HeadReader;
  readonly #body: BodyWalker;
  #rest: Buffer | null = null;
  #inBody = false;
  /** The connection ends with the response that is being read. */
  #closing = false;
  #answered = false;
  #headWatch: IdleWatch | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#reader = new HeadReader('response', exchange.deps.limits);
    this.#body = new BodyWalker(exchange.deps.limits);
  }

  readonly onData = (chunk: Buffer): void => {
    if (!this.#exchange.open) return;
    const rest = this.#rest;
    this.#rest = null;
    this.#read(rest === null ? chunk : Buffer.concat([rest, chunk]));
  };

  readonly onEnd = (): void => {
    const exchange = this.#exchange;
    if (!exchange.open) return;
    const pending = exchange.queue[0];
    if (this.#inBody && this.#body.framing === 'close') {
      this.#inBody = false;
      exchange.responseDone(true);
    } else if (this.#inBody || this.#rest !== null) {
      exchange.failResponse(new FlowError('RESET_BY_UPSTREAM', 'the server closed in the middle of a response'), true);
    } else if (pending === undefined) exchange.finish();
    else if (pending.ours) pending.closeAfter = true;
    else this.#unanswered();
  };

  stop(): void {
    this.#headWatch?.stop();
    this.#headWatch = null;
  }

  /**
   * Closed with requests out. On the first one the client is told; later it is the ordinary race of a kept connection, and
   * only a bare close lets the client try again (RFC 9112 section 9.3.1).
   */
  #unanswered(): void {
    this.#exchange.failResponse(new FlowError('RESET_BY_UPSTREAM', 'the server closed without an answer'), !this.#answered);
  }

  #read(bytes: Buffer): void {
    const exchange = this.#exchange;
    let from = 0;
    let at = 0;
    while (at < bytes.length) {
      const pending = exchange.queue[0];
      if (pending === undefined || pending.ours) {
        this.#forward(bytes, from, at);
        this.#unasked(pending);
        return;
      }
      if (!this.#inBody) {
        const head = this.#reader.read(bytes, at);
        if (head === 'more') break;
        this.stop();
        if (isFault(head)) {
          this.#forward(bytes, from, at);
          this.#fail(head);
          return;
        }
        at += head.lengthBytes;
        pending.toClientBytes += head.lengthBytes;
        if (this.#isSwitch(head, pending)) {
          this.#forward(bytes, from, at);
          this.#switch(head, pending, bytes.subarray(at));
          return;
        }
        if (head.status === switchingProtocols) {
          this.#forward(bytes, from, at - head.lengthBytes);
          this.#fail({ code: 'HTTP_MALFORMED', why: '101 to a request that did not ask for it' });
          return;
        }
        if (head.status < 200) continue;
        this.#begin(head, pending);
      }
      const next = this.#body.walk(bytes, at);
      pending.toClientBytes += next - at;
      at = next;
      if (this.#body.fault !== null) {
        this.#fail(this.#body.fault);
        return;
      }
      if (!this.#body.done) break;
      this.#inBody = false;
      if (this.#closing || exchange.requestsWait || exchange.queue[1]?.ours === true) {
        this.#forward(bytes, from, at);
        from = at;
      }
      this.#answered = true;
      exchange.responseDone(this.#closing);
      if (!exchange.open) return;
    }
    this.#forward(bytes, from, at);
    if (at === bytes.length) return;
    this.#rest = at === 0 ? bytes : bytes.subarray(at);
    this.#watchHead();
  }

  /** A final response: its framing by its request, and whether the connection outlives it. */
  #begin(head: Head, pending: Pending): void {
    const framing = responseFraming(head, pending.method === 'HEAD');
    pending.status = head.status;
    this.#exchange.details.status = head.status;
    this.#body.begin(framing, head.contentLength);
    this.#inBody = true;
    // After a final answer instead of 100 (Continue) nobody knows whether the body will come: such a connection ends.
    this.#closing = framing === 'close' || !persists(head) || !pending.persists || pending.awaitsContinue;
  }

  #isSwitch(head: Head, pending: Pending): boolean {
    if (pending.method === 'CONNECT') return head.status >= 200 && head.status < 300;
    return head.status === switchingProtocols && pending.upgrade !== null;
  }

  #switch(head: Head, pending: Pending, rest: Buffer): void {
    pending.status = head.status;
    this.#exchange.details.status = head.status;
    if (pending.method === 'CONNECT') this.#exchange.openTunnel(rest);
    else this.#exchange.switchProtocols(rest);
  }

  /** Bytes without a request, such as a 408 on an idle connection: not passed on, and the connection ends. */
  #unasked(pending: Pending | undefined): void {
    if (pending === undefined) this.#exchange.finish();
    else this.#exchange.failResponse(new FlowError('HTTP_MALFORMED', 'a response without its request'), true);
  }

  #fail(fault: Fault): void {
    const code = fault.code === 'NOT_HTTP' ? 'HTTP_MALFORMED' : fault.code;
    this.#exchange.failResponse(new FlowError(code, `response: ${fault.why}`), true);
  }

  #forward(bytes: Buffer, from: number, to: number): void {
    if (to > from) this.#exchange.toClient(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }

  #watchHead(): void {
    this.#headWatch ??= watchIdle(() => 0, this.#exchange.deps.limits.httpHeadMs, () => {
      this.#headWatch = null;
      this.#exchange.failResponse(new FlowError('IDLE_TIMEOUT', 'the response head did not end within httpHeadMs'), true);
    });
  }
}
