// HTTP/2 terminated on both sides: one session with the client, one with its server, streams bridged between them (RFC 9113).
// Each request is judged; pushes are not taken; floods end the connection. Nothing is answered for the server but refusals.

import { constants, performServerHandshake } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { FlowError, toFlowError } from '../core/errors.ts';
import type { Deps, Flow, Handled, Refusal } from '../core/flow.ts';
import type { HttpDetails } from '../core/session.ts';
import { watchIdle } from '../core/idle.ts';
import type { IdleWatch } from '../core/idle.ts';
import { countRequest, httpDetails, noteRequest } from './account.ts';
import { Authorities } from './authority.ts';
import { ignoreErrors } from './closing.ts';
import { calm, openUpstream, serverOptions, sessionError, startReading } from './h2-session.ts';
import { bridgeStream, refuseStream } from './h2-stream.ts';
import { judgeRequest } from './judge.ts';
import { Rate } from './rate.ts';
import { seenSocket } from './seen-socket.ts';

/** Runs HTTP/2 on a flow until both sessions have ended; dials where nothing was dialled. Rejects with FlowError. */
export async function exchangeHttp2(flow: Flow, deps: Deps): Promise<Handled> {
  const socket = flow.upstream ?? await deps.dial(flow);
  await calm(flow.client);
  await calm(socket);
  if (flow.client.destroyed) throw new FlowError('RESET_BY_CLIENT');
  let upstream: ClientHttp2Session;
  try {
    upstream = await openUpstream(socket, flow.insideTls, deps.limits);
  } catch (caught) {
    const error = toFlowError(caught);
    await refuseHttp2({ ...flow, upstream: socket }, deps, { code: error.code, detail: error.detail, rule: null, status: badGateway });
    throw error;
  }
  // Node hears nothing of a socket that was gone before its session began.
  if (flow.client.destroyed) {
    upstream.destroy();
    socket.destroy();
    throw new FlowError('RESET_BY_CLIENT');
  }
  return await new Http2(flow, deps, upstream, socket).run();
}

/** Tells every request of a refused connection why, for a bounded time, then ends it. */
export async function refuseHttp2(flow: Flow, deps: Deps, refusal: Refusal): Promise<void> {
  ignoreErrors(flow.client);
  if (flow.upstream !== null) {
    ignoreErrors(flow.upstream);
    flow.upstream.destroy();
  }
  if (flow.client.destroyed || !flow.client.writable) return;
  await calm(flow.client);
  if (flow.client.destroyed) return;
  const session = performServerHandshake(clientStream(flow, deps), serverOptions(deps, false));
  startReading(flow.client);
  await new Promise<void>((resolve) => {
    // A client that asks nothing is not waited for longer than for first bytes; one that was answered leaves, or is left.
    const timer = setTimeout(() => {
      session.destroy();
      flow.client.destroy();
    }, deps.limits.detectMs);
    session.on('error', ignore);
    session.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', ignore);
      refuseStream(stream, headers, refusal);
      session.close();
    });
  });
  flow.client.destroy();
}

/** The client's side for a session to take over; where it is recorded, by way of its stream. */
function clientStream(flow: Flow, deps: Deps): Duplex {
  return deps.recorder?.watches(flow) === true ? seenSocket(flow.client) : flow.client;
}

class Http2 {
  readonly #flow: Flow;
  readonly #deps: Deps;
  readonly #details: HttpDetails;
  readonly #server: ServerHttp2Session;
  readonly #upstream: ClientHttp2Session;
  readonly #upstreamSocket: Socket;
  readonly #authorities: Authorities;
  readonly #resets: Rate;
  readonly #settings: Rate;
  readonly #hasPolicy: boolean;
  /** Extended CONNECT (RFC 8441) is ours to offer only once the server has offered it. */
  #offered: boolean;
  #streams = 0;
  #failure: FlowError | null = null;
  #denied: FlowError | null = null;
  #idle: IdleWatch | null = null;

