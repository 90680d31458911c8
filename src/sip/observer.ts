// Fills a session's SIP details and the SIP metrics from the messages of both directions. Sees heads and session
// descriptions only, keeps no credentials, changes nothing, and is bounded by limits whatever passes.

import type { Side } from '../core/flow.ts';
import type { Session, SipDetails } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import { paramIn } from './address.ts';
import { BoundedMap, shown } from './bounded.ts';
import { Dialogs, Subscriptions } from './dialogs.ts';
import type { WatchedDialog } from './dialogs.ts';
import { cseqIn } from './headers.ts';
import type { SipHead } from './headers.ts';
import { MessageRates } from './rates.ts';
import { Registrations, secondsIn } from './registrations.ts';

/** IANA's SIP methods, and Microsoft's three (MS-SIP, MS-SIPCOMP): the closed set of metric labels. */
const registeredMethods: ReadonlySet<string> = new Set([
  'ACK', 'BYE', 'CANCEL', 'INFO', 'INVITE', 'MESSAGE', 'NOTIFY', 'OPTIONS', 'PRACK', 'PUBLISH', 'REFER', 'REGISTER', 'SUBSCRIBE', 'UPDATE',
  'SERVICE', 'BENOTIFY', 'NEGOTIATE',
]);
const statusClasses = ['other', '1xx', '2xx', '3xx', '4xx', '5xx', '6xx'] as const;
const otherName = 'other';
/** Distinct statuses shown; there are about 80 registered ones. */
const statusesMax = 128;
/** SERVICE and NEGOTIATE requests that wait for their answer: clients have one or two. */
const pendingMax = 16;
/** MS-AVEDGEA section 3.1.5.1. */
const mrasType = 'application/msrtc-media-relay-auth+xml';

/** Watches one connection. One object for both directions; the caller frames and feeds it. */
export class SipObserver {
  readonly details: SipDetails;
  readonly #limits: Limits;
  readonly #meter: Meter;
  readonly #protocol: string;
  readonly #registrations: Registrations;
  readonly #dialogs: Dialogs;
  readonly #subscriptions: Subscriptions;
  readonly #rates: MessageRates;
  readonly #mrasPending = new BoundedMap<true>(pendingMax, () => undefined);
  readonly #negotiating = new BoundedMap<Side>(pendingMax, () => undefined);
  /** Label lists by name, made once: counting a message allocates nothing. */
  readonly #requestLabels = new Map<string, readonly string[]>();
  readonly #responseLabels: readonly (readonly string[])[];
  #methodsShown = 0;
  #statusesShown = 0;
  /** The dialog that each side's current message describes. Null: its body is of no interest. */
  readonly #described: Record<Side, WatchedDialog | null> = { client: null, upstream: null };

