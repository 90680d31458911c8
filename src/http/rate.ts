// Counts events against a bound per second, without a timer. It never waits; the caller decides what too many means.

const windowMs = 1000;

/** A count that begins anew every second. */
export class Rate {
  readonly #max: number;
  #windowStart = 0;
  #count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Counts one event at `now` (milliseconds); false when it is one too many. */
  take(now: number): boolean {
    if (now - this.#windowStart >= windowMs) {
      this.#windowStart = now;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= this.#max;
  }
}
