// How many sessions ended in the last minute, by protocol, action and error, in a ring of short slots. It holds words of
// closed sets only, so it is as small as the tables of core; it never looks at a session twice.

import type { SessionRates } from '../core/sessions-view.ts';

/** A minute is long enough to be calm and short enough to show what changes; slots bound the jump when one leaves. */
const windowSeconds = 60;
const slotMs = 5_000;
const slotsMax = (windowSeconds * 1000) / slotMs;

interface Slot {
  /** Which stretch of time: milliseconds since the epoch over slotMs. */
  number: number;
  sessions: number;
  bytes: number;
  readonly byProtocol: Map<string, number>;
  readonly byAction: Map<string, number>;
  readonly byError: Map<string, number>;
}

/** Ended sessions per second over the last minute. */
export class Rates {
  readonly #slots = new Map<number, Slot>();

  /** Counts one ended session; action and error are null where there is none. */
  add(nowMs: number, protocol: string, action: string | null, error: string | null, bytes: number): void {
    const slot = this.#slotAt(Math.floor(nowMs / slotMs));
    slot.sessions += 1;
    slot.bytes += bytes;
    step(slot.byProtocol, protocol, 1);
    if (action !== null) step(slot.byAction, action, 1);
    if (error !== null) step(slot.byError, error, 1);
  }

  /** Sums what is not older than the window. */
  read(nowMs: number): SessionRates {
    const oldest = Math.floor(nowMs / slotMs) - slotsMax;
    const sum = { sessions: 0, bytes: 0, byProtocol: new Map<string, number>(), byAction: new Map<string, number>(), byError: new Map<string, number>() };
    for (const slot of this.#slots.values()) {
      if (slot.number <= oldest) continue;
      sum.sessions += slot.sessions;
      sum.bytes += slot.bytes;
      for (const key of ['byProtocol', 'byAction', 'byError'] as const) for (const [word, count] of slot[key]) step(sum[key], word, count);
    }
    return {
      windowSeconds,
      sessions: sum.sessions / windowSeconds,
      bytes: sum.bytes / windowSeconds,
      byProtocol: perSecond(sum.byProtocol),
      byAction: perSecond(sum.byAction),
      byError: perSecond(sum.byError),
    };
  }

  #slotAt(number: number): Slot {
    const place = number % slotsMax;
    const slot = this.#slots.get(place);
    if (slot?.number === number) return slot;
    const fresh: Slot = { number, sessions: 0, bytes: 0, byProtocol: new Map(), byAction: new Map(), byError: new Map() };
    this.#slots.set(place, fresh);
    return fresh;
  }
}

function step(counts: Map<string, number>, word: string, by: number): void {
  counts.set(word, (counts.get(word) ?? 0) + by);
}

function perSecond(counts: Map<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].map(([word, count]) => [word, count / windowSeconds]));
}
