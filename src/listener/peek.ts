// Peeks at the first bytes of a stream without losing them: takes what has arrived, shows it, and puts it back on release.
// It never judges bytes and never reads past the stream's own buffer once released.

import type { Duplex } from 'node:stream';

/**
 * The head of one stream. `bytes` grows while peeked at; `changed` is called after each growth, at the stream's end and on
 * its error; beyond `bytesMax` nothing more is taken, so that back-pressure holds the sender. `release` gives all bytes back to the
 * stream, paused, for whoever reads next.
 */
export class Peek {
  readonly stream: Duplex;
  bytes: Buffer = Buffer.alloc(0);
  /** The peer has ended its direction. */
  ended = false;
  /** The stream failed or was destroyed. */
  error: Error | null = null;
  readonly #bytesMax: number;
  #changed: () => void;
  #watching = false;

  /** `watching` false: what has arrived may be enough; if not, `watch` is to be called, after another `look` when time has passed. */
  constructor(stream: Duplex, changed: () => void, bytesMax = Number.POSITIVE_INFINITY, watching = true) {
    this.stream = stream;
    this.#bytesMax = bytesMax;
    this.#changed = changed;
    if (watching) this.watch();
    this.look();
  }

  /** Takes what has arrived; `changed` is not called. */
  look(): void {
    if (this.stream.destroyed) this.error = this.stream.errored ?? new Error('destroyed');
    else if (this.stream.readableEnded) this.ended = true;
    else this.#take();
  }

  /** Listens for more. */
  watch(): void {
    this.#watching = true;
    this.stream.on('readable', this.#onReadable);
    this.stream.on('end', this.#onEnd);
    this.stream.on('error', this.#onError);
    this.stream.on('close', this.#onClose);
  }

  /** Ends the peek; the stream has its bytes again. */
  release(): void {
    if (this.#watching) {
      this.stream.off('readable', this.#onReadable);
      this.stream.off('end', this.#onEnd);
      this.stream.off('error', this.#onError);
      this.stream.off('close', this.#onClose);
    }
    if (this.bytes.length > 0 && !this.stream.destroyed && !this.stream.readableEnded) this.stream.unshift(this.bytes);
  }

  /**
   * Reads with an explicit length: `read()` on a stream whose FIN has arrived schedules 'end', after which bytes cannot be
   * put back; `read(readableLength)` does not (Node 24, lib/internal/streams/readable.js; pinned by peek.test.ts).
   */
  #take(): boolean {
    if (this.stream.readableLength === 0) return false;
    // A buffer that is left alone fills to the stream's own bound, and then the stream stops reading.
    if (this.bytes.length >= this.#bytesMax) return true;
    const chunk: unknown = this.stream.read(this.stream.readableLength);
    if (!Buffer.isBuffer(chunk)) return false;
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
    return true;
  }

  /** A 'readable' with nothing to read is the peer's FIN. */
  readonly #onReadable = (): void => {
    if (!this.#take()) this.ended = true;
    this.#changed();
  };

  readonly #onEnd = (): void => {
    this.ended = true;
    this.#changed();
  };

  readonly #onError = (error: Error): void => {
    this.error = error;
    this.#changed();
  };

  readonly #onClose = (): void => {
    if (this.ended || this.error !== null) return;
    this.error = new Error('closed');
    this.#changed();
  };
}
