// Takes one message off the front of a stream, with a bound on the wait, and leaves everything behind it in the stream. What the message
// means is its reader's business.

import type { Duplex } from 'node:stream';
import { Peek } from './peek.ts';

/** What came: a message, something else (`no`), too little before the end (`cut`, with nothing at all `ended`), too little in time (`late`). */
export type Taken<T> =
  | { readonly kind: 'message'; readonly message: T }
  | { readonly kind: 'no' | 'cut' | 'ended' | 'late' }
  | { readonly kind: 'error'; readonly error: Error };

/** Shows what has come to `read` until that decides; only a whole message is taken. Never rejects. */
export function takeMessage<T extends { readonly lengthBytes: number }>(stream: Duplex, read: (bytes: Buffer) => T | 'more' | 'no', waitMs: number): Promise<Taken<T>> {
  return new Promise((resolve) => {
    const settle = (taken: Taken<T>): void => {
      clearTimeout(timer);
      peek.release();
      if (taken.kind === 'message') stream.read(taken.message.lengthBytes);
      resolve(taken);
    };
    const judge = (): void => {
      const answer = peek.bytes.length === 0 ? 'more' : read(peek.bytes);
      if (answer === 'no') settle({ kind: 'no' });
      else if (answer !== 'more') settle({ kind: 'message', message: answer });
      else if (peek.bytes.length > 0 && (peek.ended || peek.error !== null)) settle({ kind: 'cut' });
      else if (peek.error !== null) settle({ kind: 'error', error: peek.error });
      else if (peek.ended) settle({ kind: 'ended' });
    };
    const timer = setTimeout(() => settle({ kind: 'late' }), waitMs);
    const peek: Peek = new Peek(stream, judge);
    judge();
  });
}