  constructor(flow: Flow, deps: Deps, upstream: ClientHttp2Session, socket: Socket) {
    const { limits } = deps;
    this.#flow = flow;
    this.#deps = deps;
    this.#details = httpDetails(flow.session);
    this.#upstream = upstream;
    this.#upstreamSocket = socket;
    this.#authorities = new Authorities(flow.session, deps);
    this.#resets = new Rate(limits.http2ResetsPerSecondMax);
    this.#settings = new Rate(limits.http2SettingsPerSecondMax);
    this.#hasPolicy = deps.policy.has('http');
    this.#offered = upstream.remoteSettings.enableConnectProtocol === true;
    this.#server = performServerHandshake(clientStream(flow, deps), serverOptions(deps, this.#offered));
    startReading(flow.client);
  }

  run(): Promise<Handled> {
    const { raw } = this.#flow;
    const { limits } = this.#deps;
    return new Promise((resolve, reject) => {
      this.#listenToServer();
      this.#listenToUpstream();
      this.#idle = watchIdle(() => raw.bytesRead + raw.bytesWritten, limits.httpIdleMs, () => {
        if (this.#streams > 0) this.#fail(new FlowError('IDLE_TIMEOUT'), constants.NGHTTP2_CANCEL);
        else this.#leave();
      });
      let open = 2;
      const closed = (): void => {
        open -= 1;
        if (open > 0) return;
        this.#idle?.stop();
        this.#flow.client.destroy();
        this.#upstreamSocket.destroy();
        const outcome = this.#failure ?? this.#denied;
        if (outcome === null) resolve('done');
        else reject(outcome);
      };
      this.#server.on('close', closed);
      this.#upstream.on('close', closed);
      // GOAWAY may have come right after SETTINGS.
      if (this.#upstream.closed) this.#server.close();
    });
  }