  /** `onDue` is told when (milliseconds since the epoch) a registration will run out or rates are due, so that `sweep` can be called then. */
  constructor(session: Session, limits: Limits, meter: Meter, onDue: (at: number) => void) {
    this.#limits = limits;
    this.#meter = meter;
    this.#protocol = session.protocol;
    this.#responseLabels = statusClasses.map((name) => [this.#protocol, 'response', name]);
    const subscriptions = session.details.sip?.subscriptions ?? [];
    this.details = session.details.sip ?? { registrations: [], dialogs: [], methods: {}, statuses: {}, keepAlives: 0, opaque: null };
    this.details.subscriptions = subscriptions;
    session.details.sip = this.details;
    this.#registrations = new Registrations(this.details.registrations, limits, {
      changed: (step) => meter.add('sip_registrations', [], step),
      expires: onDue,
      forgotten: () => meter.add('limits_hit_total', ['sipRegistrationsMax']),
    });
    this.#dialogs = new Dialogs(this.details.dialogs, limits, {
      changed: (step) => meter.add('sip_dialogs', [], step),
      forgotten: () => meter.add('limits_hit_total', ['sipDialogsMax']),
    });
    this.#subscriptions = new Subscriptions(subscriptions, limits);
    this.#rates = new MessageRates(this.details, limits, onDue);
  }

  /** A message of either kind, before `request` or `response`. Answers true when its side sends more a second than sipMessagesPerSecondMax. */
  arrived(from: Side, now: number): boolean {
    const { sipMessagesPerSecondMax } = this.#limits;
    const messages = this.#rates.arrived(from, now);
    if (messages === sipMessagesPerSecondMax + 1) this.#meter.add('limits_hit_total', ['sipMessagesPerSecondMax']);
    return messages > sipMessagesPerSecondMax;
  }

  /** A request that is passed on, or (`refused`) answered by us: then it is only counted. */
  request(head: SipHead, from: Side, refused = false): void {
    this.#described[from] = null;
    const { method } = head;
    this.#countRequest(method);
    if (refused) return;
    switch (method) {
      case 'REGISTER':
        this.#registrations.request(head);
        break;
      case 'INVITE':
        this.#dialogs.invite(head);
        this.#expectSdp(head, from);
        break;
      case 'ACK':
      case 'UPDATE':
      case 'PRACK':
        this.#expectSdp(head, from);
        break;
      case 'BYE':
        this.#dialogs.bye(head);
        break;
      case 'SUBSCRIBE':
        this.#subscriptions.subscribe(head);
        break;
      case 'NOTIFY':
      case 'BENOTIFY':
        this.#subscriptions.notify(head);
        break;
      case 'SERVICE':
        this.#service(head);
        break;
      case 'NEGOTIATE':
        this.#negotiating.set(head.raw('call-id') ?? '', from);
        break;
      default:
    }
  }

  /** A response; `now` in milliseconds. Answers true when compression begins after it (MS-SIPCOMP). */
  response(head: SipHead, from: Side, now: number): boolean {
    this.#described[from] = null;
    this.#countResponse(head.status);
    const method = cseqIn(head.raw('cseq'))?.method;
    switch (method) {
      case 'REGISTER':
        this.#registrations.response(head, now);
        this.#serverWords(head);
        break;
      case 'INVITE':
        this.#dialogs.invited(head);
        if (head.status > 100 && head.status < 300) this.#expectSdp(head, from);
        break;
      case 'UPDATE':
      case 'PRACK':
        if (head.status < 300) this.#expectSdp(head, from);
        break;
      case 'SUBSCRIBE':
        this.#subscriptions.subscribed(head);
        break;
      case 'SERVICE':
        this.#serviced(head);
        break;
      case 'NEGOTIATE':
        return this.#negotiated(head, from);
      default:
    }
    return false;
  }

  /** Whether the body of the message that `from` is sending is a session description worth a look. */
  wantsBody(from: Side): boolean {
    return this.#described[from] !== null;
  }

  /** The body that `wantsBody` asked for, whole. */
  body(body: Buffer, from: Side): void {
    const dialog = this.#described[from];
    if (dialog !== null) this.#dialogs.describe(dialog, from, body);
    this.#described[from] = null;
  }

  keepAlives(count: number): void {
    this.details.keepAlives += count;
  }

  /** Ends what has expired and makes rates; answers when to call next (milliseconds since the epoch), null when there is nothing to wait for. */
  sweep(now: number): number | null {
    const [expiry, rates] = [this.#registrations.sweep(now), this.#rates.sweep(now)];
    return expiry === null || rates === null ? expiry ?? rates : Math.min(expiry, rates);
  }

  /** The connection is over: the gauges fall by what it held. */
  close(): void {
    this.#registrations.close();
    this.#dialogs.close();
    this.#rates.end();
  }

  #countRequest(method: string): void {
    let labels = this.#requestLabels.get(method);
    if (labels === undefined) {
      const name = registeredMethods.has(method) ? method : otherName;
      labels = [this.#protocol, 'request', name];
      if (name !== otherName || this.#requestLabels.size < registeredMethods.size) this.#requestLabels.set(method, labels);
    }
    this.#meter.add('sip_messages_total', labels);
    this.#methodsShown += countIn(this.details.methods, method.length > this.#limits.sessionTextBytesMax ? otherName : method, this.#methodsShown, this.#limits.sessionDetailsMax);
  }

  #countResponse(status: number): void {
    const labels = this.#responseLabels[status < 100 ? 0 : Math.trunc(status / 100)];
    if (labels !== undefined) this.#meter.add('sip_messages_total', labels);
    this.#statusesShown += countIn(this.details.statuses, status < 100 ? otherName : String(status), this.#statusesShown, statusesMax);
  }

  #expectSdp(head: SipHead, from: Side): void {
    const type = head.raw('content-type');
    if (type !== null && /^(application\/sdp|multipart\/)/i.test(type)) this.#described[from] = this.#dialogs.dialogOf(head);
  }

  #service(head: SipHead): void {
    if (head.raw('content-type')?.toLowerCase().startsWith(mrasType) !== true) return;
    this.details.mras ??= { requested: 0, granted: 0, failed: 0 };
    this.details.mras.requested += 1;
    this.#mrasPending.set(head.raw('call-id') ?? '', true);
  }

  #serviced(head: SipHead): void {
    const callId = head.raw('call-id') ?? '';
    const { mras } = this.details;
    if (mras === undefined || head.status < 200 || head.status === 401 || head.status === 407 || this.#mrasPending.get(callId) === undefined) return;
    this.#mrasPending.delete(callId);
    if (head.status < 300) mras.granted += 1;
    else mras.failed += 1;
  }

  /** Only the side that was asked can agree to compression. */
  #negotiated(head: SipHead, from: Side): boolean {
    const callId = head.raw('call-id') ?? '';
    const asker = this.#negotiating.get(callId);
    if (head.status < 200 || asker === undefined || asker === from) return false;
    this.#negotiating.delete(callId);
    return head.status < 300;
  }

  #serverWords(head: SipHead): void {
    const server = head.text('server');
    if (server !== null) this.details.server = shown(server, this.#limits.sessionTextBytesMax);
    const keepAlive = head.raw('ms-keep-alive');
    const seconds = keepAlive === null ? null : secondsIn(paramIn(keepAlive, 'timeout'));
    if (seconds !== null) this.details.msKeepAliveSeconds = seconds;
  }
}

/** Adds one under a name, or under `other` when the table is full; answers how many names that made. */
function countIn(table: Record<string, number>, name: string, names: number, namesMax: number): 0 | 1 {
  const known = Object.hasOwn(table, name);
  const key = known || names < namesMax ? name : otherName;
  const made = known || Object.hasOwn(table, key) ? 0 : 1;
  table[key] = (Object.hasOwn(table, key) ? (table[key] ?? 0) : 0) + 1;
  return made;
}
