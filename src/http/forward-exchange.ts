// One re-issued request: hands it to undici and writes the response to the client as it streams, framed anew. It holds no body; what the
// client cannot take pauses the server, and the other way round.

import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { errors } from 'undici';
import type { Dispatcher } from 'undici';
import { FlowError } from '../core/errors.ts';
import type { Origin } from './forward-origins.ts';
import { fieldValue, returnedFields } from './forward-target.ts';

/** What is sent to the server. */
export interface Reissued {
  readonly method: string;
  readonly path: string;
  /** Name, value, name, value. */
  readonly fields: readonly string[];
  readonly body: Readable | null;
  /** Minor version of the client. */
  readonly minor: number;
  /** The client wants to keep its connection. */
  readonly persists: boolean;
  /** For the response's Via, null for none. */
  readonly via: string | null;
}

/** How a response ended. */
export interface Answered {
  readonly status: number;
  /** The client's connection can take another request. */
  readonly keepAlive: boolean;
}

type Framing = 'none' | 'length' | 'chunked' | 'close';

/** Methods that may be sent again over a fresh connection when a kept one turns out to be closed (RFC 9112 section 9.3.1). */
const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Runs one request. `answered` and `status` tell how far it came when it fails. */
export class ReissuedExchange {
  /** Something of the final response was written. */
  answered = false;
  status = 0;
  /** Bytes written to the client. */
  sentBytes = 0;
  /** Moves with what the client takes, for idle watches. */
  moved = 0;
  readonly #raw: Socket;
  readonly #request: Reissued;
  readonly #origin: Origin;
  readonly #settled = Promise.withResolvers<Answered>();
  #controller: Dispatcher.DispatchController | null = null;
  #framing: Framing = 'none';
  #keepAlive = false;
  #mayRepeat: boolean;

  constructor(raw: Socket, origin: Origin, request: Reissued) {
    this.#raw = raw;
    this.#origin = origin;
    this.#request = request;
    this.#mayRepeat = origin.used && request.body === null && repeatable.has(request.method);
  }

  /** Resolves when the response is written; rejects with a FlowError, `answered` telling whether a page can still be sent. */
  async run(): Promise<Answered> {
    this.#raw.on('drain', this.#onDrain);
    this.#dispatch();
    try {
      return await this.#settled.promise;
    } finally {
      this.#raw.off('drain', this.#onDrain);
    }
  }

  /** Gives up; the server's connection is closed. */
  fail(error: FlowError): void {
    this.#mayRepeat = false;
    this.#controller?.abort(error);
    this.#settled.reject(error);
  }

