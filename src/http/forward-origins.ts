// The origins one client connection talks to through the explicit proxy: an undici client for each, with at most one connection, never
// shared with another client connection, so that NTLM and Negotiate stay bound to who logged in. It judges nothing.

import type { Socket } from 'node:net';
import { Client } from 'undici';
import { FlowError, toFlowError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';

/** An origin's client. */
export interface Origin {
  readonly client: Client;
  /** A request went over its connection before: the server may have closed it by now. */
  used: boolean;
}

/** Origins by `host:port`, the last used last. */
export class Origins {
  readonly #limits: Limits;
  readonly #dial: () => Promise<Socket>;
  readonly #known = new Map<string, Origin>();

  /** `dial` opens a connection to wherever the session goes now. */
  constructor(limits: Limits, dial: () => Promise<Socket>) {
    this.#limits = limits;
    this.#dial = dial;
  }

  /** The client for an origin; the one that was not used for longest makes place. */
  at(key: string): Origin {
    const known = this.#known.get(key) ?? { client: this.#open(), used: false };
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > this.#limits.proxyOriginsMax && oldest !== undefined) this.drop(oldest, new FlowError('IDLE_TIMEOUT'));
    return known;
  }

  /** Closes an origin's connection; a request that is on it fails with the error. */
  drop(key: string, error: FlowError): void {
    const origin = this.#known.get(key);
    this.#known.delete(key);
    // It rejects only when called twice.
    origin?.client.destroy(error).catch(() => {});
  }

  /** Closes them all. */
  dropAll(error: FlowError): void {
    for (const key of [...this.#known.keys()]) this.drop(key, error);
  }

  #open(): Client {
    // The host is in the request's own Host field; this one is never resolved, since `connect` is ours.
    return new Client('http://origin.invalid', {
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: this.#limits.httpHeadBytesMax,
      // Idle connections and slow answers are watched for the whole client connection: forward.ts.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: this.#limits.httpIdleMs,
      keepAliveMaxTimeout: this.#limits.httpIdleMs,
      // undici 8: calling back before `connect` has returned leaves the client waiting for ever; a promise never does.
      connect: (_options, callback) => {
        this.#dial().then((socket) => callback(null, socket), (caught: unknown) => callback(toFlowError(caught), null));
      },
    });
  }
}
