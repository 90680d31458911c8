// The conversation of one explicit-proxy client: requests in absolute form are judged and re-issued one after another, the revocation
// host is answered here, CONNECT is handed back. It never dials on its own and never forwards what was not judged.

import { FlowError, toFlowError } from '../core/errors.ts';
import type { EntryDeps, Flow, Refusal } from '../core/flow.ts';
import type { HttpDetails } from '../core/session.ts';
import { watchIdle } from '../core/idle.ts';
import { countRequest, httpDetails, nameHttp, noteRequest } from './account.ts';
import { abortSocket, endGently, ignoreErrors } from './closing.ts';
import { fieldNames } from './fields.ts';
import { ClientSide } from './forward-client.ts';
import type { ReadHead } from './forward-client.ts';
import { ReissuedExchange } from './forward-exchange.ts';
import { loginOf, withChallenge } from './forward-login.ts';
import type { LoginWanted } from './forward-login.ts';
import { Origins } from './forward-origins.ts';
import { forwardedFields, httpTarget, lessForwards, maxForwards } from './forward-target.ts';
import type { Target } from './forward-target.ts';
import { persists, requestHost } from './head-rules.ts';
import { isFault } from './head-reader.ts';
import type { Head } from './head.ts';
import { InBand } from './in-band.ts';
import { judgeOrigin, notForwarded, originForm } from './forward-policy.ts';
import { judgeRequest } from './judge.ts';
import { pageBytes, pageFor, responseBytes } from './pages.ts';
import type { Pending } from './pending.ts';

export interface ForwardOptions {
  /** Null: anyone may use the service. */
  readonly login: LoginWanted | null;
  /** Name in Via of requests and responses; null leaves Via alone. */
  readonly via: string | null;
}

/** CONNECT, judged by nobody yet but for its login. */
export interface ConnectRequest {
  readonly target: string;
  readonly accept: string | null;
}

/** A request as far as its end will be told of. */
interface Asked {
  readonly method: string;
  readonly host: string | null;
  readonly target: string;
  readonly accept: string | null;
  readonly startedAt: number;
  readonly details: HttpDetails | null;
}

/** What comes after a request. */
type Step = 'next' | 'close' | ConnectRequest;

/**
 * Serves requests until the client ends or asks for CONNECT; its bytes are then back in the stream. Rejects with the FlowError of the
 * first refusal or failure, told to the client before.
 */
export function converse(flow: Flow, deps: EntryDeps, options: ForwardOptions): Promise<'done' | ConnectRequest> {
  return new Conversation(flow, deps, options, false).run();
}

/** Serves the revocation host alone, to a client that was told it is connected to it; without policy, login or dial. */
export async function serveRevocation(flow: Flow, deps: EntryDeps): Promise<'done'> {
  await new Conversation(flow, deps, { login: null, via: null }, true).run();
  return 'done';
}

class Conversation {
  readonly #flow: Flow;
  readonly #deps: EntryDeps;
  readonly #options: ForwardOptions;
  /** The client is connected to the revocation host: nothing else is answered. */
  readonly #inBandOnly: boolean;
  readonly #client: ClientSide;
  readonly #origins: Origins;
  readonly #inBand: InBand;
  #exchange: ReissuedExchange | null = null;
  /** What the flow is reported with when it ends orderly. */
  #outcome: FlowError | null = null;
  #details: HttpDetails | null = null;
  #moved = 0;

  constructor(flow: Flow, deps: EntryDeps, options: ForwardOptions, inBandOnly: boolean) {
    this.#flow = flow;
    this.#deps = deps;
    this.#options = options;
    this.#inBandOnly = inBandOnly;
    this.#client = new ClientSide(flow.raw, deps.limits, (error) => this.#exchange?.fail(error));
    this.#origins = new Origins(deps.limits, () => deps.dial(flow));
    this.#inBand = new InBand(deps);
  }

