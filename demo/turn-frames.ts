// MS-TURN frames over a TCP socket as the demo's peers need them: a reader of whole frames, a writer, a hash of each direction.
// Written apart from src/turn's walker on purpose, so that the one proves the other.

import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** MS-TURN 2.1.4: control messages and end-to-end data. */
export const controlFrame = 0x02;
export const dataFrame = 0x03;

export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

/** One frame's bytes. */
export function frameBytes(type: number, body: Buffer): Buffer {
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** Bytes in and out of a socket: hands out exact counts or frames, in order, and rejects when the peer ends or time runs out. */
export class FrameSocket {
  readonly socket: Duplex;
  readonly #received = createHash('sha256');
  readonly #sent = createHash('sha256');
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | null = null;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received.update(chunk);
      this.bytesReceived += chunk.length;
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  send(bytes: Buffer): void {
    this.#sent.update(bytes);
    this.bytesSent += bytes.length;
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** The next `count` bytes without taking them; null when the peer has ended before. */
  async peek(count: number): Promise<Buffer | null> {
    while (this.#bytes.length < count) {
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#bytes.subarray(0, count);
  }

  async take(count: number): Promise<Buffer | null> {
    const bytes = await this.peek(count);
    if (bytes !== null) this.#bytes = this.#bytes.subarray(count);
    return bytes;
  }

  /** The next frame; null at the end of the stream. */
  async frame(): Promise<Frame | null> {
    const head = await this.take(4);
    if (head === null) return null;
    const body = await this.take(head.readUInt16BE(2));
    return body === null ? null : { type: head.readUInt8(0), body };
  }

  /** SHA-256 of everything received and sent so far, hex: what one side sent, the other must have received. */
  hashes(): { readonly received: string; readonly sent: string } {
    return { received: this.#received.copy().digest('hex'), sent: this.#sent.copy().digest('hex') };
  }
}
