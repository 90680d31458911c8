// Watches calls and subscriptions (RFC 3261 sections 12 to 15, RFC 6665): their state, ends and media; a forked call has one row for
// each callee that answers. A view for operators, not a dialog machine: nothing is ever forced.

import type { Side } from '../core/flow.ts';
import type { SipDialog, SipSubscription } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import { addressIn, paramIn, plainUri } from './address.ts';
import { BoundedMap, show, shown } from './bounded.ts';
import type { SipHead } from './headers.ts';
import { secondsIn } from './registrations.ts';
import { readSdp } from './sdp.ts';
import type { SdpMedia } from './sdp.ts';

/** One dialog: a call, or one branch of a call that was forked. */
interface Watched {
  readonly call: Call;
  /** The callee's tag, which tells branches apart (RFC 3261 section 12); null until somebody answers. */
  tag: string | null;
  readonly shown: SipDialog;
  /** The latest description from each side. */
  readonly sdp: Record<Side, SdpMedia | null>;
}

interface Call {
  readonly callId: string;
  readonly branches: Watched[];
  /** What was described before anybody answered: every branch begins with it. */
  offer: Readonly<Record<Side, SdpMedia | null>>;
}

/** What dialogs tell the outside. */
export interface DialogSink {
  /** A dialog began (1) or ended (-1). */
  changed(step: 1 | -1): void;
  /** An old dialog had to be forgotten. */
  forgotten(): void;
}

/** A watched dialog, to be handed back to `describe`. */
export type WatchedDialog = Watched;

/** The calls of one connection. */
export class Dialogs {
  readonly #list: SipDialog[];
  readonly #limits: Limits;
  readonly #sink: DialogSink;
  readonly #calls = new Map<string, Call>();
  /** Branches of all calls: at most sipDialogsMax. */
  #watched = 0;

  constructor(list: SipDialog[], limits: Limits, sink: DialogSink) {
    this.#list = list;
    this.#limits = limits;
    this.#sink = sink;
  }

  /** An INVITE: a new call, or a change within one. */
  invite(head: SipHead): void {
    const callId = head.raw('call-id');
    if (callId === null || this.#calls.has(callId)) return;
    for (const [oldest, call] of this.#calls) {
      if (this.#watched < this.#limits.sipDialogsMax) break;
      this.#calls.delete(oldest);
      for (const _ of call.branches) this.#changed(-1);
      this.#sink.forgotten();
    }
    const call: Call = { callId, branches: [], offer: { client: null, upstream: null } };
    this.#calls.set(callId, call);
    this.#begin(call, null, { from: this.#party(head.text('from')), to: this.#party(head.text('to')) });
  }

  /** A response to an INVITE. A challenge leaves the call trying: the client asks again with credentials. */
  invited(head: SipHead): void {
    const call = this.#callOf(head);
    if (call === undefined) return;
    const { status } = head;
    if (status > 100 && status < 300) this.#answered(call, head, status);
    else if (status >= 300 && status !== 401 && status !== 407) this.#endEarly(call, null);
  }

  /** A BYE ends its dialog whatever is answered. */
  bye(head: SipHead): void {
    const call = this.#callOf(head);
    if (call === undefined) return;
    const branch = branchOf(call, head);
    for (const ending of branch === undefined ? [...call.branches] : [branch]) this.#end(ending, 'ended');
    if (!call.branches.some(({ shown: { state } }) => state === 'confirmed')) this.#endEarly(call, null);
  }

  /** The dialog that a description in this message would be of, null when none is watched. */
  dialogOf(head: SipHead): WatchedDialog | null {
    const call = this.#callOf(head);
    return call === undefined ? null : (branchOf(call, head) ?? call.branches[0] ?? null);
  }

  /** A session description of a dialog, offered or answered by `from`. */
  describe(watched: WatchedDialog, from: Side, body: Buffer): void {
    const sdp = readSdp(body);
    watched.sdp[from] = sdp;
    const { client, upstream } = watched.sdp;
    watched.shown.media = [...new Set([...(client?.media ?? []), ...(upstream?.media ?? [])])];
    // Both sides described: what both can. Else what is offered.
    const codecs = client !== null && upstream !== null ? client.codecs.filter((codec) => upstream.codecs.includes(codec)) : sdp.codecs;
    if (codecs.length > 0) watched.shown.codecs = codecs;
  }

  close(): void {
    for (; this.#watched > 0;) this.#changed(-1);
    this.#calls.clear();
  }

  #callOf(head: SipHead): Call | undefined {
    const callId = head.raw('call-id');
    return callId === null ? undefined : this.#calls.get(callId);
  }

  /** Somebody rings or picks up. The first to do so takes the call's row, others get rows of their own (RFC 3261 section 12.1.2). */
  #answered(call: Call, head: SipHead, status: number): void {
    const branch = this.#branchFor(call, head);
    if (branch === undefined || branch.shown.state === 'confirmed') return;
    if (status < 200) {
      branch.shown.state = 'ringing';
      return;
    }
    branch.shown.state = 'confirmed';
    // The server cancels the others now; one that picks up all the same begins again (RFC 3261 section 13.2.2.4).
    this.#endEarly(call, branch);
  }

  #branchFor(call: Call, head: SipHead): Watched | undefined {
    const known = branchOf(call, head);
    if (known !== undefined && known.tag !== null) return known;
    const tag = tagOf(head, 'to');
    const [first] = call.branches;
    if (first === undefined || tag === null) return first;
    if (first.tag === null) {
      first.tag = tag;
      call.offer = { ...first.sdp };
      return first;
    }
    // Within its bounds: else branches share a row.
    return this.#watched < this.#limits.sipDialogsMax ? this.#begin(call, tag, first.shown) : first;
  }

