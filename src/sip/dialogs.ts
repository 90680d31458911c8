// Watches calls and subscriptions by Call-ID (RFC 3261 sections 12 to 15, RFC 6665): their state, ends and media.
// A view for operators, not a dialog machine: forks share one entry, and nothing is ever forced.

import type { Side, SipDialog, SipSubscription } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import { addressIn, paramIn, plainUri } from './address.ts';
import { BoundedMap, show, shown } from './bounded.ts';
import type { SipHead } from './headers.ts';
import { secondsIn } from './registrations.ts';
import { readSdp } from './sdp.ts';
import type { SdpMedia } from './sdp.ts';

interface Watched {
  readonly callId: string;
  readonly shown: SipDialog;
  /** The latest description from each side. */
  readonly sdp: Record<Side, SdpMedia | null>;
}

/** What dialogs tell the outside. */
export interface DialogSink {
  /** A dialog began (1) or ended (-1). */
  changed(step: 1 | -1): void;
  /** An old dialog had to be forgotten. */
  forgotten(): void;
}

/** The calls of one connection. */
export class Dialogs {
  readonly #list: SipDialog[];
  readonly #limits: Limits;
  readonly #sink: DialogSink;
  readonly #watched: BoundedMap<Watched>;

  constructor(list: SipDialog[], limits: Limits, sink: DialogSink) {
    this.#list = list;
    this.#limits = limits;
    this.#sink = sink;
    this.#watched = new BoundedMap<Watched>(limits.sipDialogsMax, () => {
      sink.changed(-1);
      sink.forgotten();
    });
  }

  /** An INVITE: a new call, or a change within one. */
  invite(head: SipHead): void {
    const callId = head.raw('call-id');
    if (callId === null || this.#watched.get(callId) !== undefined) return;
    const row: SipDialog = { callId: this.#text(callId), method: 'INVITE', state: 'trying', media: [], from: this.#party(head.text('from')), to: this.#party(head.text('to')) };
    this.#watched.set(callId, { callId, shown: row, sdp: { client: null, upstream: null } });
    this.#sink.changed(1);
    show(this.#list, row, this.#limits.sessionDetailsMax, (item) => item.state === 'ended' || item.state === 'failed');
  }

  /** A response to an INVITE. A challenge leaves the call trying: the client asks again with credentials. */
  invited(head: SipHead): void {
    const watched = this.#of(head);
    if (watched === undefined || watched.shown.state === 'confirmed') return;
    const { status } = head;
    if (status > 100 && status < 200) watched.shown.state = 'ringing';
    else if (status >= 200 && status < 300) watched.shown.state = 'confirmed';
    else if (status >= 300 && status !== 401 && status !== 407) this.#end(watched, 'failed');
  }

  /** A BYE ends the call whatever is answered. */
  bye(head: SipHead): void {
    const watched = this.#of(head);
    if (watched !== undefined) this.#end(watched, 'ended');
  }

  /** Whether a description in this message would be of a call that is watched. */
  isWatched(head: SipHead): string | null {
    return this.#of(head)?.callId ?? null;
  }

  /** A session description of a watched call, offered or answered by `from`. */
  describe(callId: string, from: Side, body: Buffer): void {
    const watched = this.#watched.get(callId);
    if (watched === undefined) return;
    const sdp = readSdp(body);
    watched.sdp[from] = sdp;
    const { client, upstream } = watched.sdp;
    watched.shown.media = [...new Set([...(client?.media ?? []), ...(upstream?.media ?? [])])];
    // Both sides described: what both can. Else what is offered.
    const codecs = client !== null && upstream !== null ? client.codecs.filter((codec) => upstream.codecs.includes(codec)) : sdp.codecs;
    if (codecs.length > 0) watched.shown.codecs = codecs;
  }

  close(): void {
    for (const _ of this.#watched.values()) this.#sink.changed(-1);
  }

  #of(head: SipHead): Watched | undefined {
    const callId = head.raw('call-id');
    return callId === null ? undefined : this.#watched.get(callId);
  }

  #end(watched: Watched, state: 'ended' | 'failed'): void {
    watched.shown.state = state;
    this.#watched.delete(watched.callId);
    this.#sink.changed(-1);
  }

  #party(value: string | null): string | null {
    return value === null ? null : this.#text(plainUri(addressIn(value).uri));
  }

  #text(text: string): string {
    return shown(text, this.#limits.sessionTextBytesMax);
  }
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
