// Judges one direction of a SIP connection for the relay: frames it, shows it to the observer, and asks policy when there
// are rules. Bytes pass unmodified; without rules at once, with rules as soon as their message's head is judged.

import { FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Deps, Flow, Side } from '../core/flow.ts';
import type { Endpoint } from '../core/session.ts';
import { sessionFields } from '../core/log.ts';
import type { Judgement, Tap } from '../core/relay.ts';
import { addressIn, plainUri } from './address.ts';
import { BoundedMap } from './bounded.ts';
import { SipFramer } from './framer.ts';
import type { SipObserver } from './observer.ts';
import { Passage } from './passage.ts';
import { doubtIn, refusalStatus, refuse, transactionKey } from './refusal.ts';

/** The method that would blind the rules from its answer on (MS-SIPCOMP). */
const compressionMethod = 'NEGOTIATE';
const notAcceptable = 488;
const badRequest = 400;

/** What a refused request is answered with, and the rule it is told under. */
interface Refusal {
  readonly status: number;
  readonly rule: string;
  readonly code: ErrorCode;
}

/** What the two directions of one connection share. */
export interface SipConnection {
  readonly flow: Flow;
  readonly deps: Deps;
  readonly observer: SipObserver;
}

/** The tap of one direction. Holds at most one head, and only while rules exist. */
export class SipTap implements Tap {
  /** The head of a message is read while its body comes. */
  readonly retainsChunks = true;
  readonly #connection: SipConnection;
  readonly #from: Side;
  readonly #framer: SipFramer;
  readonly #passage = new Passage();
  /** Refused INVITEs whose ACK has not come. */
  readonly #refused: BoundedMap<true>;
  /** The current message came while rules exist: its head is held until judged. */
  #judging = false;
  /** The current message is refused: its body goes nowhere. */
  #dropping = false;
  /** The pieces so far of a session description that is looked into. */
  #description: Buffer[] = [];
  #answers: Buffer[] = [];

  constructor(connection: SipConnection, from: Side) {
    const { limits, meter } = connection.deps;
    this.#connection = connection;
    this.#from = from;
    this.#framer = new SipFramer(limits);
    this.#refused = new BoundedMap<true>(limits.sipRefusedInvitesMax, () => meter.add('limits_hit_total', ['sipRefusedInvitesMax']));
  }

