// As much of RFC 6455 as the echo benchmark needs, on bytes: the accept key, and frames of up to 125 bytes. Longer frames throw.

import { createHash } from 'node:crypto';

/** Longest payload whose length stands in the second byte of a frame. */
export const payloadBytesMax = 125;
/** First byte of a whole text message. */
export const textFrame = 0x81;

export interface Frame {
  /** FIN, reserved bits and opcode. */
  readonly first: number;
  /** Unmasked. */
  readonly payload: Buffer;
}

/** What a server answers to Sec-WebSocket-Key. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** A masked text frame, as clients send it. */
export function clientFrame(payload: Buffer, mask: Buffer): Buffer {
  return Buffer.concat([Buffer.from([textFrame, 0x80 | payload.length]), mask, unmasked(payload, mask)]);
}

/** The whole frames at the beginning of the bytes, and what is left. */
export function readFrames(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  for (;;) {
    const first = bytes[at];
    const second = bytes[at + 1];
    if (first === undefined || second === undefined) break;
    const length = second & 0x7f;
    if (length > payloadBytesMax) throw new Error('a frame longer than the benchmark sends');
    const isMasked = (second & 0x80) !== 0;
    const begins = at + 2 + (isMasked ? 4 : 0);
    if (bytes.length < begins + length) break;
    const payload = bytes.subarray(begins, begins + length);
    frames.push({ first, payload: isMasked ? unmasked(payload, bytes.subarray(at + 2, at + 6)) : payload });
    at = begins + length;
  }
  return { frames, rest: bytes.subarray(at) };
}

function unmasked(payload: Buffer, mask: Buffer): Buffer {
  const out = Buffer.from(payload);
  for (let index = 0; index < out.length; index += 1) out[index] = (out[index] ?? 0) ^ (mask[index & 3] ?? 0);
  return out;
}
