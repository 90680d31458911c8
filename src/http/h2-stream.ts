// One HTTP/2 request bridged: the client's stream and the one re-issued upstream, with back-pressure, interim responses,
// trailers and resets mapped both ways. Header fields keep order and repetition; nothing of a body is held beyond the
// windows. A response that ends short of its length is reset.

import { constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Refusal } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { pageFor } from './pages.ts';

/** What one bridged request came to. */
export interface StreamEnd {
  /** Status of the final response, 0 without one. */
  readonly status: number;
  /** The client reset it before its response was complete. */
  readonly resetByClient: boolean;
  /** Bytes of the two bodies. */
  readonly fromClientBytes: number;
  readonly toClientBytes: number;
}

/** A request of the client as received. */
export interface ClientRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, in the order they came. */
  readonly rawHeaders: readonly string[];
  /** The request has no body and no trailers. */
  readonly endsWithHead: boolean;
}

/** Node 24: not in its types; without it every response would get a Date of ours. */
interface RespondOptions {
  readonly endStream: boolean;
  readonly waitForTrailers: boolean;
  readonly sendDate: false;
}

/** Re-issues a request upstream and bridges the two streams; `onEnd` is called once, when the client's stream is closed. */
export function bridgeStream(request: ClientRequest, upstream: ClientHttp2Session, limits: Limits, onEnd: (end: StreamEnd) => void): void {
  new Bridge(request, upstream, limits, onEnd).start();
}

/** Answers a request with the page of a refusal, and takes no body. */
export function refuseStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, refusal: Refusal): { status: number; bytes: number } {
  const page = pageFor(refusal, headers.accept ?? null);
  if (stream.destroyed || stream.headersSent) return { status: 0, bytes: 0 };
  const toHead = headers[':method'] === 'HEAD';
  stream.respond({
    ':status': page.status,
    'content-type': page.contentType,
    'content-length': page.body.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  }, { endStream: toHead });
  if (!toHead) stream.end(page.body);
  // The rest of an upload is not wanted (RFC 9113 section 8.1).
  stream.once('finish', () => {
    if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
  });
  stream.resume();
  return { status: page.status, bytes: toHead ? 0 : page.body.length };
}

class Bridge {
  readonly #request: ClientRequest;
  readonly #client: ServerHttp2Stream;
  readonly #session: ClientHttp2Session;
  readonly #limits: Limits;
  readonly #onEnd: (end: StreamEnd) => void;
  #upstream: ClientHttp2Stream | null = null;
  /** The length that the response gives its body; null where it gives none. */
  #responseLength: number | null = null;
  #requestTrailers: IncomingHttpHeaders = {};
  #responseTrailers: IncomingHttpHeaders = {};
  #status = 0;
  #fromClientBytes = 0;
  #toClientBytes = 0;
  /** The response is with nghttp2 to its end, trailers included. */
  #answered = false;
  /** The rest of the request is not wanted once the response has been sent. */
  #closeOnceAnswered = false;
  /** The client's stream was closed by us, so that its code is not the client's. */
  #closedHere = false;

  constructor(request: ClientRequest, upstream: ClientHttp2Session, limits: Limits, onEnd: (end: StreamEnd) => void) {
    this.#request = request;
    this.#client = request.stream;
    this.#session = upstream;
    this.#limits = limits;
    this.#onEnd = onEnd;
  }