  async run(): Promise<'done' | ConnectRequest> {
    const { limits } = this.#deps;
    const idle = watchIdle(() => this.#moved + this.#client.moved + (this.#exchange?.moved ?? 0), limits.httpIdleMs, () => this.#onIdle());
    try {
      for (let first = true; ; first = false) {
        const step = await this.#next(first);
        if (typeof step === 'object') return this.#leave(step);
        if (step === 'close') break;
      }
    } catch (caught) {
      this.#client.release();
      ignoreErrors(this.#flow.raw);
      throw caught;
    } finally {
      idle.stop();
      this.#origins.dropAll(new FlowError('RESET_BY_CLIENT'));
    }
    this.#client.release();
    ignoreErrors(this.#flow.raw);
    await endGently(this.#flow.raw, limits.lingerMs);
    if (this.#outcome !== null) throw this.#outcome;
    return 'done';
  }

  #leave(connect: ConnectRequest): ConnectRequest {
    this.#client.release();
    return connect;
  }

  async #next(first: boolean): Promise<Step> {
    const next = await this.#client.next(first);
    if (next === null) {
      if (this.#client.gone !== null) throw this.#client.gone;
      if (first) throw new FlowError('CLIENT_CLOSED_EARLY');
      return 'close';
    }
    if (next === 'stalled') {
      return this.#refuse(null, { code: first ? 'FIRST_BYTES_STALLED' : 'IDLE_TIMEOUT', detail: 'the request head did not end within httpHeadMs', rule: null, status: 408 }, false);
    }
    if (isFault(next)) return this.#refuse(null, { code: next.code, detail: next.why, rule: null, status: null }, false);
    return await this.#serve(next);
  }

  async #serve(read: ReadHead): Promise<Step> {
    const { head } = read;
    const host = requestHost(head);
    if (head.method !== 'CONNECT') nameHttp(this.#flow.session, this.#deps);
    if (head.method !== 'CONNECT' && host !== null && this.#deps.revocation.isHost(host)) return await this.#answerInBand(head, host);
    if (this.#inBandOnly) return this.#refuse(head, misdirected, false);
    const revocationTunnel = head.method === 'CONNECT' && this.#deps.revocation.isHost(head.target);
    if (!revocationTunnel && !(await this.#loggedIn(read))) return this.#refuse(head, loginWanted, true);
    if (head.method === 'CONNECT') return { target: head.target, accept: head.accept };
    if (head.target === '*' || this.#isLastHop(read)) return this.#answerOptions(head);
    const target = httpTarget(head.method, head.target);
    if (target === null) return this.#refuse(head, head.target.startsWith('/') ? originForm : notForwarded, false);
    return await this.#forward(read, target);
  }

  async #loggedIn(read: ReadHead): Promise<boolean> {
    const { login } = this.#options;
    if (login === null) return true;
    const said = loginOf(read.head, read.bytes);
    // The head is read before the wait: nothing else of the client is read meanwhile.
    const right = said !== null && (await login.check(said.user, said.password));
    if (!right) return false;
    this.#flow.session.user = said.user;
    if (this.#outcome?.code === 'AUTH_REQUIRED') this.#outcome = null;
    return true;
  }

  /** OPTIONS and TRACE that may go no further (RFC 9110 section 7.6.2). */
  #isLastHop({ head, bytes }: ReadHead): boolean {
    if (head.method !== 'OPTIONS' && head.method !== 'TRACE') return false;
    return maxForwards(forwardedFields(head, bytes)) === 0;
  }

  #answerOptions(head: Head): Step {
    const options = head.method === 'OPTIONS';
    const keepAlive = persists(head) && this.#client.body(head) === null;
    this.#write(responseBytes(options ? 200 : 405, { Allow: 'GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, CONNECT' }, Buffer.alloc(0), { toHead: false, keepAlive }));
    return keepAlive ? 'next' : 'close';
  }

  async #answerInBand(head: Head, host: string): Promise<Step> {
    this.#flow.session.action ??= 'handoff';
    const details = this.#begin(head, host);
    const startedAt = this.#deps.clock();
    const pending: Pending = {
      method: head.method, host, target: head.target, startedAt, accept: head.accept, persists: persists(head), upgrade: null, awaitsContinue: false, ours: true,
      answer: null, closeAfter: false, status: 0, fromClientBytes: 0, toClientBytes: 0,
    };
    this.#inBand.begin(head);
    const body = this.#client.body(head);
    if (body !== null) for await (const chunk of body) if (Buffer.isBuffer(chunk)) this.#inBand.collect(chunk);
    this.#inBand.answer(pending);
    if (pending.answer !== null) this.#write(pending.answer);
    details.status = pending.status;
    this.#count(pending, pending.status, pending.answer?.length ?? 0);
    return pending.closeAfter ? 'close' : 'next';
  }

  /** Judges and re-issues one request. */
  async #forward({ head, bytes }: ReadHead, target: Target): Promise<Step> {
    const { session } = this.#flow;
    const deps = this.#deps;
    const details = this.#begin(head, target.authority);
    const asked: Asked = { method: head.method, host: target.authority, target: head.target, accept: head.accept, startedAt: deps.clock(), details };
    const refused = judgeOrigin(session, deps, target) ?? this.#judgeRequest(head, bytes, target);
    if (refused !== null) return this.#refuse(head, refused, true);
    session.action = 'handoff';
    const via = this.#options.via;
    const key = `${target.host}:${String(target.port)}`;
    const fields = forwardedFields(head, bytes);
    lessForwards(fields, head.method);
    const body = this.#client.body(head);
    fields.push('Host', target.authority);
    if (body !== null && head.contentLength >= 0) fields.push('Content-Length', String(head.contentLength));
    if (via !== null) fields.push('Via', `1.${String(head.minor)} ${via}`);
    if (head.expectContinue && body !== null) this.#write(continueBytes);
    const path = target.path === '' ? `http://${target.authority}` : target.path;
    const request = { method: head.method, path, fields, body, minor: head.minor, persists: persists(head), via };
    const exchange = new ReissuedExchange(this.#flow.raw, this.#origins.at(key), request);
    this.#exchange = exchange;
    try {
      const { status, keepAlive } = await exchange.run();
      details.status = status;
      this.#count(asked, status, exchange.sentBytes);
      return keepAlive && this.#client.bodyDone ? 'next' : 'close';
    } catch (caught) {
      this.#origins.drop(key, new FlowError('RESET_BY_CLIENT'));
      return this.#failed(toFlowError(caught), exchange, asked);
    } finally {
      this.#moved += exchange.moved;
      this.#exchange = null;
      body?.destroy();
    }
  }

  #judgeRequest(head: Head, bytes: Buffer, target: Target): Refusal | null {
    if (!this.#deps.policy.has('http')) return null;
    const headers = fieldNames(bytes, head.fieldsStart, head.lengthBytes);
    const verdict = judgeRequest(this.#flow.session, this.#deps, { method: head.method, host: target.authority, target: head.target, headers, upgrade: head.upgrade });
    if (verdict.action === 'allow') return null;
    this.#flow.session.rule = verdict.rule;
    return { code: 'REQUEST_DENIED', detail: null, rule: verdict.rule, status: verdict.status };
  }

  /** A page where the client can still be told, else its connection breaks as the server's did. */
  #failed(error: FlowError, exchange: ReissuedExchange, asked: Asked): Step {
    const { raw } = this.#flow;
    if (asked.details !== null) asked.details.status = exchange.answered ? exchange.status : null;
    if (this.#client.gone !== null || exchange.answered) {
      this.#count(asked, exchange.status, exchange.sentBytes);
      abortSocket(raw);
      throw this.#client.gone ?? error;
    }
    const ours = error.code === 'HTTP_AMBIGUOUS' && !this.#client.bodyDone;
    const status = error.code === 'HTTP_MALFORMED' || (error.code === 'HTTP_AMBIGUOUS' && !ours) ? badGateway : null;
    return this.#tell({ code: error.code, detail: error.detail, rule: null, status }, asked, false);
  }

  #begin(head: Head, host: string): HttpDetails {
    this.#details = httpDetails(this.#flow.session);
    noteRequest(this.#details, head.method, host, this.#deps.limits.sessionTextBytesMax);
    return this.#details;
  }

  /** Tells the client why; a request without a body leaves the connection usable where `mayKeep` says so. */
  #refuse(head: Head | null, refusal: Refusal, mayKeep: boolean): Step {
    const keepAlive = mayKeep && head !== null && persists(head) && this.#client.body(head) === null;
    const said = head === null ? unread : { method: head.method, host: requestHost(head), target: head.target, accept: head.accept };
    return this.#tell(refusal, { ...said, startedAt: this.#deps.clock(), details: this.#details }, keepAlive);
  }

  #tell(refusal: Refusal, asked: Asked, keepAlive: boolean): Step {
    const plain = pageFor(refusal, asked.accept);
    const page = refusal.code === 'AUTH_REQUIRED' && this.#options.login !== null ? withChallenge(plain, this.#options.login.realm) : plain;
    const answer = pageBytes(page, { accept: asked.accept, toHead: asked.method === 'HEAD', keepAlive });
    this.#write(answer);
    if (asked.details !== null) asked.details.status = page.status;
    this.#count(asked, page.status, answer.length);
    this.#outcome ??= new FlowError(refusal.code, refusal.detail);
    return keepAlive ? 'next' : 'close';
  }

  #count({ method, host, target, startedAt }: Omit<Asked, 'accept' | 'details'>, status: number, toClientBytes: number): void {
    countRequest(this.#flow.session, this.#deps, { method, host, target, startedAt, status, fromClientBytes: this.#client.requestBytes, toClientBytes });
  }

  #write(bytes: Buffer): void {
    this.#moved += bytes.length;
    if (this.#flow.raw.writable) this.#flow.raw.write(bytes);
  }

  #onIdle(): void {
    if (this.#exchange === null) this.#client.stopWaiting();
    else this.#exchange.fail(new FlowError('IDLE_TIMEOUT'));
  }
}

const badGateway = 502;
const unread = { method: 'other', host: null, target: '', accept: null };
const loginWanted: Refusal = { code: 'AUTH_REQUIRED', detail: null, rule: null, status: null };
const continueBytes = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
const misdirected: Refusal = { code: 'REQUEST_DENIED', rule: null, status: 421, detail: 'only revocation data is served under this name' };
