// The client's side of the explicit proxy: one request after another off the socket, heads judged strictly, bodies as streams that
// pass back-pressure on. It writes nothing and decides nothing about requests.

import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { FlowError } from '../core/errors.ts';
import { watchIdle } from '../core/idle.ts';
import type { IdleWatch } from '../core/idle.ts';
import type { Limits } from '../core/limits.ts';
import { BodyWalker } from './body.ts';
import { ChunkData } from './forward-chunks.ts';
import type { Fault } from './grammar.ts';
import { checkRequest, requestFraming, requestHost } from './head-rules.ts';
import { HeadReader, isFault } from './head-reader.ts';
import type { Head } from './head.ts';

/** A head and its bytes; both are good until the next one is asked for. */
export interface ReadHead {
  readonly head: Head;
  readonly bytes: Buffer;
}

/** What comes next from the client: a head, a fault of one, or null when it has ended between two requests. */
export type Next = ReadHead | Fault | 'stalled' | null;

const noBytes = Buffer.alloc(0);
const nothing = (): void => {};

/** Reads one client connection until it is released. */
export class ClientSide {
  /** Bytes read so far, for idle watches. */
  moved = 0;
  /** Bytes of the last request so far, its head included. */
  requestBytes = 0;
  /** Set once the client is lost. */
  gone: FlowError | null = null;
  readonly #raw: Socket;
  readonly #limits: Limits;
  readonly #onGone: (error: FlowError) => void;
  readonly #reader: HeadReader;
  readonly #walker: BodyWalker;
  readonly #chunks = new ChunkData();
  #rest: Buffer = noBytes;
  #wanted: ((next: Next) => void) | null = null;
  #body: Readable | null = null;
  #chunked = false;
  #ended = false;
  #headWatch: IdleWatch | null = null;

  /** `onGone` hears once of a client that is lost, whatever is going on. */
  constructor(raw: Socket, limits: Limits, onGone: (error: FlowError) => void) {
    this.#raw = raw;
    this.#limits = limits;
    this.#onGone = onGone;
    this.#reader = new HeadReader('request', limits);
    this.#walker = new BodyWalker(limits);
    raw.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose);
  }

  /** The body of the last request is complete. */
  get bodyDone(): boolean {
    return this.#walker.done;
  }

  /** Waits for the next head; 'stalled' when it does not end within httpHeadMs (of the first byte, or of now for `atOnce`). */
  next(atOnce: boolean): Promise<Next> {
    this.requestBytes = 0;
    return new Promise((resolve) => {
      this.#wanted = (next) => {
        this.#wanted = null;
        this.#unwatchHead();
        resolve(next);
      };
      if (atOnce) this.#watchHead();
      this.#readHead();
      if (this.#wanted !== null) this.#raw.resume();
    });
  }

  /** Nobody waits for another head: `next` answers null. */
  stopWaiting(): void {
    this.#wanted?.(null);
  }

  /** The body of the request whose head came last, its coding taken off; null when it has none. */
  body(head: Head): Readable | null {
    const framing = requestFraming(head);
    this.#walker.begin(framing, head.contentLength);
    if (this.#walker.done) return null;
    this.#chunked = framing === 'chunked';
    this.#chunks.begin();
    const body = new Readable({ read: () => this.#readBody() });
    // Who gives the body up may do so at any moment; that is told elsewhere.
    body.on('error', nothing);
    this.#body = body;
    return body;
  }

  /** Takes the hands off the socket; bytes that were not read are back in it. */
  release(): void {
    this.#detach();
    this.#raw.pause();
    if (this.#rest.length > 0 && !this.#raw.destroyed && !this.#raw.readableEnded) this.#raw.unshift(this.#rest);
    this.#rest = noBytes;
  }

  #detach(): void {
    this.#unwatchHead();
    this.#raw.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.moved += chunk.length;
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#body !== null) this.#takeBody();
    else if (this.#wanted !== null) this.#readHead();
    else this.#raw.pause();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#body !== null) this.#lost(new FlowError('RESET_BY_CLIENT', 'the client ended in the middle of a request'));
    else this.#wanted?.(null);
  };

  readonly #onError = (error: Error): void => this.#lost(error instanceof FlowError ? error : new FlowError('RESET_BY_CLIENT', null, error));

  readonly #onClose = (): void => this.#lost(new FlowError('RESET_BY_CLIENT'));

  #lost(error: FlowError): void {
    if (this.gone !== null) return;
    this.gone = error;
    this.#body?.destroy(error);
    this.#onGone(error);
    this.#wanted?.(null);
  }

  #readHead(): void {
    if (this.gone !== null || (this.#ended && this.#rest.length === 0)) return void this.#wanted?.(null);
    if (this.#rest.length === 0) return;
    const bytes = this.#rest;
    const read = this.#reader.read(bytes, 0);
    if (read === 'more') {
      if (this.#ended) this.#wanted?.(null);
      else this.#watchHead();
      return;
    }
    const fault = isFault(read) ? judgedAgain(read, this.#reader.head, this.#limits) : null;
    if (fault !== null) return void this.#wanted?.(fault);
    const { head } = this.#reader;
    this.requestBytes = head.lengthBytes;
    this.#rest = bytes.subarray(head.lengthBytes);
    this.#wanted?.({ head, bytes: bytes.subarray(0, head.lengthBytes) });
  }

  /** The stream wants more: what has come already goes first. */
  #readBody(): void {
    if (this.#rest.length > 0) this.#takeBody();
    if (this.#body !== null) this.#raw.resume();
  }

  #takeBody(): void {
    const body = this.#body;
    if (body === null) return;
    const bytes = this.#rest;
    const end = this.#walker.walk(bytes, 0);
    this.requestBytes += end;
    this.#rest = bytes.subarray(end);
    const { fault } = this.#walker;
    if (fault !== null) {
      this.#body = null;
      body.destroy(new FlowError(fault.code, fault.why));
      return;
    }
    let room = true;
    for (const data of this.#chunked ? this.#chunks.take(bytes, 0, end) : [bytes.subarray(0, end)]) room = body.push(data);
    if (this.#walker.done) {
      this.#body = null;
      body.push(null);
    } else if (!room && !body.destroyed) this.#raw.pause();
  }

  #watchHead(): void {
    this.#headWatch ??= watchIdle(() => 0, this.#limits.httpHeadMs, () => this.#wanted?.('stalled'));
  }

  #unwatchHead(): void {
    this.#headWatch?.stop();
    this.#headWatch = null;
  }
}

/** A whole head whose Host differs from its absolute target: a proxy ignores that Host (RFC 9112 section 3.2.2). */
function judgedAgain(fault: Fault, head: Head, limits: Limits): Fault | null {
  if (head.lengthBytes === 0 || head.lengthBytes > limits.httpHeadBytesMax || head.host === null || head.target.startsWith('/') || head.method === 'CONNECT') return fault;
  head.host = requestHost(head);
  return checkRequest(head);
}
