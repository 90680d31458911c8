// How fast data goes through a TURN connection, from the counts that its details keep anyway: nothing is done per frame.

import type { DataRate, TurnDetails } from '../core/session.ts';

const secondMs = 1000;
const directions = ['toUpstream', 'toClient'] as const;

/** Fills `dataRates` of a connection's details. */
export class DataRates {
  readonly #details: TurnDetails;
  /** Counts when the last rate was made, and when that was. */
  readonly #frames = { toUpstream: 0, toClient: 0 };
  readonly #bytes = { toUpstream: 0, toClient: 0 };
  #at: number;

  constructor(details: TurnDetails, now: number) {
    this.#details = details;
    this.#at = now;
  }

  /** Makes the rates since the last call; `now` in milliseconds. Less than a second counts as one: a burst is no rate. */
  tick(now: number): void {
    const seconds = Math.max(now - this.#at, secondMs) / secondMs;
    this.#at = now;
    for (const direction of directions) {
      const rate = this.#details.dataRates[direction];
      const { frames, bytes } = this.#counts(direction);
      rate.frames = Math.round((frames - this.#frames[direction]) / seconds);
      rate.bytes = Math.round((bytes - this.#bytes[direction]) / seconds);
      rate.framesMax = Math.max(rate.framesMax, rate.frames);
      rate.bytesMax = Math.max(rate.bytesMax, rate.bytes);
      this.#frames[direction] = frames;
      this.#bytes[direction] = bytes;
    }
  }

  /** The connection is over: what is left counts for the highest rate, and nothing flows any more. */
  end(now: number): void {
    this.tick(now);
    for (const direction of directions) Object.assign(this.#details.dataRates[direction], { frames: 0, bytes: 0 });
  }

  #counts(direction: (typeof directions)[number]): { readonly frames: number; readonly bytes: number } {
    return { frames: this.#details.dataFrames[direction], bytes: this.#details.dataBytes[direction] };
  }
}

/** Before anything came. */
export function noRate(): DataRate {
  return { frames: 0, bytes: 0, framesMax: 0, bytesMax: 0 };
}