  #dispatch(): void {
    const { method, path, fields, body } = this.#request;
    try {
      this.#origin.client.dispatch(
        // `reset: false`: a HEAD or an unusual method does not cost the connection that a client may be logged in on.
        { method, path, headers: [...fields], body, reset: false },
        {
          onRequestStart: (controller) => { this.#controller = controller; },
          onResponseStart: (controller, status, _headers, reason) => this.#start(controller, status, reason ?? ''),
          onResponseData: (controller, chunk) => this.#data(controller, chunk),
          onResponseEnd: (controller) => this.#end(controller),
          onResponseError: (_controller, error) => this.#error(error),
        },
      );
      this.#origin.used = true;
    } catch (caught) {
      this.fail(new FlowError('HTTP_MALFORMED', 'the request cannot be re-issued', caught));
    }
  }

  #start(controller: Dispatcher.DispatchController, status: number, reason: string): void {
    const fields = returnedFields(rawOf(controller.rawHeaders));
    if (fields === null || !/^[\t\x20-\x7e\x80-\xff]*$/.test(reason)) return this.fail(new FlowError('HTTP_MALFORMED', 'the server\'s head holds what no head may'));
    const { minor, via } = this.#request;
    if (status < 200) {
      if (minor === 1) this.#write(headBytes(status, reason, fields));
      return;
    }
    this.status = status;
    this.answered = true;
    this.#frame(status, fields);
    const kept = this.#framing === 'length' || this.#framing === 'none' ? fields : fields.filter(([name]) => name.toLowerCase() !== 'content-length');
    const passed = this.#framing === 'chunked' ? kept : kept.filter(([name]) => name.toLowerCase() !== 'trailer');
    if (via !== null) passed.push(['Via', `1.1 ${via}`]);
    const options = keepsLogin(status, fields) ? ['Proxy-Support'] : [];
    if (options.length > 0) passed.push(['Proxy-Support', 'Session-Based-Authentication']);
    if (!this.#keepAlive) options.push('close');
    else if (minor === 0) options.push('keep-alive');
    if (options.length > 0) passed.push(['Connection', options.join(', ')]);
    if (this.#framing === 'chunked') passed.push(['Transfer-Encoding', 'chunked']);
    this.#write(headBytes(status, reason, passed));
  }

  /** How the client will know where the body ends. */
  #frame(status: number, fields: readonly [string, string][]): void {
    const { method, minor, persists } = this.#request;
    if (method === 'HEAD' || status === 204 || status === 304) this.#framing = 'none';
    else if (fieldValue(fields, 'content-length') !== null) this.#framing = 'length';
    else this.#framing = minor === 1 ? 'chunked' : 'close';
    this.#keepAlive = persists && this.#framing !== 'close';
  }

  #data(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#raw.cork();
    if (this.#framing === 'chunked') this.#write(Buffer.from(`${chunk.length.toString(16)}\r\n`, 'latin1'));
    this.#write(chunk);
    if (this.#framing === 'chunked') this.#write(lineEnd);
    this.#raw.uncork();
    if (this.#raw.writableNeedDrain) controller.pause();
  }

  #end(controller: Dispatcher.DispatchController): void {
    if (this.#framing === 'chunked') {
      const trailers = returnedFields(rawOf(controller.rawTrailers)) ?? [];
      this.#write(Buffer.from(`0\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`, 'latin1'));
    }
    this.#settled.resolve({ status: this.status, keepAlive: this.#keepAlive });
  }

  #error(error: Error): void {
    if (this.#mayRepeat && !this.answered && !(error instanceof FlowError)) {
      this.#mayRepeat = false;
      this.#dispatch();
      return;
    }
    this.#settled.reject(error instanceof FlowError ? error : serverFault(error));
  }

  #write(bytes: Buffer): void {
    this.sentBytes += bytes.length;
    this.moved += bytes.length;
    if (this.#raw.writable) this.#raw.write(bytes);
  }

  readonly #onDrain = (): void => {
    this.moved += 1;
    this.#controller?.resume();
  };
}

const lineEnd = Buffer.from('\r\n', 'latin1');

function headBytes(status: number, reason: string, fields: readonly [string, string][]): Buffer {
  return Buffer.from(`HTTP/1.1 ${String(status)} ${reason}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`, 'latin1');
}

/** undici hands over what its parser saw: buffers in pairs. */
function rawOf(raw: Dispatcher.DispatchController['rawHeaders']): readonly Buffer[] {
  return Array.isArray(raw) ? raw.flatMap((part) => (Buffer.isBuffer(part) ? [part] : [])) : [];
}

/**
 * A challenge whose login binds to the connection: clients behind a proxy answer it only when told that the proxy keeps connections
 * apart (RFC 4559 section 6).
 */
function keepsLogin(status: number, fields: readonly [string, string][]): boolean {
  return status === 401 && fields.some(([name, value]) => name.toLowerCase() === 'www-authenticate' && /^(?:ntlm|negotiate|kerberos)\b/i.test(value));
}

/** What undici says of a server: broken HTTP, or a connection that ended (which is also what it makes of 100 and 101 that nobody asked for). */
function serverFault(error: Error): FlowError {
  const broken = brokenHttp.some((kind) => error instanceof kind);
  return broken ? new FlowError('HTTP_MALFORMED', 'the server\'s response is broken', error) : new FlowError('RESET_BY_UPSTREAM', null, error);
}

const brokenHttp = [errors.HTTPParserError, errors.HeadersOverflowError, errors.ResponseContentLengthMismatchError];