  #listenToServer(): void {
    const server = this.#server;
    ignoreErrors(this.#flow.client);
    server.on('stream', this.#onStream);
    server.on('error', (error: Error) => {
      const failure = sessionError(error, 'client');
      // curl closes over our last acknowledgements when it has all it wants: with no stream open that is a farewell.
      if (failure.code === 'RESET_BY_CLIENT' && this.#streams === 0) this.#leave();
      else this.#fail(failure, null);
    });
    server.on('frameError', () => this.#fail(new FlowError('HTTP2_PROTOCOL', 'a frame could not be sent'), constants.NGHTTP2_INTERNAL_ERROR));
    server.on('remoteSettings', () => {
      if (!this.#settings.take(this.#deps.clock())) this.#flood('http2SettingsPerSecondMax');
    });
    server.on('close', () => {
      // Streams that still run end with the connection that asked for them.
      if (!this.#upstream.destroyed) this.#endSession(this.#upstream);
    });
    try {
      server.setLocalWindowSize(this.#deps.limits.http2ConnectionWindowBytes);
    } catch (caught) {
      this.#fail(toFlowError(caught), null);
    }
  }

  #listenToUpstream(): void {
    const upstream = this.#upstream;
    ignoreErrors(this.#upstreamSocket);
    upstream.on('error', (error: Error) => this.#fail(sessionError(error, 'server'), null));
    upstream.on('remoteSettings', (settings) => {
      if (settings.enableConnectProtocol !== true || this.#offered || this.#server.destroyed) return;
      this.#offered = true;
      this.#server.settings({ enableConnectProtocol: true });
    });
    // Streams above the last one the server will read are reset by nghttp2 as REFUSED_STREAM and passed on as that.
    upstream.on('goaway', (code: number) => {
      if (this.#server.destroyed) return;
      if (code !== constants.NGHTTP2_NO_ERROR) this.#server.goaway(code);
      this.#server.close();
    });
    upstream.on('close', () => {
      if (!this.#server.destroyed) this.#endSession(this.#server);
    });
  }

  readonly #onStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: readonly string[] = []): void => {
    const { session } = this.#flow;
    const startedAt = this.#deps.clock();
    const method = headers[':method'] ?? 'other';
    const host = headers[':authority'] ?? headers.host ?? null;
    noteRequest(this.#details, method, host, this.#deps.limits.sessionTextBytesMax);
    this.#streams += 1;
    const ended = (status: number, fromClientBytes: number, toClientBytes: number): void => {
      this.#streams -= 1;
      this.#details.status = status === 0 ? null : status;
      countRequest(session, this.#deps, { method, host, target: headers[':path'] ?? '', startedAt, status, fromClientBytes, toClientBytes });
    };
    const refusal = this.#judge(method, host, headers);
    if (refusal !== null) {
      stream.on('error', ignore);
      const { status, bytes } = refuseStream(stream, headers, refusal);
      stream.on('close', () => ended(status, 0, bytes));
      return;
    }
    if (headers[':protocol'] !== undefined) this.#upgraded(headers[':protocol']);
    const endsWithHead = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    bridgeStream({ stream, headers, rawHeaders, endsWithHead }, this.#upstream, this.#deps.limits, (end) => {
      ended(end.status, end.fromClientBytes, end.toClientBytes);
      if (end.resetByClient && !this.#resets.take(this.#deps.clock())) this.#flood('http2ResetsPerSecondMax');
    });
  };

  /** Why a request is not passed on; null when it is. */
  #judge(method: string, host: string | null, headers: IncomingHttpHeaders): Refusal | null {
    // RFC 9113 section 8.3.1: a gateway must not forward two hosts that differ.
    if (headers[':authority'] !== undefined && headers.host !== undefined && headers.host.toLowerCase() !== headers[':authority'].toLowerCase()) {
      return { code: 'HTTP_AMBIGUOUS', detail: 'host differs from :authority', rule: null, status: null };
    }
    if (host === null) return { code: 'HTTP_MALFORMED', detail: 'a request without its host', rule: null, status: null };
    const other = this.#authorities.judge(host);
    if (other !== null) return { code: 'CONNECTION_DENIED', detail: 'this name has another verdict than its connection', rule: other, status: misdirected };
    if (!this.#hasPolicy) return null;
    const words = { method, host, target: headers[':path'] ?? '', headers: new Set(Object.keys(headers).filter((name) => !name.startsWith(':'))) };
    const verdict = judgeRequest(this.#flow.session, this.#deps, { ...words, upgrade: headers[':protocol'] ?? null });
    if (verdict.action === 'allow') return null;
    this.#flow.session.rule = verdict.rule;
    this.#denied ??= new FlowError('REQUEST_DENIED');
    return { code: 'REQUEST_DENIED', detail: null, rule: verdict.rule, status: verdict.status };
  }

  /** WebSocket and its like may be silent for longer than requests. */
  #upgraded(protocol: string): void {
    this.#details.upgraded = protocol.slice(0, this.#deps.limits.sessionTextBytesMax);
    if (this.#idle !== null) this.#idle.limitMs = Math.max(this.#idle.limitMs, this.#deps.limits.relayIdleMs);
  }

  #flood(limit: 'http2ResetsPerSecondMax' | 'http2SettingsPerSecondMax'): void {
    if (this.#failure !== null) return;
    this.#deps.meter.add('limits_hit_total', [limit]);
    this.#fail(new FlowError('HTTP2_FLOOD', limit), constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** The first failure is the flow's; null as code leaves the farewell to what happened. */
  #fail(error: FlowError, code: number | null): void {
    this.#failure ??= error;
    if (code === null) this.#endSession(this.#server);
    else {
      if (!this.#server.destroyed) this.#server.destroy(undefined, code);
      this.#bound(this.#server);
    }
    if (!this.#upstream.destroyed) this.#upstream.destroy(undefined, constants.NGHTTP2_CANCEL);
    this.#bound(this.#upstream);
  }

  #leave(): void {
    this.#endSession(this.#server);
    this.#endSession(this.#upstream);
  }

  /** GOAWAY, a bounded time for what is under way, then the end. */
  #endSession(session: ServerHttp2Session | ClientHttp2Session): void {
    if (!session.destroyed && !session.closed) session.close();
    this.#bound(session);
  }

  /** Node 24: an ended session waits for what it wrote to leave, a closed one for its peer's FIN as well, without a limit. */
  #bound(session: ServerHttp2Session | ClientHttp2Session): void {
    const socket = session === this.#server ? this.#flow.client : this.#upstreamSocket;
    if (socket.destroyed) return;
    const timer = setTimeout(() => {
      session.destroy();
      socket.destroy();
    }, this.#deps.limits.lingerMs);
    socket.once('close', () => clearTimeout(timer));
  }
}

const misdirected = 421;
const badGateway = 502;

function ignore(): void {}
