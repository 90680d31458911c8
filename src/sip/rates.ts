// How fast SIP messages come: by method and status over a few seconds, from the counts that the details keep anyway, and by side within a
// second, which is limited. It asks to be swept only while messages come, so that an idle connection costs nothing.

import type { Side } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import type { SipDetails } from '../core/session.ts';

const secondMs = 1000;

type Counts = Readonly<Record<string, number>>;

/** Fills `rates` and `busiestSecond` of a connection's details. */
export class MessageRates {
  readonly #details: SipDetails;
  readonly #limits: Limits;
  readonly #onDue: (at: number) => void;
  readonly #seconds: Record<Side, { startedAt: number; messages: number }> = { client: { startedAt: 0, messages: 0 }, upstream: { startedAt: 0, messages: 0 } };
  readonly #busiest = { fromClient: 0, fromUpstream: 0 };
  /** Counts when the time that is being measured began; null while nothing comes. */
  #since: { readonly at: number; readonly methods: Counts; readonly statuses: Counts } | null = null;

  /** `onDue` is told when `sweep` is to be called. */
  constructor(details: SipDetails, limits: Limits, onDue: (at: number) => void) {
    this.#details = details;
    this.#limits = limits;
    this.#onDue = onDue;
    details.busiestSecond = this.#busiest;
  }

  /** A message, before it is counted; answers how many of this second it makes from its side. */
  arrived(from: Side, now: number): number {
    if (this.#since === null) this.#onDue(this.#begin(now));
    const second = this.#seconds[from];
    if (now - second.startedAt >= secondMs || now < second.startedAt) {
      second.startedAt = now;
      second.messages = 0;
    }
    second.messages += 1;
    const side = from === 'client' ? 'fromClient' : 'fromUpstream';
    if (second.messages > this.#busiest[side]) this.#busiest[side] = second.messages;
    return second.messages;
  }

  /** Makes the rates once their time is over; answers when to call again, null when nothing came. */
  sweep(now: number): number | null {
    const since = this.#since;
    if (since === null) return null;
    const elapsedMs = now - since.at;
    if (elapsedMs >= 0 && elapsedMs < this.#limits.sipRateMs) return since.at + this.#limits.sipRateMs;
    const seconds = Math.max(elapsedMs, secondMs) / secondMs;
    const rates = { methods: risen(since.methods, this.#details.methods, seconds), statuses: risen(since.statuses, this.#details.statuses, seconds) };
    if (Object.keys(rates.methods).length + Object.keys(rates.statuses).length === 0) {
      this.end();
      return null;
    }
    this.#details.rates = rates;
    return this.#begin(now);
  }

  /** Nothing comes any more. */
  end(): void {
    this.#since = null;
    delete this.#details.rates;
  }

  #begin(now: number): number {
    this.#since = { at: now, methods: { ...this.#details.methods }, statuses: { ...this.#details.statuses } };
    return now + this.#limits.sipRateMs;
  }
}

/** By name, how much a second was added. */
function risen(before: Counts, after: Counts, seconds: number): Record<string, number> {
  const rates = Object.entries(after).map(([name, count]) => [name, (count - (before[name] ?? 0)) / seconds] as const);
  return Object.fromEntries(rates.filter(([, rate]) => rate > 0).map(([name, rate]) => [name, Math.ceil(rate * 100) / 100]));
}
