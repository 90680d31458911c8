// Admission: how many sessions there may be, in all and for each client. Counts only; it never touches a socket.
// With several workers a small allowance per client is local and everything beyond it is granted by the primary, so that the limit
// of one client holds over all workers without a message per connection.

import type { ErrorCode } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';

/** The primary's part, as a worker reaches it. */
export interface SharedPool {
  /** One more session of this client beyond the local allowance; false when the client has all it may have. */
  take(client: string): Promise<boolean>;
  give(client: string): void;
}

interface ClientCount {
  held: number;
  /** How many of them the primary granted. */
  granted: number;
}

/** A client's local allowance never exceeds this, so that the limit stays exact to within workers times this. */
const allowanceMax = 8;
/** Half the limit at most is given out as allowances: an eighth for each of up to four workers' worth. */
const allowanceShare = 8;

/** Sessions each worker admits of one client without asking; 0 for small limits, which then are exact. */
export function localAllowance(limits: Limits, workers: number): number {
  return Math.min(allowanceMax, Math.floor(limits.sessionsPerClientMax / (allowanceShare * workers)));
}

/** Admission of one process. */
export class Admission {
  readonly #sessionsMax: number;
  readonly #allowance: number;
  readonly #pool: SharedPool | null;
  readonly #clients = new Map<string, ClientCount>();
  #held = 0;

  /** `workers` processes share `sessionsMax` evenly, rounded down (each has one place at least). `pool` null: this process is alone. */
  constructor(limits: Limits, workers: number, pool: SharedPool | null) {
    this.#sessionsMax = Math.max(1, Math.floor(limits.sessionsMax / workers));
    this.#allowance = pool === null ? limits.sessionsPerClientMax : localAllowance(limits, workers);
    this.#pool = pool;
  }

  /** Takes a place, or answers why there is none; at once, unless the primary has to be asked. Each null must be followed by one `release`. */
  admit(client: string): ErrorCode | null | Promise<ErrorCode | null> {
    if (this.#held >= this.#sessionsMax) return 'SESSIONS_FULL';
    const count = this.#clients.get(client) ?? { held: 0, granted: 0 };
    this.#clients.set(client, count);
    this.#held += 1;
    count.held += 1;
    if (count.held - count.granted <= this.#allowance) return null;
    if (this.#pool !== null) return this.#granted(this.#pool, client, count);
    this.#forget(client, count);
    return 'CLIENT_SESSIONS_FULL';
  }

  async #granted(pool: SharedPool, client: string, count: ClientCount): Promise<ErrorCode | null> {
    if (await granted(pool, client)) {
      count.granted += 1;
      return null;
    }
    this.#forget(client, count);
    return 'CLIENT_SESSIONS_FULL';
  }

  release(client: string): void {
    const count = this.#clients.get(client);
    if (count === undefined) return;
    this.#forget(client, count);
    if (count.granted === 0) return;
    count.granted -= 1;
    this.#pool?.give(client);
  }

  #forget(client: string, count: ClientCount): void {
    this.#held -= 1;
    count.held -= 1;
    if (count.held === 0) this.#clients.delete(client);
  }
}

/** A pool that fails grants nothing. */
async function granted(pool: SharedPool, client: string): Promise<boolean> {
  try {
    return await pool.take(client);
  } catch {
    return false;
  }
}

/** The primary's count of sessions granted beyond the workers' allowances. */
export class GrantPool {
  readonly #perClientMax: number;
  readonly #granted = new Map<string, Map<number, number>>();

  constructor(limits: Limits, workers: number) {
    this.#perClientMax = limits.sessionsPerClientMax - workers * localAllowance(limits, workers);
  }

  take(worker: number, client: string): boolean {
    const byWorker = this.#granted.get(client) ?? new Map<number, number>();
    let all = 0;
    for (const granted of byWorker.values()) all += granted;
    if (all >= this.#perClientMax) return false;
    byWorker.set(worker, (byWorker.get(worker) ?? 0) + 1);
    this.#granted.set(client, byWorker);
    return true;
  }

  give(worker: number, client: string): void {
    const byWorker = this.#granted.get(client);
    const granted = byWorker?.get(worker) ?? 0;
    if (byWorker === undefined || granted === 0) return;
    if (granted > 1) byWorker.set(worker, granted - 1);
    else byWorker.delete(worker);
    if (byWorker.size === 0) this.#granted.delete(client);
  }

  /** A worker has ended, and with it everything it held. */
  workerGone(worker: number): void {
    for (const [client, byWorker] of this.#granted) {
      byWorker.delete(worker);
      if (byWorker.size === 0) this.#granted.delete(client);
    }
  }
}
