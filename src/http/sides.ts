// The socket ends of an exchange: listening to one and letting go of it again, and dialling the server for the first bytes
// that need it. No HTTP here.

import type { Socket } from 'node:net';
import { toFlowError } from '../core/errors.ts';
import type { FlowError } from '../core/errors.ts';
import type { Deps, Flow } from '../core/flow.ts';
import { ignoreErrors } from './closing.ts';

/** What an exchange hears of one socket. */
export interface Side {
  readonly data: (chunk: Buffer) => void;
  readonly end: () => void;
  readonly drain: () => void;
  readonly error: (error: Error) => void;
  readonly close: () => void;
}

/** Listens and lets the socket flow. */
export function listenTo(socket: Socket, side: Side): void {
  socket.on('data', side.data).on('end', side.end).on('drain', side.drain).on('error', side.error).on('close', side.close);
  socket.resume();
}

/** Takes our hands off a socket; late errors of it are nobody's. */
export function letGo(socket: Socket, side: Side): void {
  ignoreErrors(socket);
  socket.off('data', side.data).off('end', side.end).off('drain', side.drain).off('error', side.error).off('close', side.close);
}

/** Dials once and keeps what is to be written meanwhile: at most what one read brought, since the client is held. */
export class Dialler {
  readonly #flow: Flow;
  readonly #deps: Deps;
  #unsent: Buffer[] = [];
  #busy = false;

  constructor(flow: Flow, deps: Deps) {
    this.#flow = flow;
    this.#deps = deps;
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Keeps the bytes; with the first of them dials. `ready` gets the socket with the bytes already written to it. */
  send(bytes: Buffer, ready: (upstream: Socket) => void, failed: (error: FlowError) => void): void {
    this.#unsent.push(bytes);
    if (this.#busy) return;
    this.#busy = true;
    this.#deps.dial(this.#flow).then(
      (upstream) => {
        this.#busy = false;
        for (const unsent of this.#unsent) upstream.write(unsent);
        this.#unsent = [];
        ready(upstream);
      },
      (caught: unknown) => {
        this.#busy = false;
        failed(toFlowError(caught));
      },
    );
  }
}
