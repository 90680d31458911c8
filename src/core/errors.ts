// The error table: every way a flow can end other than well, with its stage, who must act, and what to tell them.
// Codes are stable and compared; texts may improve. docs/errors.md is generated from this table.

/** Where in a flow's life a code arises. */
export type ErrorStage = 'admit' | 'detect' | 'policy' | 'dial' | 'upstream-tls' | 'certs' | 'client-tls' | 'handler' | 'relay' | 'internal';
/** Whose action ends the trouble. */
export type ErrorActor = 'client' | 'server' | 'operator' | 'nobody' | 'developer';

interface ErrorRow {
  readonly stage: ErrorStage;
  readonly actor: ErrorActor;
  readonly text: string;
  readonly advice: string;
}

const row = (stage: ErrorStage, actor: ErrorActor, text: string, advice: string): ErrorRow => ({ stage, actor, text, advice });

export const errorTable = {
  SESSIONS_FULL: row('admit', 'operator', 'The gateway holds as many sessions as sessionsMax allows.', 'Raise limits.sessionsMax or add workers or gateways.'),
  CLIENT_SESSIONS_FULL: row('admit', 'client', 'This client holds as many sessions as sessionsPerClientMax allows.', 'Look at what the client does; raise limits.sessionsPerClientMax if it is right.'),
  NO_ORIGINAL_DST: row('admit', 'operator', 'The kernel does not know where the client meant to connect.', 'The connection was not redirected: check the nftables rules (`sallyport net show`), or use an explicit service.'),
  FIRST_BYTES_STALLED: row('detect', 'client', 'Too few first bytes came in time to tell the protocol.', 'Name the port server-first in policy, or allow a tunnel on this error.'),
  CLIENT_CLOSED_EARLY: row('detect', 'client', 'The client closed before its protocol could be told.', 'Nothing, unless it is frequent: then look at the client.'),
  HELLO_MALFORMED: row('detect', 'client', 'The ClientHello is not well formed.', 'Tunnel on this error, or update the client.'),
  HELLO_TOO_LARGE: row('detect', 'client', 'The ClientHello is longer than helloBytesMax.', 'Raise limits.helloBytesMax, or tunnel on this error.'),
  NOT_TLS: row('detect', 'client', 'The first bytes on an ssl service are not TLS.', 'Allow a tunnel on this error, or move the service to type tcp-tunnel.'),
  NOT_HTTP: row('detect', 'client', 'The first line is not an HTTP/1 request line.', 'Allow a tunnel on this error, or use another service type.'),
  PROXY_HEADER_MALFORMED: row('detect', 'operator', 'The PROXY protocol header is missing or broken.', 'Check the load balancer and the service\'s proxyProtocol list.'),
  SOCKS_MALFORMED: row('detect', 'client', 'The SOCKS request is not well formed.', 'Check the client\'s proxy settings.'),
  CONNECTION_DENIED: row('policy', 'operator', 'A rule of the connection or ssl stage denies this connection.', 'See the session\'s rule; `sallyport explain` shows why it matched.'),
  PROTOCOL_DENIED: row('policy', 'operator', 'A rule of the protocol stage denies this protocol (the detail names it).', 'See the session\'s rule; `sallyport explain` shows why it matched.'),
  REQUEST_DENIED: row('policy', 'operator', 'A rule denies this request.', 'See the session\'s rule; `sallyport explain` shows why it matched.'),
  AUTH_REQUIRED: row('policy', 'client', 'The proxy wants the client to log in.', 'Configure the client with a user of the service\'s auth file.'),
  DNS_FAILED: row('dial', 'server', 'The destination\'s name could not be resolved.', 'Check the name and upstream.dns.'),
  DIAL_REFUSED: row('dial', 'server', 'The destination refused the TCP connection.', 'Check that the server listens on that port.'),
  DIAL_TIMEOUT: row('dial', 'server', 'The destination did not answer the TCP connection in time.', 'Check routes and firewalls from the gateway.'),
  DIAL_UNREACHABLE: row('dial', 'server', 'There is no route to the destination.', 'Check the gateway\'s routes (IPv4 and IPv6).'),
  DIAL_LOOP: row('dial', 'operator', 'The destination is the gateway itself, or an address it may not dial for a client.', 'Exclude the gateway from redirection; upstream.allowLocal lets clients reach other local addresses.'),
  UPSTREAM_PROXY_FAILED: row('dial', 'operator', 'The upstream proxy refused or broke the connection.', 'Check upstream.proxy and its log.'),
  UPSTREAM_NOT_TLS: row('upstream-tls', 'server', 'The server does not answer in TLS.', 'Tunnel on this error, or add a tunnel rule.'),
  UPSTREAM_TLS_ALERT: row('upstream-tls', 'server', 'The server ended the TLS handshake.', 'Tunnel on this error, or lower upstream.minVersion for this server.'),
  UPSTREAM_TLS_TIMEOUT: row('upstream-tls', 'server', 'The server did not finish the TLS handshake in time.', 'Check the server; raise limits.upstreamHandshakeMs if it is only slow.'),
  UPSTREAM_CERT_EXPIRED: row('upstream-tls', 'server', 'The server\'s certificate has expired.', 'Its operator must renew it; a certificate rule can mirror, accept or tunnel.'),
  UPSTREAM_CERT_NOT_YET_VALID: row('upstream-tls', 'server', 'The server\'s certificate is not valid yet.', 'Check the clocks of server and gateway.'),
  UPSTREAM_CERT_UNTRUSTED: row('upstream-tls', 'server', 'The server\'s certificate comes from an issuer that is not trusted.', 'If it is yours, add its root to upstream.extraCa.'),
  UPSTREAM_CERT_INCOMPLETE: row('upstream-tls', 'server', 'The server does not send its intermediate certificates.', 'Its operator must send the chain.'),
  UPSTREAM_CERT_SELF_SIGNED: row('upstream-tls', 'server', 'The server\'s certificate is self-signed.', 'If it is yours, add it to upstream.extraCa.'),
  UPSTREAM_CERT_NAME: row('upstream-tls', 'server', 'The server\'s certificate does not carry the name asked for.', 'Check the name; the server may be the wrong one.'),
  UPSTREAM_CERT_REVOKED: row('upstream-tls', 'server', 'The server\'s certificate is revoked.', 'Do not trust this server until it has a new certificate.'),
  UPSTREAM_CERT_REVOCATION_UNKNOWN: row('upstream-tls', 'server', 'The revocation state of the server\'s certificate could not be learned.', 'Let the gateway reach its CRL or OCSP address, or soften the rule.'),
  UPSTREAM_CERT_WEAK: row('upstream-tls', 'server', 'The server\'s certificate has a key or hash that is too weak.', 'Its operator must replace it.'),
  UPSTREAM_CERT_INVALID: row('upstream-tls', 'server', 'The server\'s certificate or chain breaks the rules of RFC 5280.', 'Its operator must replace it.'),
  UPSTREAM_WANTS_CLIENT_CERT: row('upstream-tls', 'operator', 'The server requires a client certificate.', 'Tunnel (clientCert: tunnel), or configure upstream.clientCerts.'),
  UPSTREAM_OFFERS_CLIENT_CERT: row('upstream-tls', 'operator', 'The server would take a client certificate but does not require one.', 'Nothing, unless users need to log in with certificates: then tunnel.'),
  MINT_FAILED: row('certs', 'operator', 'The emulated certificate could not be made.', 'See the log; the upstream certificate may be malformed.'),
  MINT_QUEUE_FULL: row('certs', 'operator', 'Too many certificates are waiting to be made.', 'Raise limits.mintQueueMax or add workers.'),
  CA_EXPIRED: row('certs', 'operator', 'The issuer\'s certificate has expired.', 'Make or import a new one (`sallyport ca new`) and distribute it.'),
  CLIENT_REJECTED_CERT: row('client-tls', 'client', 'The client refused the emulated certificate.', 'Install the gateway\'s CA on the client, or tunnel pinned clients.'),
  CLIENT_LEFT_SILENTLY: row('client-tls', 'client', 'The client closed right after the TLS handshake without a word.', 'It may not trust the gateway\'s CA, or pin its own: see CLIENT_REJECTED_CERT.'),
  CLIENT_TLS_ALERT: row('client-tls', 'client', 'The client ended the TLS handshake.', 'See the log for the alert.'),
  CLIENT_TLS_TIMEOUT: row('client-tls', 'client', 'The client did not finish the TLS handshake in time.', 'Raise limits.clientHandshakeMs if the client is only slow.'),
  NO_COMMON_TLS: row('client-tls', 'client', 'The client offers no TLS version or cipher that the gateway may use.', 'Lower clientTls.minVersion for this client by rule, or tunnel on this error.'),
  HTTP_MALFORMED: row('handler', 'client', 'The HTTP message is broken.', 'The sender must be mended; a rule may list this code in tunnelOnError.'),
  HTTP_AMBIGUOUS: row('handler', 'client', 'Two parties could read the HTTP message\'s framing differently.', 'Always refused (request smuggling, RFC 9112 section 11.2): the sender must be mended.'),
  HTTP2_PROTOCOL: row('handler', 'client', 'The HTTP/2 peer broke the protocol.', 'The sender must be mended.'),
  HTTP2_FLOOD: row('handler', 'client', 'The HTTP/2 peer opens, resets or configures too fast.', 'See limits; the client is hostile or broken.'),
  SIP_MALFORMED: row('handler', 'client', 'The SIP stream cannot be framed without doubt.', 'The sender must be mended.'),
  SIP_TOO_LARGE: row('handler', 'client', 'A SIP message is larger than its limits allow.', 'Raise the sip limits if the sender is right.'),
  SIP_TOO_MANY: row('handler', 'client', 'One side sends more SIP messages a second than its limit allows; requests are refused (503), the session goes on.', 'Raise limits.sipMessagesPerSecondMax if the sender is right.'),
  TURN_MALFORMED: row('handler', 'client', 'The TURN stream cannot be framed.', 'The sender must be mended.'),
  TURN_TOO_LARGE: row('handler', 'client', 'A TURN frame is larger than its limit allows.', 'Raise the turn limits if the sender is right.'),
  IDLE_TIMEOUT: row('relay', 'nobody', 'Nothing moved for the idle limit.', 'Raise the idle limit if the silence was meant.'),
  RESET_BY_CLIENT: row('relay', 'client', 'The client reset the connection.', 'Nothing, unless it is frequent.'),
  RESET_BY_UPSTREAM: row('relay', 'server', 'The server reset the connection.', 'Nothing, unless it is frequent.'),
  KILLED_BY_OPERATOR: row('relay', 'operator', 'An operator ended the session.', 'Nothing.'),
  SHUTDOWN: row('relay', 'operator', 'The gateway shut down before the session ended.', 'Raise limits.shutdownGraceMs if sessions need longer.'),
  INTERNAL: row('internal', 'developer', 'A defect of the gateway.', 'Please report it with the log entry.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;
export const errorCodes = Object.keys(errorTable) as readonly ErrorCode[];

/** Whether a word is one of the table's codes. */
export function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(errorTable, word);
}

/** What `tunnelOnError: true` lists (CONTRACT, "Config"). */
export const tunnelOnErrorDefault: readonly ErrorCode[] = [
  'NOT_TLS', 'NOT_HTTP', 'HELLO_MALFORMED', 'HELLO_TOO_LARGE', 'FIRST_BYTES_STALLED', 'UPSTREAM_NOT_TLS', 'UPSTREAM_TLS_ALERT',
  'UPSTREAM_TLS_TIMEOUT', 'NO_COMMON_TLS', 'UPSTREAM_WANTS_CLIENT_CERT', 'MINT_FAILED', 'MINT_QUEUE_FULL',
];

/** What a rule may list besides: the rest never turns into a tunnel. */
export const tunnelOnErrorAllowed: readonly ErrorCode[] = [...tunnelOnErrorDefault, 'UPSTREAM_OFFERS_CLIENT_CERT', 'HTTP_MALFORMED', 'CA_EXPIRED'];

/**
 * A flow's failure. `cause` is what was caught, for the log; `detail` is a short fact for operators (never payload).
 * Expected failures carry no stack: building one costs more than the rest of the refusal.
 */
export class FlowError extends Error {
  override readonly name = 'FlowError';
  readonly code: ErrorCode;
  readonly detail: string | null;

  constructor(code: ErrorCode, detail: string | null = null, cause?: unknown) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = code === 'INTERNAL' ? limit : 0;
    super(detail === null ? errorTable[code].text : `${errorTable[code].text} (${detail})`, cause === undefined ? undefined : { cause });
    Error.stackTraceLimit = limit;
    this.code = code;
    this.detail = detail;
  }
}

/** The FlowError in a caught value; anything else is our defect. */
export function toFlowError(caught: unknown): FlowError {
  return caught instanceof FlowError ? caught : new FlowError('INTERNAL', caught instanceof Error ? caught.message : String(caught), caught);
}
