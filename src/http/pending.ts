// One request on its way: what of it the response side must know, and what the two sides of an exchange may ask of each
// other. Plain data and seams; no behaviour and no sockets.

import type { FlowError } from '../core/errors.ts';
import type { Deps, Flow, Refusal } from '../core/flow.ts';
import type { HttpDetails } from '../core/session.ts';

/** A request whose response is not complete. Oldest first in the queue of an exchange. */
export interface Pending {
  readonly method: string;
  readonly host: string | null;
  readonly target: string;
  readonly startedAt: number;
  readonly accept: string | null;
  /** The client keeps the connection after this request. */
  readonly persists: boolean;
  /** What it asked to upgrade to, null when it did not (an Upgrade field without its Connection option counts as none). */
  readonly upgrade: string | null;
  /** Expect: 100-continue was said and no byte of the body has come. */
  awaitsContinue: boolean;
  /** The response is ours; nothing of the request went upstream, or what went there no longer counts. */
  ours: boolean;
  /** Our response once it is ready; it is sent when its turn has come. */
  answer: Buffer | null;
  closeAfter: boolean;
  /** Status of the final response once its head has been seen; 0 before. */
  status: number;
  /** Bytes of the request and of its response so far, heads included. */
  fromClientBytes: number;
  toClientBytes: number;
}

/** What the request side and the response side share. */
export interface Exchange {
  readonly flow: Flow;
  readonly deps: Deps;
  readonly details: HttpDetails;
  readonly queue: Pending[];
  /** False as soon as the exchange is closing: nothing more is read. */
  readonly open: boolean;
  /** The server is being dialled; what was read waits. */
  readonly dialling: boolean;
  /** Writes to the server, dialling first where nothing was dialled. */
  toUpstream(bytes: Buffer): void;
  toClient(bytes: Buffer): void;
  /** Stops or goes on reading from the client. */
  holdClient(): void;
  resumeClient(): void;
  /** Whether the client takes more answers. */
  readonly clientHasRoom: boolean;
  /** Makes the page of a refusal the answer of a request. */
  refuseWith(pending: Pending, refusal: Refusal, keepAlive: boolean): void;
  /** Sends those of our answers whose turn has come. */
  advance(): void;
  /** The first head was not HTTP, or broken before anything moved: the bytes are put back and the flow is conduct's again. */
  giveBack(bytes: Buffer, error: FlowError): void;
  /** The request side found a fault: told after the responses that are due, then the connection ends. */
  failRequest(error: FlowError, status: number | null, tail: Pending | null): void;
  /** The response side found a fault, or the server failed; `tell` is false where only a bare close is right. */
  failResponse(error: FlowError, tell: boolean): void;
  /** The client has sent its last byte. */
  clientEnded(midRequest: boolean): void;
  /** A response is complete. */
  responseDone(closing: boolean): void;
  /** Whether the request side waits for a response to complete, be it only to end. */
  readonly requestsWait: boolean;
  /** 101: the rest of both streams is another protocol's. */
  switchProtocols(rest: Buffer): void;
  /** A 2xx to CONNECT: the rest is one layer further in. */
  openTunnel(rest: Buffer): void;
  finish(): void;
}
