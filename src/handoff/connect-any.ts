// One TCP connection to any of several addresses, tried side by side with a head start each (RFC 8305 section 5). It resolves no
// names and judges no address; what it did not use is closed.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import { socketFrom } from './client-source.ts';

export interface ConnectOptions {
  /** For all addresses together. */
  readonly dialMs: number;
  /** Head start of one address before the next is tried as well. Node's own autoSelectFamily (24) gives up the earlier one instead. */
  readonly dialAttemptMs: number;
  /** The address to dial from, though it is not this machine's; absent: one of its own. */
  readonly from?: string;
}

/**
 * The first connection that is made: with half-close and without Nagle, its late errors covered by a listener. Rejects with
 * DIAL_REFUSED, DIAL_TIMEOUT or DIAL_UNREACHABLE; of several failures the most telling counts, in this order.
 */
export function connectAny(addresses: readonly string[], port: number, options: ConnectOptions): Promise<Socket> {
  return new Promise((resolve, reject) => new Attempts(addresses, port, options, resolve, reject).next());
}

class Attempts {
  readonly #addresses: readonly string[];
  readonly #port: number;
  readonly #attemptMs: number;
  readonly #from: string | null;
  readonly #resolve: (socket: Socket) => void;
  readonly #reject: (error: FlowError) => void;
  readonly #limit: NodeJS.Timeout;
  /** Sockets under way, with their error listeners. */
  readonly #open = new Map<Socket, (error: Error) => void>();
  readonly #failures: FlowError[] = [];
  #headStart: NodeJS.Timeout | null = null;
  #tried = 0;

  constructor(addresses: readonly string[], port: number, options: ConnectOptions, resolve: (socket: Socket) => void, reject: (error: FlowError) => void) {
    this.#addresses = alternating(addresses);
    this.#port = port;
    this.#attemptMs = options.dialAttemptMs;
    this.#from = options.from ?? null;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#limit = setTimeout(() => this.#settle(new FlowError('DIAL_TIMEOUT')), options.dialMs);
  }

  /** Tries one address more; with none left and none under way, all have failed. */
  next(): void {
    if (this.#headStart !== null) clearTimeout(this.#headStart);
    this.#headStart = null;
    const host = this.#addresses[this.#tried];
    if (host === undefined) {
      if (this.#open.size === 0) this.#settle(mostTelling(this.#failures));
      return;
    }
    this.#tried += 1;
    let socket: Socket;
    try {
      socket = this.#dial(host);
    } catch (caught) {
      this.#settle(new FlowError('DIAL_UNREACHABLE', `not from ${this.#from ?? ''}: ${caught instanceof Error ? caught.message : String(caught)}`, caught));
      return;
    }
    const failed = (error: Error): void => this.#failed(socket, error);
    this.#open.set(socket, failed);
    socket.on('error', failed);
    socket.once('connect', () => this.#settle(socket));
    if (this.#tried < this.#addresses.length) this.#headStart = setTimeout(() => this.next(), this.#attemptMs);
  }

  #dial(host: string): Socket {
    if (this.#from === null) return connect({ host, port: this.#port, noDelay: true, allowHalfOpen: true });
    return socketFrom(this.#from).setNoDelay(true).connect({ host, port: this.#port });
  }

  #failed(socket: Socket, error: Error): void {
    if (!this.#open.delete(socket)) return;
    this.#failures.push(new FlowError(dialCode(error), null, error));
    this.next();
  }

  #settle(outcome: Socket | FlowError): void {
    clearTimeout(this.#limit);
    if (this.#headStart !== null) clearTimeout(this.#headStart);
    const failed = outcome instanceof FlowError ? undefined : this.#open.get(outcome);
    const others = [...this.#open.keys()].filter((socket) => socket !== outcome);
    this.#open.clear();
    for (const socket of others) socket.destroy();
    if (outcome instanceof FlowError) this.#reject(outcome);
    else {
      outcome.on('error', ignored);
      // It would keep all of this for as long as the connection lives.
      if (failed !== undefined) outcome.off('error', failed);
      this.#resolve(outcome);
    }
  }
}

/** Whoever holds a socket listens too; this one keeps errors between two holders from being uncaught. */
const ignored = (): void => {};

/** Families take turns, beginning with the resolver's first (RFC 8305 section 4). */
function alternating(addresses: readonly string[]): readonly string[] {
  const isV6 = (address: string): boolean => address.includes(':');
  const [first] = addresses;
  if (first === undefined || addresses.length === 1) return addresses;
  const same = addresses.filter((address) => isV6(address) === isV6(first));
  const other = addresses.filter((address) => isV6(address) !== isV6(first));
  return Array.from({ length: Math.max(same.length, other.length) }, (_unused, place) => [same[place], other[place]]).flat().filter((address) => address !== undefined);
}

/** A refusal says most: the host is there. */
function mostTelling(failures: readonly FlowError[]): FlowError {
  const find = (code: ErrorCode): FlowError | undefined => failures.find((failure) => failure.code === code);
  return find('DIAL_REFUSED') ?? find('DIAL_TIMEOUT') ?? failures[0] ?? new FlowError('DIAL_UNREACHABLE');
}

function dialCode(error: Error): ErrorCode {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return 'DIAL_REFUSED';
  return code === 'ETIMEDOUT' ? 'DIAL_TIMEOUT' : 'DIAL_UNREACHABLE';
}
