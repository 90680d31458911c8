// Every bound of the gateway: waits, buffers, queues, caches and maps, each with its unit, default and reason.
// `limits:` in the config overrides rows by name; docs/config.md lists them from here.

interface LimitRow {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: 'ms' | 'bytes' | 'count' | 'per second';
  readonly why: string;
}

const ms = (value: number, min: number, max: number, why: string): LimitRow => ({ default: value, min, max, unit: 'ms', why });
const bytes = (value: number, min: number, max: number, why: string): LimitRow => ({ default: value, min, max, unit: 'bytes', why });
const count = (value: number, min: number, max: number, why: string): LimitRow => ({ default: value, min, max, unit: 'count', why });
const rate = (value: number, min: number, max: number, why: string): LimitRow => ({ default: value, min, max, unit: 'per second', why });

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const kiB = 1024;
const miB = 1024 * kiB;

export const limitTable = {
  // Admission
  sessionsMax: count(20_000, 1, 1_000_000, 'Memory: about 60 KiB for each held intercepted session; over all workers.'),
  sessionsPerClientMax: count(2_000, 1, 1_000_000, 'One client cannot take every place; high enough for a NAT with a few dozen people behind it.'),
  listenBacklog: count(1024, 1, 65_535, 'Connections the kernel holds while the event loop is busy.'),

  // Peek and detection
  peekBytesMax: bytes(16 * kiB, 512, 256 * kiB, 'Bytes held per direction while the protocol is not known; every detector decides below it.'),
  helloBytesMax: bytes(64 * kiB, 4 * kiB, 256 * kiB, 'A ClientHello over all its records; post-quantum hellos are near 2 KiB, padding and ECH may add to it.'),
  detectMs: ms(5 * second, 50, 5 * minute, 'Longest wait for first bytes that tell a protocol, counted from the first byte.'),
  detectSilenceMs: ms(10 * second, 50, 10 * minute, 'Longest wait for a first byte from either side before the flow counts as unknown.'),
  detectRaceMs: ms(300, 0, 1 * minute, 'Silence after which the upstream is dialled so that a server that speaks first is heard.'),
  fingerprintsMax: count(256, 1, 100_000, 'ClientHellos whose JA3 and JA4 are remembered; about 1 KiB each.'),
  fingerprintBytesMax: bytes(4 * kiB, 256, 64 * kiB, 'Lists of one ClientHello that are kept with its JA3 and JA4, 8 bytes for each number; of larger ones nothing is remembered.'),
  depthMax: count(4, 1, 16, 'Layers of TLS and proxies inside each other; deeper nesting is relayed unparsed.'),
  pseudoHelloMs: ms(10 * second, 100, 5 * minute, 'Wait for a server\'s answer to a hello that may be MS-TURN pseudo-TLS.'),

  socksMs: ms(10 * second, 100, 5 * minute, 'Each step of a SOCKS client until its request is whole.'),

  // Users and senders
  loginCacheMs: ms(5 * minute, 0, 1 * day, 'How long a right login is believed without hashing it again; a changed password counts at once.'),
  loginCacheMax: count(10_000, 0, 1_000_000, 'Right logins remembered for each users file, in each process.'),
  loginsPendingMax: count(256, 1, 100_000, 'Logins being hashed for one users file; more at once count as wrong.'),
  usersMax: count(100_000, 1, 10_000_000, 'Users of one file.'),
  proxyHeaderBytesMax: bytes(4 * kiB, 107, 64 * kiB, 'A PROXY protocol header with its TLVs; version 1 ends at 107 bytes by itself.'),
  proxyHeaderMs: ms(5 * second, 50, 5 * minute, 'Wait for the whole PROXY protocol header of a listed sender.'),

  // Dialling
  dialMs: ms(15 * second, 100, 5 * minute, 'TCP connect to the destination, all addresses together.'),
  dialAttemptMs: ms(250, 10, 1 * minute, 'Head start of one address family before the next is tried as well (RFC 8305).'),
  dnsMs: ms(5 * second, 100, 1 * minute, 'One name look-up.'),
  dnsCacheMax: count(4_096, 0, 1_000_000, 'Names remembered.'),
  dnsCacheMs: ms(30 * second, 0, 1 * hour, 'How long a resolved name is believed.'),
  upstreamProxyMs: ms(30 * second, 100, 5 * minute, 'The upstream proxy\'s answer, from the connection to it: it dials meanwhile.'),

  // TLS
  upstreamHandshakeMs: ms(15 * second, 100, 5 * minute, 'TLS handshake with the server, from the first byte sent.'),
  clientHandshakeMs: ms(15 * second, 100, 5 * minute, 'TLS handshake with the client, from our ServerHello.'),
  clientCertAlertWaitMs: ms(300, 10, 1 * minute, 'TLS 1.3: wait for the alert of a server that requires a client certificate before the client is answered.'),
  clientSilentLeaveMs: ms(3 * second, 0, 1 * minute, 'A client that closes without a byte this soon after the handshake is taken to have refused the certificate.'),
  upstreamContextsMax: count(256, 8, 10_000, 'Cached secure contexts for upstream, one for each class of client offer.'),
  serverSessionsMax: count(1_000, 0, 1_000_000, 'Servers whose TLS sessions are kept for resumption, for each name, offer and rule; about 4 KiB each. 0: none is ever resumed.'),
  serverTicketsMax: count(8, 1, 1_000, 'TLS 1.3 tickets kept of one server: each serves one connection.'),
  serverSessionBytesMax: bytes(8 * kiB, 512, 64 * kiB, 'One TLS session of a server, its certificate included; larger ones are not kept.'),
  serverSessionsWaitingMax: count(4, 1, 100, 'TLS sessions of one connection that wait for the judgement of its certificate; servers give one or two.'),
  serverDeclinesMax: count(3, 1, 1_000, 'Offers in a row that a server may turn down before it is offered nothing until serverSessionMs is up: some give sessions and never take one.'),
  serverSessionMs: ms(1 * hour, 0, 7 * day, 'After this a server shows its certificate in a full handshake again. 0: none is ever resumed.'),
  ticketLifetimeMs: ms(2 * hour, 0, 7 * day, 'How long a client may resume.'),

  // Certificates
  identitiesMax: count(10_000, 1, 1_000_000, 'Emulated certificates held, without their TLS contexts; a few KiB each.'),
  leafContextsMax: count(2_000, 1, 1_000_000, 'TLS contexts of emulated certificates in each process (not of a service), the ones used last kept; about 27 KiB each. A name whose context was dropped costs 0.2 ms more the next time.'),
  spareContextsMax: count(8, 0, 100, 'TLS contexts that wait for the next emulated certificate in each process (not of a service), one for each range of versions and class of suites; about 30 KiB each. 0: each is made while its client waits.'),
  judgedMax: count(10_000, 0, 1_000_000, 'Server certificates found faultless that are remembered with the name asked for; about 0.3 KiB each. Dates and revocation are looked at each time.'),
  mintQueueMax: count(1_000, 1, 100_000, 'Certificates waiting to be made; beyond it flows fail with MINT_QUEUE_FULL.'),
  mirroredSanBytesMax: bytes(16 * kiB, 1 * kiB, 1 * miB, 'Subject alternative names copied from a server; above it the leaf carries only the name asked for.'),
  upstreamCertBytesMax: bytes(64 * kiB, 4 * kiB, 1 * miB, 'A server certificate that is looked into; larger ones count as invalid.'),
  leafDaysMax: count(90, 1, 825, 'Days an emulated leaf is valid at most; Apple refuses more than 825.'),
  leafKeyLifetimeMs: ms(1 * day, 1 * minute, 30 * day, 'Leaf keys are replaced this often.'),
  crlRequestBytesMax: bytes(8 * kiB, 512, 64 * kiB, 'A request head on the CRL listener.'),
  ocspRequestBytesMax: bytes(4 * kiB, 256, 64 * kiB, 'An OCSP request; real ones are about 100 bytes.'),
  crlRequestMs: ms(10 * second, 100, 5 * minute, 'A request on the CRL listener, from the connection to its last byte.'),
  crlConnectionsMax: count(512, 1, 100_000, 'Connections to the CRL listener.'),
  ocspSignaturesPerSecondMax: rate(200, 1, 100_000, 'OCSP answers signed anew in one process; beyond it clients are told to try later (an RSA signature takes half a millisecond).'),
  ocspAnswersMax: count(10_000, 1, 1_000_000, 'Signed OCSP answers held for reuse and stapling; about 0.5 KiB each.'),
  issuedMax: count(100_000, 100, 10_000_000, 'Issued leaves recorded (for `ca revoke HOST`); about 0.3 KiB each in the state database.'),
  stateCheckMs: ms(1 * second, 50, 1 * minute, 'How often a process looks whether another has changed ledger or CRL in the state database.'),
  stateWaitMs: ms(5 * second, 10, 1 * minute, 'How long a change of CRL or ledger waits for another process that is writing to the state database.'),
  stateOpenMs: ms(1 * second, 10, 1 * minute, 'How long a process that opens a new state database waits at least for others that are making it at the same time.'),
  stateOpenRetryMs: ms(10, 1, 1 * second, 'Pause between two tries meanwhile: SQLite does not wait there by itself.'),
  stateRecordWaitMs: ms(50, 0, 5 * second, 'The same for issued leaves, learned bypasses and closed sessions: they hold up their process, and can be tried again.'),
  stateSaveMs: ms(500, 10, 1 * minute, 'Issued leaves, learned bypasses and closed sessions of this time are saved together.'),
  stateSaveMax: count(500, 1, 100_000, 'Closed sessions saved in one go; a millisecond for about a hundred.'),
  stateCheckpointMs: ms(10 * second, 100, 1 * hour, 'How often the primary process moves what was saved from the log of the state database into its file.'),
  stateLogBytesMax: bytes(64 * miB, 64 * kiB, 4096 * miB, 'The log of the state database: when it is longer at such a move, it is cut to nothing at once, and writers wait that long; otherwise steady writers would make it grow for ever.'),
  revokedMax: count(100_000, 1, 10_000_000, 'Serials a CRL may list.'),

  // What server certificates point at
  certificateFetchesMax: count(64, 1, 10_000, 'Issuers, CRLs and OCSP answers of servers that are fetched at once; beyond it they count as not to be had.'),
  issuerFetchMs: ms(3 * second, 100, 1 * minute, 'Fetching one issuer that a server does not send; its client waits.'),
  issuerBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'One fetched issuer, or a bundle of them.'),
  issuersFetchedMax: count(1_000, 0, 100_000, 'Addresses of issuers remembered, with what was there.'),
  issuerCacheMs: ms(1 * day, 0, 30 * day, 'How long a fetched issuer is believed to be the one at its address.'),
  revocationWaitMs: ms(1 * second, 0, 1 * minute, 'How long a first flow waits for the revocation state of a server\'s certificate; the check goes on without it.'),
  revocationHeadStartMs: ms(200, 0, 1 * minute, 'Head start of one responder or CRL of a certificate before the next is asked as well.'),
  revocationFetchMs: ms(10 * second, 100, 5 * minute, 'Fetching one CRL or OCSP answer.'),
  revocationRetryMs: ms(1 * minute, 0, 1 * day, 'Pause before a revocation state or an issuer that could not be had is asked for again.'),
  revocationCacheMs: ms(4 * day, 0, 30 * day, 'How long a revocation state is believed at most; its own end may come first.'),
  revocationStatesMax: count(20_000, 1, 1_000_000, 'Certificates whose revocation state is remembered.'),
  serverOcspBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'An OCSP answer about a server\'s certificate, stapled or fetched.'),
  serverCrlBytesMax: bytes(16 * miB, 1 * kiB, 256 * miB, 'One CRL about servers\' certificates.'),
  serverCrlsBytesMax: bytes(64 * miB, 0, 1024 * miB, 'Such CRLs held together; the oldest goes first.'),

  // HTTP
  httpHeadBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'One request or response head.'),
  httpHeadersMax: count(200, 8, 10_000, 'Fields in one head.'),
  httpPipelineMax: count(64, 1, 10_000, 'Requests sent ahead of their responses on one connection.'),
  httpChunkLineBytesMax: bytes(4 * kiB, 32, 64 * kiB, 'A chunk-size line with its extensions.'),
  httpTrailerBytesMax: bytes(16 * kiB, 256, 1 * miB, 'A trailer section.'),
  httpHeadMs: ms(60 * second, 100, 1 * hour, 'A request or response head, from its first byte to its end.'),
  httpIdleMs: ms(5 * minute, 100, 1 * day, 'An HTTP connection on which nothing moves.'),

  proxyOriginsMax: count(16, 1, 1_000, 'Servers that one client of the explicit proxy is connected to at once; the one unused for longest is closed.'),

  http2StreamsMax: count(128, 1, 10_000, 'Requests open at once on one HTTP/2 connection.'),
  http2StreamWindowBytes: bytes(256 * kiB, 64 * kiB, 16 * miB, 'What one HTTP/2 stream may have on its way to us unread.'),
  http2ConnectionWindowBytes: bytes(1 * miB, 64 * kiB, 64 * miB, 'What one HTTP/2 connection may have on its way to us at once. Node gives it back as data arrives, read or not: what is held unread is bounded by http2StreamsMax times http2StreamWindowBytes.'),
  http2TrailersLookMs: ms(5, 1, 1 * second, 'Between two looks at whether the trailers of an early answer have left, before the rest of its upload is stopped: Node has no event that tells.'),
  http2ResetsPerSecondMax: rate(300, 1, 100_000, 'Streams a client may reset in one second before the connection ends with HTTP2_FLOOD (rapid reset); more than http2StreamsMax, which a closed page resets at once.'),
  http2SettingsPerSecondMax: rate(32, 1, 10_000, 'SETTINGS of a client in one second before the connection ends with HTTP2_FLOOD.'),
  http2SettingsMs: ms(1 * second, 0, 1 * minute, 'Wait for a server\'s SETTINGS before the session with its client begins: what they offer is then offered at once. Without them it begins all the same.'),
  http2AuthoritiesMax: count(64, 1, 10_000, 'Authorities of one HTTP/2 connection whose verdict is remembered.'),

  // SIP
  sipStartLineBytesMax: bytes(8 * kiB, 256, 1 * miB, 'A SIP start line.'),
  sipHeadersBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'The header part of one SIP message.'),
  sipBodyBytesMax: bytes(1 * miB, 0, 64 * miB, 'A SIP body; Skype for Business sends XML of tens of KiB.'),
  sipHeadersMax: count(512, 16, 20_000, 'Header lines of one SIP message; more is refused as too large.'),
  sipSdpBytesMax: bytes(16 * kiB, 0, 1 * miB, 'A session description that is looked into; it is held only when it comes in pieces.'),
  sipRefusedInvitesMax: count(64, 1, 10_000, 'Refused INVITEs whose ACK is still awaited and swallowed.'),
  sipRefuseMs: ms(3 * second, 10, 1 * minute, 'Wait for a first whole request so that a denied connection is told why in SIP.'),
  sipMessagesPerSecondMax: rate(2_000, 1, 1_000_000, 'Messages of one connection in each direction; more is counted in limits_hit_total, and requests among it are refused (503) where sip rules exist.'),
  sipRateMs: ms(10 * second, 1 * second, 5 * minute, 'How long messages are counted for the rates that a SIP session shows.'),
  sipDialogsMax: count(1_000, 1, 100_000, 'Dialogs watched on one connection; older ones are forgotten.'),
  sipRegistrationsMax: count(1_000, 1, 100_000, 'Registrations watched on one connection.'),
  sipIdleMs: ms(60 * minute, 1 * second, 7 * day, 'A SIP connection on which nothing moves, keep-alives included.'),

  // TURN
  turnMessageBytesMax: bytes(8 * kiB, 256, 64 * kiB, 'A STUN or TURN message that is looked into; larger ones pass unread, or end the flow where turn rules exist.'),
  turnPeersMax: count(256, 1, 100_000, 'Peers counted on one allocation.'),
  turnAllocationsMax: count(16, 1, 1_000, 'Allocations watched on one connection.'),
  turnPendingMax: count(64, 1, 10_000, 'Requests waiting for their response on one connection.'),
  turnIdleMs: ms(15 * minute, 1 * second, 7 * day, 'A TURN connection on which nothing moves; allocations live 10 minutes.'),
  turnTickMs: ms(5 * second, 100, 5 * minute, 'How often the lifetimes of a connection\'s allocations are checked and its counts reach the metrics.'),
  turnRefusalMs: ms(2 * second, 10, 1 * minute, 'Wait for the first request of a TURN client that is refused, so that it can be told why in TURN\'s words.'),

  // Relay
  relayIdleMs: ms(60 * minute, 1 * second, 7 * day, 'A relay or tunnel on which nothing moves.'),
  halfOpenMs: ms(2 * minute, 100, 1 * day, 'How long one direction may go on after the other has ended without a byte moving.'),
  lingerMs: ms(2 * second, 0, 1 * minute, 'How long a failed flow\'s last words may take to leave before its sockets are dropped.'),
  injectBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'Answers of our own that wait for a gap between frames of the other direction.'),


  // Sessions and admin
  sessionsClosedMax: count(10_000, 0, 1_000_000, 'Closed sessions kept for the console and the API, in each process.'),
  sessionDetailsMax: count(32, 1, 1_000, 'Entries of one list in a session\'s details.'),
  sessionTextBytesMax: bytes(256, 32, 4 * kiB, 'One text from the wire shown in a session.'),
  apiPageMax: count(1_000, 1, 10_000, 'Sessions in one API answer.'),
  apiBodyBytesMax: bytes(64 * kiB, 1 * kiB, 1 * miB, 'A request body of the admin API.'),
  adminConnectionsMax: count(256, 1, 10_000, 'Connections to the admin listener.'),
  streamsMax: count(32, 1, 1_000, 'Live session streams.'),
  streamPollMs: ms(1 * second, 50, 1 * minute, 'How often a live session stream looks for changes.'),
  streamHeartbeatMs: ms(15 * second, 1 * second, 5 * minute, 'A quiet live stream says a word this often, so that proxies keep it open.'),
  adminRequestMs: ms(10 * second, 100, 5 * minute, 'A request to the admin API, from its first byte to its end.'),
  logBatchMs: ms(100, 0, 10 * second, 'How long a line of the access log or request log waits for others, so that a write to the disk serves many.'),
  accessLogQueueBytesMax: bytes(4 * miB, 4 * kiB, 256 * miB, 'Access log lines, and likewise lines of the request log, waiting for the disk; beyond it they are dropped and counted.'),
  captureFileBytesMax: bytes(64 * miB, 64 * kiB, 16 * 1024 * miB, 'One file of a decrypted capture; the next one is begun then.'),
  captureFilesMax: count(4, 1, 10_000, 'Capture files kept for each process; the oldest is removed.'),
  captureQueueBytesMax: bytes(8 * miB, 64 * kiB, 1024 * miB, 'Captured packets, and likewise TLS secrets, waiting for the disk; beyond it they are dropped and counted.'),
  captureMs: ms(1 * hour, 1 * second, 7 * day, 'Longest capture: one that is forgotten ends by itself.'),
  metricWordsMax: count(256, 16, 10_000, 'Words of one metric label that no table lists (methods, services); beyond it they count as `other`.'),
  workerCallsMax: count(256, 1, 10_000, 'Questions to one worker that wait for their answer; more are refused.'),
  workerAnswerMs: ms(2 * second, 100, 1 * minute, 'How long the primary waits for a worker\'s part of an answer.'),
  workerRestartMs: ms(1 * second, 10, 5 * minute, 'Pause before a worker that ended unasked is replaced.'),
  configCheckMs: ms(2 * second, 20, 1 * hour, 'How often the config and the files it names are looked at for changes; one that has stopped changing is reloaded.'),
  shutdownGraceMs: ms(10 * second, 0, 1 * day, 'How long flows may go on after SIGTERM.'),
  toolMs: ms(10 * second, 100, 5 * minute, 'One run of nft or ip by `sallyport net` and `doctor`.'),
  doctorProbeMs: ms(5 * second, 100, 1 * minute, 'One probe of `sallyport doctor`: a CRL fetch, a name look-up, a STUN request.'),
  learnedSweepMs: ms(30 * second, 100, 1 * hour, 'How often learned bypasses and refusals that have run out are dropped; bypasses end on time by themselves.'),
  learnedMax: count(10_000, 1, 1_000_000, 'Learned bypasses in force, and likewise clients and names of which refusals are remembered.'),
  policyListMax: count(2_000_000, 1, 50_000_000, 'Names in one list file of a policy.'),
  policyVerdictsMax: count(100_000, 100, 10_000_000, 'Verdict objects kept for reuse, one for each service and rules that met; beyond it they are made anew.'),
} as const satisfies Record<string, LimitRow>;

export type LimitName = keyof typeof limitTable;
/** The limits in force: a number for every row. */
export type Limits = Readonly<Record<LimitName, number>>;
export const limitNames = Object.keys(limitTable) as readonly LimitName[];

/** The defaults, with the overrides of a config (already checked against min and max). */
export function limitsWith(overrides: Partial<Record<LimitName, number>> = {}): Limits {
  const defaults = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Record<LimitName, number>;
  return { ...defaults, ...overrides };
}