  start(): void {
    const { endsWithHead } = this.#request;
    const client = this.#client;
    client.on('error', ignore);
    client.on('close', this.#onClientClose);
    if (this.#session.closed || this.#session.destroyed) {
      // The server is leaving (GOAWAY): nothing of this went out, and the client may ask again.
      this.#closeClient(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    let upstream: ClientHttp2Stream;
    try {
      upstream = this.#session.request(withAuthority(this.#request), { endStream: endsWithHead, waitForTrailers: !endsWithHead });
    } catch {
      // What Node refuses to send again was let in by nghttp2: broken in a way only its caller can mend.
      this.#closeClient(constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    }
    this.#upstream = upstream;
    upstream.on('error', ignore);
    upstream.on('close', this.#onUpstreamClose);
    upstream.on('headers', this.#onInterim);
    upstream.on('response', this.#onResponse);
    upstream.on('trailers', (trailers) => (this.#responseTrailers = trailers));
    if (endsWithHead) return;
    client.on('trailers', (trailers) => (this.#requestTrailers = trailers));
    upstream.on('wantTrailers', () => sendTrailers(upstream, this.#requestTrailers));
    client.on('data', (chunk: Buffer) => (this.#fromClientBytes += chunk.length));
    client.pipe(upstream);
  }

  readonly #onInterim = (headers: IncomingHttpHeaders): void => {
    const client = this.#client;
    if (client.destroyed || client.headersSent) return;
    try {
      client.additionalHeaders(headers);
    } catch {
      this.#closeClient(constants.NGHTTP2_PROTOCOL_ERROR);
    }
  };

  readonly #onResponse = (headers: IncomingHttpHeaders & { ':status'?: number }, flags: number, rawHeaders: readonly string[] = []): void => {
    const client = this.#client;
    const upstream = this.#upstream;
    if (upstream === null || client.destroyed || client.headersSent) return;
    this.#status = headers[':status'] ?? 0;
    const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const options: RespondOptions = { endStream, waitForTrailers: !endStream, sendDate: false };
    try {
      client.respond([...rawHeaders], options);
    } catch {
      this.#closeClient(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    // Node ends an answer that can have no body with its head, even where the server ends it with a frame of its own.
    if (endStream || client.writableEnded) {
      this.#answered = true;
      upstream.resume();
      return;
    }
    const length = headers['content-length'];
    const method = this.#request.headers[':method'];
    const isOfBody = method !== 'HEAD' && method !== 'CONNECT' && this.#status !== notModified;
    if (isOfBody && length !== undefined) this.#responseLength = Number(length);
    client.on('wantTrailers', this.#onWantTrailers);
    upstream.on('data', (chunk: Buffer) => (this.#toClientBytes += chunk.length));
    upstream.pipe(client, { end: false });
    if (upstream.readableEnded) this.#onResponseEnd();
    else upstream.once('end', this.#onResponseEnd);
  };

  readonly #onResponseEnd = (): void => {
    const client = this.#client;
    if (client.closed || client.destroyed) return;
    if (this.#isCut()) this.#closeClient(constants.NGHTTP2_INTERNAL_ERROR);
    else client.end();
  };

  readonly #onWantTrailers = (): void => {
    sendTrailers(this.#client, this.#responseTrailers);
    this.#answered = true;
    if (this.#closeOnceAnswered) this.#closeAnswered();
  };

  /**
   * Node 24 reports a reset with NO_ERROR as a normal end. Short of its length, or without a head, it is not one. Where there is no length it is taken
   * for one, as Node's own servers end whole bodies so when the window is used up.
   */
  #isCut(): boolean {
    return this.#status === 0 || (this.#responseLength !== null && this.#toClientBytes < this.#responseLength);
  }

  #closeClient(code: number): void {
    this.#closedHere = true;
    this.#client.close(code);
  }

  /** Node 24: a reset overtakes trailers that nghttp2 has not written yet, and nothing tells when it has. */
  #closeAnswered(): void {
    const client = this.#client;
    if (client.closed || client.destroyed) return;
    if (client.state.localClose === 1) this.#closeClient(constants.NGHTTP2_NO_ERROR);
    else setTimeout(() => this.#closeAnswered(), this.#limits.http2TrailersLookMs);
  }

  readonly #onClientClose = (): void => {
    const upstream = this.#upstream;
    const code = this.#client.rstCode;
    // Answered in full and heard in full: what the server has no room for yet is still on its way to it.
    const whole = code === constants.NGHTTP2_NO_ERROR && !this.#closedHere && upstream?.writableEnded === true && upstream.readableEnded;
    if (upstream !== null && !upstream.closed && !whole) upstream.close(code === constants.NGHTTP2_NO_ERROR ? constants.NGHTTP2_CANCEL : code);
    const resetByClient = !this.#closedHere && (code !== constants.NGHTTP2_NO_ERROR || !this.#answered);
    this.#onEnd({ status: this.#status, resetByClient, fromClientBytes: this.#fromClientBytes, toClientBytes: this.#toClientBytes });
  };

  /** The server's stream is over: complete, reset (passed on with its code), or lost with its connection. */
  readonly #onUpstreamClose = (): void => {
    const client = this.#client;
    const upstream = this.#upstream;
    if (upstream === null || client.closed || client.destroyed) return;
    const code = upstream.rstCode;
    if (code === constants.NGHTTP2_NO_ERROR && upstream.readableEnded && !this.#isCut()) {
      if (this.#request.endsWithHead || client.readableEnded) return;
      // Complete before the request was: the rest of the body has nowhere to go (RFC 9113 section 8.1).
      client.unpipe(upstream);
      client.resume();
      this.#closeOnceAnswered = true;
      if (this.#answered) this.#closeAnswered();
      return;
    }
    const lost = this.#session.destroyed && !client.headersSent && code !== constants.NGHTTP2_REFUSED_STREAM;
    if (lost) {
      this.#closedHere = true;
      const { status, bytes } = refuseStream(client, this.#request.headers, { code: 'RESET_BY_UPSTREAM', detail: null, rule: null, status: null });
      this.#status = status;
      this.#toClientBytes += bytes;
    } else this.#closeClient(code === constants.NGHTTP2_NO_ERROR ? constants.NGHTTP2_INTERNAL_ERROR : code);
  };
}

/** A request that names its host only in `host` gets it as :authority: Node would put in one of its own. */
function withAuthority({ headers, rawHeaders }: ClientRequest): string[] {
  const { host } = headers;
  return headers[':authority'] !== undefined || host === undefined ? [...rawHeaders] : [':authority', host, ...rawHeaders];
}

function sendTrailers(stream: ServerHttp2Stream | ClientHttp2Stream, trailers: IncomingHttpHeaders): void {
  if (stream.destroyed) return;
  try {
    stream.sendTrailers(trailers);
  } catch {
    stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
  }
}

const notModified = 304;

function ignore(): void {}