  get betweenFrames(): boolean {
    if (this.#connection.observer.details.opaque !== null) return false;
    // What is held or dropped has not been forwarded, so the receiver is between messages still.
    return this.#framer.idle || this.#dropping || (this.#judging && this.#framer.inHead);
  }

  push(chunk: Buffer): Judgement | 'pass' {
    const { deps, observer } = this.#connection;
    if (observer.details.opaque !== null) return 'pass';
    const framer = this.#framer;
    const rules = deps.policy.has('sip');
    const now = deps.clock();
    this.#passage.begin(chunk);
    framer.feed(chunk);
    for (;;) {
      const step = framer.next();
      if (step === 'fault') return this.#faulted(rules);
      // Rules that a reload brings hold from the next message on: what was forwarded cannot be taken back.
      if (framer.headBegins) this.#judging = rules;
      if (step === 'more') break;
      if (step === 'blank') this.#blank();
      else if (step === 'head') this.#head(now);
      else this.#body(chunk);
      // What follows may be compressed. Rules refuse compression, so nothing is held or dropped here.
      if (observer.details.opaque !== null) return 'pass';
    }
    if (framer.inHead && !this.#judging) this.#passage.pass(framer.headFrom, chunk.length);
    return this.#judgement(null);
  }

  /** A head that is not whole cannot be judged: with rules it ends here, as a server might still act on it. */
  end(): Buffer | null {
    return null;
  }

  #blank(): void {
    const pings = this.#framer.takePings();
    if (pings > 0 && this.#from === 'client') this.#connection.observer.keepAlives(pings);
    this.#passage.pass(this.#framer.from, this.#framer.to);
    if (this.#framer.idle) this.#passage.mark();
  }

  #head(now: number): void {
    const { observer } = this.#connection;
    const framer = this.#framer;
    const { head } = framer;
    const tooMany = observer.arrived(this.#from, now);
    this.#description = [];
    const refused = head.status === 0 && this.#judging && this.#isRefused(tooMany);
    if (head.status === 0) observer.request(head, this.#from, refused);
    else if (observer.response(head, this.#from, now)) observer.details.opaque = 'compressed (MS-SIPCOMP)';
    this.#dropping = refused && framer.bodyBytes > 0;
    if (refused) return;
    if (this.#judging && framer.earlierBytes > 0) this.#passage.release(head.bytes.subarray(0, framer.earlierBytes));
    this.#passage.pass(framer.from, framer.to);
    if (framer.bodyBytes === 0) this.#passage.mark();
  }

  #body(chunk: Buffer): void {
    const framer = this.#framer;
    const { observer, deps } = this.#connection;
    if (observer.wantsBody(this.#from) && framer.bodyBytes <= deps.limits.sipSdpBytesMax) {
      const piece = chunk.subarray(framer.from, framer.to);
      if (framer.bodyLeft > 0) this.#description.push(Buffer.from(piece));
      else observer.body(this.#description.length === 0 ? piece : Buffer.concat([...this.#description, piece]), this.#from);
    }
    if (!this.#dropping) this.#passage.pass(framer.from, framer.to);
    if (framer.bodyLeft > 0) return;
    if (!this.#dropping) this.#passage.mark();
    this.#dropping = false;
  }

  /** Asks policy; a refused request is answered (an ACK is not), and the ACK of a refused INVITE is swallowed. */
  #isRefused(tooMany: boolean): boolean {
    const { flow, deps, observer } = this.#connection;
    const { head } = this.#framer;
    const { method } = head;
    if (method === 'ACK' && this.#refused.size > 0 && this.#refused.take(transactionKey(head)) !== undefined) return true;
    const doubt = doubtIn(head);
    const refusal = doubt === null ? this.#verdict(tooMany) : { status: badRequest, rule: 'malformed', code: 'SIP_MALFORMED' } as const;
    if (refusal === null) return false;
    const answer = refuse(head, refusal.status, refusal.code, this.#source());
    if (answer !== null) this.#answers.push(answer);
    if (method === 'INVITE' && answer !== null) this.#refused.set(transactionKey(head), true);
    observer.details.denied = { requests: (observer.details.denied?.requests ?? 0) + 1, rule: refusal.rule };
    deps.log.info({ ...sessionFields(flow.session), method, rule: refusal.rule, status: refusal.status, doubt }, 'SIP request refused');
    return true;
  }

  #verdict(tooMany: boolean): Refusal | null {
    const { flow, deps } = this.#connection;
    const { head } = this.#framer;
    const verdict = deps.policy.sip(flow.session, { method: head.method, from: this.#uri('from'), to: this.#uri('to'), agent: head.text('user-agent') });
    deps.meter.add('policy_decisions_total', ['sip', verdict.action]);
    if (verdict.action === 'deny') return { status: refusalStatus('REQUEST_DENIED', verdict.status), rule: verdict.rule, code: 'REQUEST_DENIED' };
    // Nothing answers an ACK, so that refusing one would only lose it.
    if (tooMany && head.method !== 'ACK') return { status: refusalStatus('SIP_TOO_MANY', null), rule: 'limit sipMessagesPerSecondMax', code: 'SIP_TOO_MANY' };
    // Compression would end what the rules can see; a client goes on without it (MS-SIPCOMP section 3.1.4).
    return head.method === compressionMethod ? { status: notAcceptable, rule: 'no compression past sip rules', code: 'REQUEST_DENIED' } : null;
  }

  #uri(name: 'from' | 'to'): string | null {
    const value = this.#framer.head.text(name);
    return value === null ? null : plainUri(addressIn(value).uri);
  }

  /** Where this direction's requests come from. */
  #source(): Endpoint | null {
    const { client, destination } = this.#connection.flow.session;
    if (this.#from === 'client') return client;
    return destination.ip === null ? null : { ip: destination.ip, port: destination.port };
  }

  /**
   * The stream cannot be framed without doubt. With rules the flow ends: framing that differs from the server's could carry a
   * refused request past them. Without, it is relayed as bytes, where policy lets unknown protocols be (DESIGN, "Failure").
   */
  #faulted(rules: boolean): Judgement | 'pass' {
    const { flow, deps, observer } = this.#connection;
    const fault = this.#framer.fault ?? { code: 'SIP_MALFORMED', detail: 'framing', limit: null };
    if (fault.limit !== null) deps.meter.add('limits_hit_total', [fault.limit]);
    const verdict = deps.policy.protocol(flow.session, 'unknown', flow.insideTls ? 'intercepted' : 'none');
    if (rules || this.#judging || verdict.action === 'deny') return this.#judgement(new FlowError(fault.code, fault.detail));
    observer.details.opaque = fault.detail;
    deps.log.info({ ...sessionFields(flow.session), code: fault.code, detail: fault.detail }, 'SIP stream is no longer looked into');
    return 'pass';
  }

  #judgement(close: FlowError | null): Judgement | 'pass' {
    const passage = this.#passage;
    const answers = this.#answers;
    // With rules an answer may be waiting for a gap, so a chunk that ends within a message says where its last gap is.
    if (passage.isWhole && close === null && answers.length === 0 && (!this.#judging || this.betweenFrames)) return 'pass';
    this.#answers = [];
    const { boundary } = passage;
    return { forward: passage.bytes(), boundary, answer: answers.length === 0 ? null : Buffer.concat(answers), close };
  }
}
