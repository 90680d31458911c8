// Reads whole streams with the parsers of src/http as the exchange does, for tests: which messages, where each ends.

import { limitsWith } from '../../../src/core/limits.ts';
import type { Limits } from '../../../src/core/limits.ts';
import { BodyWalker } from '../../../src/http/body.ts';
import { persists, requestFraming, responseFraming } from '../../../src/http/head-rules.ts';
import { HeadReader, isFault } from '../../../src/http/head-reader.ts';

export interface SeenMessage {
  readonly start: string;
  readonly framing: string;
  /** Body bytes as framed, coding included. */
  readonly body: string;
  readonly persists: boolean;
}

export interface Seen {
  readonly messages: SeenMessage[];
  /** How reading ended: between messages, inside a head or body, or with a fault. */
  readonly end: 'between' | 'head' | 'body' | 'NOT_HTTP' | 'HTTP_MALFORMED' | 'HTTP_AMBIGUOUS';
  readonly why: string | null;
}

/** Reads a stream shown in pieces. */
export function readStream(kind: 'request' | 'response', pieces: readonly Buffer[], limits: Limits = limitsWith(), method = 'GET'): Seen {
  const reader = new HeadReader(kind, limits);
  const body = new BodyWalker(limits);
  const messages: SeenMessage[] = [];
  let current: { start: string; framing: string; body: string; persists: boolean } | null = null;
  let rest: Buffer = Buffer.alloc(0);
  let inHead = false;
  for (const piece of pieces) {
    const bytes = Buffer.concat([rest, piece]);
    rest = Buffer.alloc(0);
    let at = 0;
    while (at < bytes.length) {
      if (current === null) {
        const head = reader.read(bytes, at);
        if (head === 'more') {
          rest = bytes.subarray(at);
          inHead = true;
          break;
        }
        inHead = false;
        if (isFault(head)) return { messages, end: head.code, why: head.why };
        const framing = kind === 'request' ? requestFraming(head) : responseFraming(head, method === 'HEAD');
        const start = kind === 'request' ? `${head.method} ${head.target} ${String(head.minor)}` : `${String(head.status)} ${String(head.minor)}`;
        current = { start, framing, body: '', persists: persists(head) };
        body.begin(framing, head.contentLength);
        at += head.lengthBytes;
      }
      const next = body.walk(bytes, at);
      current.body += bytes.toString('latin1', at, next);
      if (body.fault !== null) return { messages, end: body.fault.code, why: body.fault.why };
      at = next;
      if (!body.done) break;
      messages.push(current);
      current = null;
    }
  }
  if (current !== null) messages.push(current);
  return { messages, end: current !== null ? 'body' : inHead ? 'head' : 'between', why: null };
}

/** The bytes in one piece, byte by byte, and cut once at every place. */
export function* splits(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes];
  yield Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
  for (let cut = 1; cut < bytes.length; cut += 1) yield [bytes.subarray(0, cut), bytes.subarray(cut)];
}

/** Text as bytes, one for one. */
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
