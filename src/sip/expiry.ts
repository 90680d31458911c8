// One timer for what expires next on a connection. It holds no process open and is stopped with its flow.

/** The longest delay a Node timer takes; longer ones are waited for in parts. */
const delayMsMax = 2 ** 31 - 1;

/** Calls `sweep` when the earliest armed moment has come; `sweep` answers the next one. */
export class ExpiryTimer {
  readonly #clock: () => number;
  readonly #sweep: (now: number) => number | null;
  #timer: NodeJS.Timeout | null = null;
  #at = Infinity;

  constructor(clock: () => number, sweep: (now: number) => number | null) {
    this.#clock = clock;
    this.#sweep = sweep;
  }

  /** Something expires at `at`, milliseconds since the epoch. */
  arm(at: number): void {
    if (at >= this.#at) return;
    this.stop();
    this.#at = at;
    this.#timer = setTimeout(() => this.#fire(), Math.min(delayMsMax, Math.max(1, at - this.#clock()))).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#at = Infinity;
  }

  #fire(): void {
    this.stop();
    const next = this.#sweep(this.#clock());
    if (next !== null) this.arm(next);
  }
}
