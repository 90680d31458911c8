// The seams of a flow: its sockets layer by layer, what detectors and handlers answer, and all that handlers may reach. No behaviour lives here.

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Leaf, LeafRequest, Revocation, UpstreamTrust } from './certificates.ts';
import type { ErrorCode } from './errors.ts';
import type { Limits } from './limits.ts';
import type { Logger } from './log.ts';
import type { Meter } from './meters.ts';
import type { Session } from './session.ts';
import type { Policy } from './verdicts.ts';

/** The sockets of one layer of a session. A new Flow for each layer; `raw` is the client's TCP socket and never replaced. */
export interface Flow {
  readonly session: Session;
  readonly raw: Socket;
  /** Where the client's plaintext of this layer is: the raw socket or a TLS socket on it. */
  readonly client: Socket | TLSSocket;
  /** Likewise for the server; null while nothing has been dialled for this layer. */
  readonly upstream: Socket | TLSSocket | null;
  readonly depth: number;
  /** True once a layer of TLS has been opened by us. */
  readonly insideTls: boolean;
  /** `raw.bytesWritten` when the flow began: more means the client has been answered. */
  readonly repliedBytes: number;
  /** `performance.now()` when the TLS around this layer was up; absent outside TLS. */
  readonly openedAtMs?: number;
  /** Set when this layer was opened only to tell the client why it is refused, in the words of what it speaks inside. */
  readonly refusal?: Refusal;
}

/** What a detector says of bytes; judged the same at every split of them. Never throws. */
export type Found = 'no' | 'more' | 'suspect' | { readonly facts: unknown };
export type Side = 'client' | 'upstream';
export type Detect = (bytes: Buffer, from: Side, limits: Limits) => Found;

/** A denial or failure to be told to the client in the words of its protocol. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly detail: string | null;
  readonly rule: string | null;
  readonly status: number | null;
}

/**
 * What a handler answers: `done` ends the flow well; a Flow is the same session one layer further in; `tunnel` leaves the
 * layer closed (nothing was said to the client) and asks for its bytes to be relayed on a fresh connection.
 */
export type Handled = 'done' | 'tunnel' | Flow;

/** A protocol's handler. Throws FlowError. */
export interface Protocol {
  readonly detect: Detect;
  handle(flow: Flow, deps: Deps, facts: unknown): Promise<Handled>;
  /** Tells the client why, in its protocol, and ends both sides. Absent: the sockets are just closed. */
  refuse?(flow: Flow, deps: Deps, refusal: Refusal): Promise<void>;
}

/** Where traffic may be recorded for fault finding. Off, it costs one call for each layer. */
export interface Recorder {
  /** Takes the TLS secrets of a session's side as NSS key log lines; null where nobody wants them. */
  secrets(session: Session): ((line: Buffer) => void) | null;
  /** A layer is about to be handed on or relayed: what passes its client's side is recorded where that is wanted. */
  layer(flow: Flow): void;
  /** Whether this flow's layer is recorded: its bytes must then pass through the socket's stream, not through its handle alone. */
  watches(flow: Flow): boolean;
}

/** An HTTP request that has ended, as the request log tells it. */
export interface EndedRequest {
  readonly method: string;
  /** Host or :authority as sent. */
  readonly host: string | null;
  /** The target as sent, query included: the log cuts it. */
  readonly target: string;
  /** Status of the final response; 0 when there was none. */
  readonly status: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Head and body as framed; in HTTP/2 the body alone. */
  readonly fromClientBytes: number;
  readonly toClientBytes: number;
}

/** Where requests that have ended are noted for operators. */
export interface RequestLog {
  write(session: Session, request: EndedRequest): void;
}

export interface Deps {
  readonly limits: Limits;
  readonly policy: Policy;
  readonly meter: Meter;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  clock(): number;
  /** A TCP connection to the session's destination; reuses one that detection dialled early. Throws FlowError of stage dial. */
  dial(flow: Flow): Promise<Socket>;
  /** Connections are dialled from the client's own address. Absent: from the gateway's. */
  readonly clientSource?: boolean;
  /** The emulated identity; single flight per identity. Throws FlowError of stage certs. */
  certFor(request: LeafRequest): Promise<Leaf>;
  readonly revocation: Revocation;
  readonly trust: UpstreamTrust;
  /** To be called after `session.protocol` was set. */
  protocolChanged(session: Session): void;
  /** Absent: nothing is ever recorded. */
  readonly recorder?: Recorder;
  /** Absent: sessions are logged, their requests are not. */
  readonly requestLog?: RequestLog;
  /** A client refused our certificate or left at once. */
  noteRefusal(session: Session, code: ErrorCode): void;
  /** A client accepted our certificate and went on. */
  noteAccepted(session: Session): void;
}

/** What entry protocols may reach besides: the destination is dialled before the client is told that it may go on. */
export interface EntryDeps extends Deps {
  /** A connection to the destination, opened before a handler asks for it; `dial` takes it. Rejects as `dial` does. */
  dialEarly(session: Session): Promise<Socket>;
  /** Closes what was opened early and not taken. */
  dropEarly(session: Session): void;
}

/**
 * How clients of explicit services (HTTP proxy, SOCKS) say where they want to go: the first layer of their flow. It reads the
 * request, asks the connection stage, dials, answers, and returns the flow that goes on inside.
 */
export interface Entry {
  /** `done` when the entry served the client itself. Rejects with FlowError after it told the client, in its words. */
  enter(flow: Flow, deps: EntryDeps): Promise<'done' | Flow>;
}