  #begin(call: Call, tag: string | null, { from, to }: Pick<SipDialog, 'from' | 'to'>): Watched {
    const { client, upstream } = call.offer;
    const media = client?.media ?? upstream?.media ?? [];
    const row: SipDialog = { callId: this.#text(call.callId), method: 'INVITE', state: 'trying', media, from: from ?? null, to: to ?? null };
    const watched: Watched = { call, tag, shown: row, sdp: { ...call.offer } };
    call.branches.push(watched);
    this.#changed(1);
    show(this.#list, row, this.#limits.sessionDetailsMax, (item) => item.state === 'ended' || item.state === 'failed');
    return watched;
  }

  /** Ends the branches that nobody picked up; not `except`. */
  #endEarly(call: Call, except: Watched | null): void {
    for (const branch of [...call.branches]) if (branch !== except && branch.shown.state !== 'confirmed') this.#end(branch, 'failed');
  }

  #end(watched: Watched, state: 'ended' | 'failed'): void {
    const { call } = watched;
    watched.shown.state = state;
    call.branches.splice(call.branches.indexOf(watched), 1);
    if (call.branches.length === 0) this.#calls.delete(call.callId);
    this.#changed(-1);
  }

  #changed(step: 1 | -1): void {
    this.#watched += step;
    this.#sink.changed(step);
  }

  #party(value: string | null): string | null {
    return value === null ? null : this.#text(plainUri(addressIn(value).uri));
  }

  #text(text: string): string {
    return shown(text, this.#limits.sessionTextBytesMax);
  }
}

/** The branch that a message is about: the callee's tag is in To or, in the callee's own requests, in From. A call has mostly one. */
function branchOf({ branches }: Call, head: SipHead): Watched | undefined {
  if (branches.length === 1 && branches[0]?.tag === null) return branches[0];
  const to = tagOf(head, 'to');
  const from = tagOf(head, 'from');
  const found = branches.find(({ tag }) => tag === to || tag === from);
  // A lone call whose tags do not fit is still the one that is meant, unless another callee answers.
  return found ?? (branches.length === 1 && (head.status === 0 || to === null) ? branches[0] : undefined);
}

function tagOf(head: SipHead, name: 'from' | 'to'): string | null {
  const value = head.raw(name);
  return value === null ? null : paramIn(addressIn(value).params, 'tag');
}

/** The subscriptions of one connection. Shown entries and watched ones are the same few. */
export class Subscriptions {
  readonly #list: SipSubscription[];
  readonly #limits: Limits;
  readonly #watched: BoundedMap<SipSubscription>;

  constructor(list: SipSubscription[], limits: Limits) {
    this.#list = list;
    this.#limits = limits;
    this.#watched = new BoundedMap<SipSubscription>(limits.sessionDetailsMax, () => undefined);
  }

  /** A SUBSCRIBE: new, refreshing or (Expires: 0) ending. */
  subscribe(head: SipHead): void {
    const callId = head.raw('call-id');
    if (callId === null) return;
    const known = this.#watched.get(callId);
    const expiresSeconds = secondsIn(head.raw('expires'));
    if (known !== undefined) {
      known.expiresSeconds = expiresSeconds ?? known.expiresSeconds;
      return;
    }
    const event = shown((head.text('event') ?? '').replace(/;.*/s, '').trim(), this.#limits.sessionTextBytesMax);
    const row: SipSubscription = { event, state: 'pending', expiresSeconds };
    this.#watched.set(callId, row);
    show(this.#list, row, this.#limits.sessionDetailsMax, (item) => item.state === 'terminated' || item.state === 'failed');
  }

  /** A response to a SUBSCRIBE. */
  subscribed(head: SipHead): void {
    const row = this.#watched.get(head.raw('call-id') ?? '');
    if (row === undefined || head.status < 200 || head.status === 401 || head.status === 407) return;
    if (head.status >= 300) {
      if (row.state === 'pending') row.state = 'failed';
      return;
    }
    row.expiresSeconds = secondsIn(head.raw('expires')) ?? row.expiresSeconds;
    row.state = row.expiresSeconds === 0 ? 'terminated' : 'active';
  }

  /** A NOTIFY or BENOTIFY with its Subscription-State (RFC 6665 section 4.1.3). */
  notify(head: SipHead): void {
    const value = head.raw('subscription-state');
    const row = value === null ? undefined : this.#watched.get(head.raw('call-id') ?? '');
    if (value === null || row === undefined) return;
    const state = value.replace(/;.*/s, '').trim().toLowerCase();
    if (state === 'active' || state === 'pending' || state === 'terminated') row.state = state;
    row.expiresSeconds = secondsIn(paramIn(value, 'expires')) ?? row.expiresSeconds;
  }
}
