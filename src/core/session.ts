// One client connection as operators see it: plain data, what the table keeps, the API answers and the log writes. Never a socket, never payload.

import type { CertificateProblem, LeafKeyType } from './certificates.ts';
import type { ErrorCode } from './errors.ts';
import type { ProtocolName } from './protocols.ts';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

/** Where a client wants to go: an address (transparent), a name (explicit), or both once resolved. */
export interface Destination {
  ip: string | null;
  port: number;
  host: string | null;
}

export const actions = ['intercept', 'handoff', 'relay', 'tunnel', 'deny'] as const;
export type Action = (typeof actions)[number];
export const sessionStates = ['active', 'closed', 'errored'] as const;
export type SessionState = (typeof sessionStates)[number];

/** How a name that a client claims relates to the address it goes to: one of the name's, none of them, or the name cannot be resolved. */
export const addressMatches = ['named', 'other', 'unresolved'] as const;
export type AddressMatch = (typeof addressMatches)[number];

/** Bytes read off the four socket ends; TLS included where TLS is. */
export interface ByteCounts {
  fromClient: number;
  toClient: number;
  fromUpstream: number;
  toUpstream: number;
}

export interface TlsSide {
  version: string;
  cipher: string;
  alpn: string | null;
  /** An earlier TLS session was resumed; absent after a full handshake. */
  resumed?: true;
}

/** What is known of the TLS layers of a session. */
export interface SessionTls {
  client: TlsSide | null;
  upstream: (TlsSide & { name: 'verified' | 'unverified'; problems: readonly CertificateProblem[] }) | null;
  leaf: { serial: string; key: LeafKeyType; mirrored: boolean } | null;
}

/** Details per protocol; each handler owns its key. Lists are bounded by sessionDetailsMax, texts by sessionTextBytesMax. */
export interface SessionDetails {
  http?: HttpDetails;
  sip?: SipDetails;
  turn?: TurnDetails;
}

export interface HttpDetails {
  requests: number;
  method: string | null;
  host: string | null;
  status: number | null;
  upgraded: string | null;
}

export interface SipRegistration {
  aor: string;
  contact: string | null;
  userAgent: string | null;
  /** Seconds granted by the registrar. */
  expiresSeconds: number;
  state: 'pending' | 'challenged' | 'registered' | 'removed' | 'failed';
  /** NTLM, Kerberos, TLS-DSK or Digest: what the client chose from the challenge. */
  scheme: string | null;
  epid: string | null;
  /** Schemes the registrar offered, and how often it challenged. */
  offered?: readonly string[];
  rounds?: number;
}

export interface SipDialog {
  callId: string;
  method: string;
  state: 'trying' | 'ringing' | 'confirmed' | 'ended' | 'failed';
  /** `audio 192.0.2.1:49170`, both sides. */
  media: readonly string[];
  codecs?: readonly string[];
  from?: string | null;
  to?: string | null;
}

export interface SipSubscription {
  event: string;
  state: 'pending' | 'active' | 'terminated' | 'failed';
  expiresSeconds: number | null;
}

export interface SipDetails {
  registrations: SipRegistration[];
  dialogs: SipDialog[];
  /** Messages by method (requests) and by three-digit status (responses). */
  methods: Record<string, number>;
  statuses: Record<string, number>;
  keepAlives: number;
  /** Messages a second by method and status over the last sipRateMs in which there were any; gone when there are none or the session is over. */
  rates?: { methods: Record<string, number>; statuses: Record<string, number> };
  /** The most messages that came from each side within one second. */
  busiestSecond?: { fromClient: number; fromUpstream: number };
  subscriptions?: SipSubscription[];
  /** MRAS requests (MS-AVEDGEA) and how they ended; never what they carry. */
  mras?: { requested: number; granted: number; failed: number };
  /** Requests that policy refused, and the rule of the last one. */
  denied?: { requests: number; rule: string };
  /** What the server calls itself, and the keep-alive interval it asks for (MS-CONMGMT 2.2.1). */
  server?: string;
  msKeepAliveSeconds?: number;
  /** Set when the stream stopped being watched (compression, or framing in doubt) and was relayed as bytes. */
  opaque: string | null;
}

export interface TurnAllocation {
  relayed: string | null;
  reflexive: string | null;
  realm: string | null;
  /** The user name as text where it is printable, else the SHA-256 of its bytes in hex. */
  user: string | null;
  lifetimeSeconds: number | null;
  bandwidth: number | null;
  result: 'pending' | 'challenged' | 'allocated' | 'failed' | 'freed';
  errorCode: number | null;
}

/** Frames and payload bytes a second: over the last turnTickMs (0 once the session is over), and the highest such figure. */
export interface DataRate {
  frames: number;
  bytes: number;
  framesMax: number;
  bytesMax: number;
}

export interface TurnDetails {
  allocations: TurnAllocation[];
  /** Payload bytes by peer address. */
  peers: Record<string, { toPeer: number; fromPeer: number }>;
  /** Messages by type name. */
  messages: Record<string, number>;
  dataFrames: { toUpstream: number; toClient: number };
  dataBytes: { toUpstream: number; toClient: number };
  /** Of data frames, channels and the payload of Send requests and indications alike. */
  dataRates: { toUpstream: DataRate; toClient: DataRate };
  /** Error responses by code, challenges included. */
  errors: Record<string, number>;
  version: number | null;
  activeDestination: string | null;
  rtpSeen: boolean;
  /** Messages that policy refused, and the rule of the last one. */
  denied?: { messages: number; rule: string };
  opaque: string | null;
}

/** One client connection as operators see it. Plain data: no sockets, no payload. */
export interface Session {
  readonly id: string;
  readonly service: string;
  readonly client: Endpoint;
  readonly destination: Destination;
  readonly startedAt: number;
  endedAt: number | null;
  state: SessionState;
  sni: string | null;
  /** ALPN names the client offered. */
  alpn: readonly string[];
  ja3: string | null;
  ja4: string | null;
  /** The name the client claims (SNI, else its first Host) against its destination; null: it claims none. Absent where no rule asks. */
  claim?: { readonly name: string; readonly address: AddressMatch } | null;
  user: string | null;
  protocol: ProtocolName;
  /** Layers as found, outermost first: tls, sips. Explicit services come first by their name: http-explicit, tls, https. */
  chain: string[];
  action: Action | null;
  /** Set when an error became a tunnel: the error. */
  tunnelledOnError: ErrorCode | null;
  /** The rule that decided the action, `stage/name`. */
  rule: string | null;
  error: ErrorCode | null;
  /** A short fact about the error for operators; never payload. */
  errorDetail: string | null;
  /** Why a relay was not looked into: detection off, nothing known, no bytes in time. */
  note: string | null;
  bytes: ByteCounts;
  tls: SessionTls;
  details: SessionDetails;
}
