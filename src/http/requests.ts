// The client's side of an exchange: reads requests strictly, asks policy, forwards the bytes as they came, and waits where
// the order of responses or a switch of protocols demands it. It never changes a byte but for one line: an offer of h2c that
// would carry requests past policy.

import { FlowError } from '../core/errors.ts';
import { watchIdle } from '../core/idle.ts';
import type { IdleWatch } from '../core/idle.ts';
import { noteRequest } from './account.ts';
import { BodyWalker } from './body.ts';
import { fieldLines, fieldNames } from './fields.ts';
import type { Fault } from './grammar.ts';
import { persists, requestFraming, requestHost } from './head-rules.ts';
import { HeadReader, isFault } from './head-reader.ts';
import type { Head } from './head.ts';
import { InBand } from './in-band.ts';
import { judgeRequest } from './judge.ts';
import type { Exchange, Pending } from './pending.ts';

/** Reads what the client sends. */
export class RequestSide {
  readonly #exchange: Exchange;
  readonly #reader: HeadReader;
  readonly #body: BodyWalker;
  readonly #hasPolicy: boolean;
  readonly #inBand: InBand | null;
  /** Bytes received and not read: a partial head, or everything that waits while held. */
  #rest: Buffer | null = null;
  #held = false;
  /** Nothing more is read: the last request said close, or was refused. */
  #over = false;
  #ended = false;
  /** The request whose body is being read. */
  #current: Pending | null = null;
  /** An upgrade or CONNECT is out: what follows may not be HTTP. */
  #switching = false;
  #seen = 0;
  #headWatch: IdleWatch | null = null;

  constructor(exchange: Exchange) {
    const { flow, deps } = exchange;
    this.#exchange = exchange;
    this.#reader = new HeadReader('request', deps.limits);
    this.#body = new BodyWalker(deps.limits);
    this.#hasPolicy = deps.policy.has('http');
    this.#inBand = flow.insideTls ? null : new InBand(deps);
  }

  get held(): boolean {
    return this.#held;
  }

  /** The client has sent its last byte. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The client is in the middle of a request. */
  get midRequest(): boolean {
    return this.#current !== null || this.#reader.partial;
  }

  /** What was received and not read, for whoever takes the stream over. */
  takeRest(): Buffer | null {
    const rest = this.#rest;
    this.#rest = null;
    this.stop();
    return rest;
  }

  /** Reads no more. */
  stop(): void {
    this.#over = true;
    this.#unwatchHead();
  }

