// Writes what one socket read to another, and frees the memory of a read as soon as its bytes have left. It never changes, keeps or
// delays a byte.

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Smaller reads are left to the garbage collector: freeing them costs as much as it gains. */
const freedBytesMin = 4096;

/**
 * One direction. Node allocates for each read, and V8 collects late: without this a transfer walks through tens of megabytes of memory that
 * the processor's caches never hold. Reads must come from `from` in order and be nobody else's when they are written; what `from` had been
 * given back before (`unshift`) is exempt, as whoever peeked may still look at it. `to` must be a socket, plain or TLS: a written chunk is the
 * system's or encrypted when its callback comes, where other streams may only have queued it.
 */
export class Forwarder {
  readonly #to: Socket;
  /** Bytes to come that were given back to `from`. */
  #peeked: number;
  /** Reads being written, oldest first: at most what the socket's own queue holds. */
  readonly #leaving: Buffer[] = [];

  constructor(from: Duplex, to: Socket) {
    this.#to = to;
    this.#peeked = from.readableLength;
  }

  /** Answers, as `write` does, whether there is room for more. A view of a larger buffer is written and not freed. */
  write(bytes: Buffer): boolean {
    if (this.#peeked > 0) {
      this.#peeked -= bytes.length;
      return this.#to.write(bytes);
    }
    if (bytes.length < freedBytesMin || bytes.length !== bytes.buffer.byteLength) return this.#to.write(bytes);
    this.#leaving.push(bytes);
    return this.#to.write(bytes, this.#left);
  }

  /** Called once for each of `leaving`, in order until the socket fails: from then on nothing that was handed to the system is freed. */
  readonly #left = (error?: Error | null): void => {
    const bytes = this.#leaving.shift();
    if (bytes !== undefined && bytes.buffer instanceof ArrayBuffer && (error === null || error === undefined)) bytes.buffer.transfer(0);
  };
}
