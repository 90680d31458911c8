// Requests for the revocation host inside plain-http flows: answered here, without a dial and before any policy, whatever
// address the client dialled. It holds one bounded request body at a time.

import type { Deps } from '../core/flow.ts';
import { persists } from './head-rules.ts';
import type { Head } from './head.ts';
import { responseBytes } from './pages.ts';
import type { Pending } from './pending.ts';

/** Answers one request after another of one connection. */
export class InBand {
  readonly #deps: Deps;
  #method = '';
  #path = '';
  #keepAlive = false;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Begins the request of this head. */
  begin(head: Head): void {
    this.#method = head.method;
    this.#path = head.target.replace(/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?]*/, '');
    this.#keepAlive = persists(head);
    this.#parts = [];
    this.#size = 0;
  }

  /** Takes body bytes as they came, coding included: an OCSP request is sent with a length (RFC 6960 appendix A). */
  collect(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#size <= this.#deps.limits.ocspRequestBytesMax) this.#parts.push(Buffer.from(bytes));
  }

  /** The request is complete: puts the answer into it. */
  answer(pending: Pending): void {
    const tooLarge = this.#size > this.#deps.limits.ocspRequestBytesMax;
    const body = this.#method === 'POST' ? Buffer.concat(this.#parts) : null;
    const answer = tooLarge ? contentTooLarge : this.#deps.revocation.answer(this.#method, this.#path, body);
    const keepAlive = this.#keepAlive && !tooLarge;
    pending.answer = responseBytes(answer.status, answer.headers, answer.body, { toHead: this.#method === 'HEAD', keepAlive });
    pending.closeAfter = !keepAlive;
    pending.status = answer.status;
    this.#parts = [];
  }
}

const contentTooLarge = { status: 413, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from('The request is larger than ocspRequestBytesMax.\n') };