  readonly onData = (chunk: Buffer): void => {
    if (this.#over) return;
    const rest = this.#rest;
    const bytes = rest === null ? chunk : Buffer.concat([rest, chunk]);
    this.#rest = null;
    if (this.#held) this.#rest = bytes;
    else this.#read(bytes);
  };

  readonly onEnd = (): void => {
    this.#ended = true;
    if (!this.#held) this.#announceEnd();
  };

  /** Reads on, when nothing is left to wait for. */
  release(): void {
    if (!this.#held || this.#mustWait()) return;
    this.#held = false;
    const rest = this.#rest;
    this.#rest = null;
    if (rest !== null && !this.#over) this.#read(rest);
    if (this.#held) return;
    if (this.#ended) this.#announceEnd();
    else this.#exchange.resumeClient();
  }

  /** An upgrade or CONNECT was answered with an ordinary response: the stream stays HTTP. */
  stayHttp(): void {
    this.#switching = false;
  }

  #announceEnd(): void {
    this.#unwatchHead();
    this.#exchange.clientEnded(this.#current !== null);
  }

  #mustWait(): boolean {
    const exchange = this.#exchange;
    return this.#switching || !exchange.clientHasRoom || exchange.queue.length >= exchange.deps.limits.httpPipelineMax || exchange.dialling;
  }

  #hold(rest: Buffer | null): void {
    this.#held = true;
    if (rest !== null && rest.length > 0) this.#rest = rest;
    this.#exchange.holdClient();
  }

  /** Reads requests from bytes none of which was read before, but for a head that said 'more'. */
  #read(bytes: Buffer): void {
    /** Where the current request begins in these bytes, and the first byte neither forwarded nor dropped. */
    let start = 0;
    let from = 0;
    let at = 0;
    while (at < bytes.length && !this.#over) {
      if (this.#current === null) {
        if (this.#mustWait()) break;
        const head = this.#reader.read(bytes, at);
        if (head === 'more') break;
        this.#unwatchHead();
        if (isFault(head)) {
          this.#forward(bytes, from, at);
          this.#refuse(head, at === 0 ? bytes : bytes.subarray(at));
          return;
        }
        start = at;
        const pending = this.#accept(bytes, at, head);
        from = this.#forwardHead(bytes, from, at, head, pending);
        at += head.lengthBytes;
        this.#current = pending;
        if (pending.closeAfter) {
          this.#current = null;
          this.stop();
          this.#exchange.advance();
          return;
        }
      }
      const pending = this.#current;
      if (at < bytes.length) pending.awaitsContinue = false;
      const next = this.#body.walk(bytes, at);
      if (this.#body.fault !== null) {
        this.#forward(bytes, from, Math.max(from, start));
        this.#current = null;
        this.#exchange.failRequest(new FlowError(this.#body.fault.code, this.#body.fault.why), null, pending);
        return;
      }
      pending.fromClientBytes += next - at;
      if (pending.ours) {
        if (next > at) this.#inBand?.collect(bytes.subarray(at, next));
        from = next;
      }
      at = next;
      if (!this.#body.done) break;
      this.#current = null;
      this.#complete(pending);
    }
    this.#forward(bytes, from, at);
    this.#keep(bytes, at);
  }

  /** After a round of reading: what is left is a partial head, or waits. */
  #keep(bytes: Buffer, at: number): void {
    if (this.#over || !this.#exchange.open) return;
    const rest = at === bytes.length ? null : at === 0 ? bytes : bytes.subarray(at);
    if (this.#exchange.dialling || (this.#current === null && rest !== null && !this.#reader.partial)) {
      this.#hold(rest);
      return;
    }
    this.#rest = rest;
    if (this.#reader.partial) this.#watchHead();
  }

  #forward(bytes: Buffer, from: number, to: number): void {
    if (to > from) this.#exchange.toUpstream(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }

  /** Forwards nothing yet where the head may go as it is; answers the first byte that is still to be forwarded. */
  #forwardHead(bytes: Buffer, from: number, at: number, head: Head, pending: Pending): number {
    if (pending.ours) {
      this.#forward(bytes, from, at);
      return at + head.lengthBytes;
    }
    if (!this.#hasPolicy || head.upgrade === null || pending.upgrade !== null) return from;
    let first = from;
    for (const [line, lineEnd] of fieldLines(bytes, at + head.fieldsStart, at + head.lengthBytes, 'upgrade')) {
      this.#forward(bytes, first, line);
      first = lineEnd;
    }
    return first;
  }

  /** A good head: into the queue, judged, its body begun. */
  #accept(bytes: Buffer, at: number, head: Head): Pending {
    const { deps, details } = this.#exchange;
    const host = requestHost(head);
    const offersH2c = this.#hasPolicy && head.upgrade !== null && head.upgrade.includes('h2c');
    const pending: Pending = {
      method: head.method,
      host,
      target: head.target,
      startedAt: deps.clock(),
      accept: head.accept,
      persists: persists(head),
      upgrade: head.upgradeOption && !offersH2c ? head.upgrade : null,
      awaitsContinue: head.expectContinue,
      ours: false,
      answer: null,
      closeAfter: false,
      status: 0,
      fromClientBytes: head.lengthBytes,
      toClientBytes: 0,
    };
    this.#seen += 1;
    noteRequest(details, head.method, host, deps.limits.sessionTextBytesMax);
    const framing = requestFraming(head);
    this.#body.begin(framing, head.contentLength);
    this.#exchange.queue.push(pending);
    if (host !== null && this.#inBand !== null && deps.revocation.isHost(host)) {
      pending.ours = true;
      this.#inBand.begin(head);
    } else if (this.#hasPolicy) this.#judge(bytes, at, head, host, pending, framing === 'none');
    return pending;
  }

  #judge(bytes: Buffer, at: number, head: Head, host: string | null, pending: Pending, bodiless: boolean): void {
    const { deps, flow } = this.#exchange;
    const headers = (): ReadonlySet<string> => fieldNames(bytes, at + head.fieldsStart, at + head.lengthBytes);
    const verdict = judgeRequest(flow.session, deps, { method: head.method, host, target: head.target, headers, upgrade: head.upgrade });
    if (verdict.action === 'allow') return;
    const refusal = { code: 'REQUEST_DENIED', detail: null, rule: verdict.rule, status: verdict.status } as const;
    flow.session.rule = verdict.rule;
    pending.ours = true;
    // A body that is on its way would have to be swallowed whole before the next request: such a connection ends.
    this.#exchange.refuseWith(pending, refusal, pending.persists && bodiless);
  }

  /** The last byte of a request was read. */
  #complete(pending: Pending): void {
    const exchange = this.#exchange;
    if (pending.ours && pending.answer === null) this.#inBand?.answer(pending);
    if (!pending.persists || pending.closeAfter) this.stop();
    else if (!pending.ours && (pending.upgrade !== null || pending.method === 'CONNECT')) this.#switching = true;
    if (pending.ours) exchange.advance();
  }

  #refuse(fault: Fault, rest: Buffer): void {
    const isFirst = this.#seen === 0 && this.#exchange.queue.length === 0;
    const code = fault.code === 'NOT_HTTP' && !isFirst ? 'HTTP_MALFORMED' : fault.code;
    const error = new FlowError(code, fault.why);
    if (isFirst && code !== 'HTTP_AMBIGUOUS') this.#exchange.giveBack(rest, error);
    else this.#exchange.failRequest(error, null, null);
  }

  /** A head has httpHeadMs from its first byte, however many packets keep it alive. */
  #watchHead(): void {
    this.#headWatch ??= watchIdle(() => 0, this.#exchange.deps.limits.httpHeadMs, () => {
      this.#headWatch = null;
      this.#exchange.failRequest(new FlowError('IDLE_TIMEOUT', 'the request head did not end within httpHeadMs'), requestTimeout, null);
    });
  }

  #unwatchHead(): void {
    this.#headWatch?.stop();
    this.#headWatch = null;
  }
}

const requestTimeout = 408;
