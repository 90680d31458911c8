// The nouns that every part shares: sessions (plain data operators see), flows (the sockets of one layer), verdicts,
// and the seams through which floors reach each other. No behaviour lives here.

import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ErrorCode } from './errors.ts';
import type { Limits } from './limits.ts';
import type { Logger } from './log.ts';
import type { Meter } from './meters.ts';
import type { DetectedName, ProtocolName } from './protocols.ts';

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

export interface TurnDetails {
  allocations: TurnAllocation[];
  /** Payload bytes by peer address. */
  peers: Record<string, { toPeer: number; fromPeer: number }>;
  /** Messages by type name. */
  messages: Record<string, number>;
  dataFrames: { toUpstream: number; toClient: number };
  dataBytes: { toUpstream: number; toClient: number };
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

// ---- Policy

export type LeafKeyType = 'rsa' | 'ec';
/** What can be wrong with an upstream certificate (CONTRACT "certificate"). */
export const certificateProblems = [
  'expired', 'not-yet-valid', 'self-signed', 'untrusted', 'incomplete', 'name', 'revoked', 'revocation-unknown', 'weak', 'invalid',
] as const;
export type CertificateProblem = (typeof certificateProblems)[number];

export const policyStages = ['connection', 'ssl', 'certificate', 'protocol', 'http', 'sip', 'turn'] as const;
export type PolicyStage = (typeof policyStages)[number];
export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Whether servers' certificates are looked up as revoked: not at all; a revoked one is a problem; one of unknown state is one too. */
export const revocationModes = ['off', 'soft', 'hard'] as const;
export type RevocationMode = (typeof revocationModes)[number];

/** Detection switches: names that are off, and names that a rule switched on over the service's setting. */
export interface DetectSwitches {
  readonly off: ReadonlySet<ProtocolName>;
  readonly on: ReadonlySet<ProtocolName>;
}

export interface ConnectionVerdict {
  readonly action: 'allow' | 'deny' | 'tunnel';
  readonly rule: string;
  readonly detect: DetectSwitches;
  readonly tunnelOnError: ReadonlySet<ErrorCode>;
  /** The rule says that servers on this port speak first: dial at once and wait for no detection timer. */
  readonly serverFirst: boolean;
}

export interface SslVerdict {
  readonly action: 'intercept' | 'tunnel' | 'deny' | 'intercept-on-exception';
  readonly rule: string;
  /** False: relay what is decrypted without looking (the reference's STunnel interception). */
  readonly handoff: boolean;
  readonly tunnelOnError: ReadonlySet<ErrorCode>;
  readonly clientCert: 'tunnel' | 'continue' | 'deny';
  /** Detection inside TLS. */
  readonly detect: DetectSwitches;
  readonly clientMinVersion: TlsVersion;
  /** Name of the issuer (keyring) that signs, null for the default. */
  readonly issuer: string | null;
  /** False: learned bypasses do not count here. */
  readonly learned?: false;
  /** Over upstream.revocation; absent: that one holds. */
  readonly revocation?: RevocationMode;
}

export interface CertificateVerdict {
  readonly action: 'deny' | 'mirror-untrusted' | 'accept' | 'tunnel';
  readonly rule: string;
}

export interface ProtocolVerdict {
  readonly action: 'handoff' | 'relay' | 'deny';
  readonly rule: string;
}

export interface RequestVerdict {
  readonly action: 'allow' | 'deny';
  readonly rule: string;
  /** Status of the refusal, null for the protocol's usual one. */
  readonly status: number | null;
}

export interface HttpFacts {
  readonly method: string;
  readonly host: string | null;
  readonly path: string;
  readonly headers: ReadonlySet<string>;
  readonly upgrade: string | null;
}

export interface SipFacts {
  readonly method: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly agent: string | null;
}

export interface TurnFacts {
  readonly message: string;
  readonly peer: string | null;
}

/** One answer per stage; pure, never awaits, never throws. The session carries client, destination, service, user and TLS facts. */
export interface Policy {
  connection(session: Session): ConnectionVerdict;
  ssl(session: Session): SslVerdict;
  certificate(session: Session, problems: readonly CertificateProblem[]): CertificateVerdict;
  protocol(session: Session, protocol: ProtocolName, tls: 'intercepted' | 'tunnelled' | 'none'): ProtocolVerdict;
  http(session: Session, facts: HttpFacts): RequestVerdict;
  sip(session: Session, facts: SipFacts): RequestVerdict;
  turn(session: Session, facts: TurnFacts): RequestVerdict;
  /** Whether a stage's rules could deny anything, so that handlers neither hold nor look for what passes anyway. */
  has(stage: PolicyStage): boolean;
}

// ---- Certificates

/** What the emulated leaf must look like. */
export interface LeafRequest {
  /** The server's certificate (DER), or null when there is none to follow (block pages): then only `host` is named. */
  readonly upstreamDer: Buffer | null;
  /** SHA-256 of it, hex: the identity's cache key. Null as above. */
  readonly upstreamFingerprint: string | null;
  /** The name asked for (SNI or CONNECT host), already checked as a host name; null when unknown. */
  readonly host: string | null;
  /** The original destination's address, named only when there is neither certificate nor host. */
  readonly ip: string | null;
  readonly key: LeafKeyType;
  /** `untrusted`: signed by the issuer no client trusts, with the defect mirrored. */
  readonly trust: 'trusted' | 'untrusted';
  /** Issuer (keyring) name, null for the default. */
  readonly issuer: string | null;
}

/** An emulated identity, ready to serve. The same object as long as it is cached. */
export interface Leaf {
  readonly serial: string;
  readonly key: LeafKeyType;
  readonly mirrored: boolean;
  /** Leaf and chain, PEM. */
  readonly certPem: string;
  readonly keyPem: string;
  /** 48 octets for TLS tickets, equal in all workers. */
  readonly ticketKeys: Buffer;
  /** A current OCSP response to staple, or null when stapling is off. */
  staple(): Promise<Buffer> | Buffer | null;
}

/** An answer of the revocation endpoints (CRL, OCSP, CA certificate), independent of who asked. */
export interface RevocationAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Revocation {
  /** Whether a plain-http request with this Host (as sent, port included) is for us. Cheap: asked for every plain request. */
  isHost(host: string): boolean;
  answer(method: string, path: string, body: Buffer | null): RevocationAnswer;
}

// ---- What handlers may reach

/** A client certificate of the gateway itself, PEM, and the servers (host patterns) that may see it. */
export interface ClientCertificate {
  readonly hosts: readonly string[];
  /** The certificate and those above it. */
  readonly certPem: string;
  readonly keyPem: string;
}

/** What the gateway believes about servers and shows them; one object per config, shared by all flows. */
export interface UpstreamTrust {
  readonly minVersion: TlsVersion;
  /** The roots in force: system store and own ones, without our own issuers. */
  readonly roots: readonly X509Certificate[];
  /** Our own issuers: what they signed is never believed from a server. */
  readonly own?: readonly X509Certificate[];
  readonly clientCerts?: readonly ClientCertificate[];
  /** Where no rule says otherwise. Absent: off. */
  readonly revocation?: RevocationMode;
  /** Lets issuers, CRLs and OCSP answers be fetched from this machine's own addresses. */
  readonly allowLocal?: boolean;
}

/** Where traffic may be recorded for fault finding. Off, it costs one call for each layer. */
export interface Recorder {
  /** Takes the TLS secrets of a session's side as NSS key log lines; null where nobody wants them. */
  secrets(session: Session): ((line: Buffer) => void) | null;
  /** A layer is about to be handed on or relayed: what passes its client's side is recorded where that is wanted. */
  layer(flow: Flow): void;
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
  /** The emulated identity; single flight per identity. Throws FlowError of stage certs. */
  certFor(request: LeafRequest): Promise<Leaf>;
  readonly revocation: Revocation;
  readonly trust: UpstreamTrust;
  /** Whether a protocol has a handler; h2 is offered upstream only then. */
  handles(name: DetectedName): boolean;
  /** To be called after `session.protocol` was set. */
  protocolChanged(session: Session): void;
  /** Absent: nothing is ever recorded. */
  readonly recorder?: Recorder;
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

// ---- Sessions, as admin, metrics, kill and the CLI see them (they may live in other processes)

export interface SessionPage {
  readonly sessions: readonly Session[];
  readonly total: number;
  /** A worker did not answer in time: its sessions are missing here. */
  readonly truncated: boolean;
  /** Pass as `cursor` for the next page; null on the last. */
  readonly cursor: string | null;
}

export interface SessionsView {
  /** `filter` is the text of CONTRACT's FILTER; rejects with FilterError on a wrong key or word. Newest first. */
  list(filter: string, limit: number, cursor: string | null): Promise<SessionPage>;
  one(id: string): Promise<Session | null>;
  kill(id: string): Promise<boolean>;
  /** Counts per protocol, action, error and state of what is in the table. */
  summary(): Promise<SessionSummary>;
  /** What was opened, changed or closed after `mark`, oldest change first; a null mark only asks for the mark of now. */
  changes(filter: string, limit: number, mark: string | null): Promise<SessionChanges>;
}

/** Changes of the table since a mark, for live streams. */
export interface SessionChanges {
  readonly changed: readonly Session[];
  /** Ids of sessions that changed and are not (or no longer) of the filter. */
  readonly gone: readonly string[];
  /** Pass as `mark` the next time; good over restarts and new workers. */
  readonly mark: string;
  /** There is more after `mark` already. */
  readonly more: boolean;
}

export interface SessionSummary {
  readonly active: number;
  readonly closed: number;
  readonly byProtocol: Record<string, number>;
  readonly byAction: Record<string, number>;
  readonly byError: Record<string, number>;
  readonly byState: Record<string, number>;
  readonly rates: SessionRates;
  /** A worker did not answer in time: its sessions are missing here. */
  readonly truncated: boolean;
}

/** Sessions that ended per second, averaged over the last `windowSeconds`, by protocol, action and error. */
export interface SessionRates {
  readonly windowSeconds: number;
  readonly sessions: number;
  readonly bytes: number;
  readonly byProtocol: Record<string, number>;
  readonly byAction: Record<string, number>;
  readonly byError: Record<string, number>;
}
