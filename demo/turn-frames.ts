// MS-TURN frames over a TCP socket as the demo's peers need them: a reader of whole frames, a writer, a hash of each direction.
// Written apart from src/turn's walker on purpose, so that the one proves the other.

import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** MS-TURN 2.1.4: control messages and end-to-end data. */
export const controlFrame = 0x02;
export const dataFrame = 0x03;
/** MS-TURN 2.2.3: either, behind the id of a session, several of which share a connection. */
const multiplexedHead = 0xff10;
const sessionIdBytes = 8;

export interface Frame {
  /** controlFrame or dataFrame; of a multiplexed frame what is in it. Anything else as it came. */
  readonly type: number;
  readonly body: Buffer;
  /** The session of a multiplexed frame. */
  readonly session: Buffer | null;
}

/** One frame's bytes, multiplexed when it is of a session. */
export function frameBytes(type: number, body: Buffer, session: Buffer | null = null): Buffer {
  const content = session === null ? body : Buffer.concat([session, body]);
  const head = Buffer.alloc(4);
  head.writeUInt16BE(session === null ? type << 8 : multiplexedHead, 0);
  head.writeUInt16BE(content.length, 2);
  return Buffer.concat([head, content]);
}

/** Whether the first two bytes of a frame say that it is multiplexed. */
export function isMultiplexed(head: Buffer): boolean {
  return head.readUInt16BE(0) === multiplexedHead;
}

/** A TURN message begins with two zero bits; RTP and its kin do not (RFC 7983). */
function unwrapped(content: Buffer): Frame {
  const body = content.subarray(sessionIdBytes);
  return { type: (body[0] ?? 0xff) < 0x40 ? controlFrame : dataFrame, body, session: content.subarray(0, sessionIdBytes) };
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
    if (body === null) return null;
    return isMultiplexed(head) ? unwrapped(body) : { type: head.readUInt8(0), body, session: null };
  }

  /** SHA-256 of everything received and sent so far, hex: what one side sent, the other must have received. */
  hashes(): { readonly received: string; readonly sent: string } {
    return { received: this.#received.copy().digest('hex'), sent: this.#sent.copy().digest('hex') };
  }
}
