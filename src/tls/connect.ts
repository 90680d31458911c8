// The TLS client side: one handshake with the server, in the client's terms (SNI, ALPN, groups), through shared secure
// contexts. It reports what is wrong with the certificate and whether a client certificate is wanted; it never decides.

import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createSecureContext } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import { FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { ClientCertificate } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { noMoreKeyListeners } from './key-listeners.ts';
import { alpnWire } from './offer.ts';
import type { OfferClass } from './offer.ts';
import { keepReadBufferSmall } from './read-buffer.ts';
import { useRoots } from './roots.ts';
import { noResumption } from './server-sessions.ts';
import type { Resumption } from './server-sessions.ts';
import { suitesToOffer } from './suites.ts';

export interface UpstreamOptions {
  readonly servername: string | null;
  readonly alpn: readonly string[];
  readonly context: SecureContext;
  readonly limits: Limits;
  /** Takes the TLS secrets, as NSS key log lines. */
  readonly secrets?: ((line: Buffer) => void) | null;
}

export interface UpstreamTls {
  readonly socket: TLSSocket;
  /** Version and suite agreed on, in OpenSSL's words; null and empty once the connection is gone. */
  readonly version: string | null;
  readonly suite: string;
  /** The server's, as its last full handshake showed it. */
  readonly certificate: X509Certificate;
  /** The session was resumed: the server showed no certificate now. */
  readonly resumed: boolean;
  /** OpenSSL's word on the chain, null when it is fine. The name is not judged here. */
  readonly chainError: string | null;
  /** Whether the server asked for a client certificate and goes on without one. A server that requires one rejects. */
  readonly offersClientCert: boolean;
  /** The OCSP answer that came along, as it came; null without one. */
  readonly staple: Buffer | null;
  /** Where the sessions go that the server gives. */
  readonly resumption: Resumption;
}

/**
 * Shakes hands with the server on a connected TCP socket. Rejects with UPSTREAM_NOT_TLS, UPSTREAM_TLS_ALERT, UPSTREAM_TLS_TIMEOUT or
 * UPSTREAM_WANTS_CLIENT_CERT; the socket is destroyed then. Certificates are reported, not refused. `resumption`: what to offer the server, and where its
 * sessions go; absent: nothing and nowhere.
 */
export async function connectTls(raw: Socket, options: UpstreamOptions, resumption: Resumption = noResumption): Promise<UpstreamTls> {
  const socket = connect({
    socket: raw,
    secureContext: options.context,
    servername: options.servername ?? undefined,
    ALPNProtocols: options.alpn.length === 0 ? undefined : alpnWire(options.alpn),
    rejectUnauthorized: false,
    session: resumption.session ?? undefined,
    requestOCSP: true,
    checkServerIdentity: anyName,
  });
  leaveOutLegacyCertificate(socket);
  keepReadBufferSmall(socket);
  resumption.offered();
  if (resumption.wanted) keepSessions(socket, resumption);
  if (options.secrets) socket.on('keylog', options.secrets);
  // Whoever reads the socket listens too; this one covers the time between two readers, when an error must not be an uncaught one.
  socket.on('error', ignored);
  let staple: Buffer | null = null;
  const onStaple = (response: Buffer | null): void => { staple = response; };
  socket.once('OCSPResponse', onStaple);
  try {
    await secured(socket, raw, options.limits);
    socket.off('OCSPResponse', onStaple);
    const asked = sawCertificateRequest(socket);
    // Asked for once: each answer is an object made for it.
    const agreed = { version: socket.getProtocol(), suite: suiteOf(socket) };
    if (asked && agreed.version === 'TLSv1.3') await settledClientCert(socket, options.limits);
    noMoreKeyListeners(socket);
    const shown = resumption.shown;
    // Only of a session that was proven then: what the server showed is judged again with what is known now.
    if (shown !== null && socket.isSessionReused()) return { socket, ...agreed, ...shown, resumed: true, offersClientCert: asked, staple, resumption };
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw new FlowError('UPSTREAM_CERT_INVALID', 'the server sent no certificate');
    const chainError = socket.authorizationError as unknown;
    return {
      socket, ...agreed, certificate, resumed: false, chainError: chainError === null || chainError === undefined ? null : errorWord(chainError),
      offersClientCert: asked, staple, resumption,
    };
  } catch (caught) {
    socket.destroy();
    // It asks who we are now: what it gave before would spare it the question.
    if (caught instanceof FlowError && caught.code === 'UPSTREAM_WANTS_CLIENT_CERT') resumption.drop();
    throw caught;
  }
}

// Listeners that stay keep what they close over: these close over as little as can be.
const ignored = (): void => {};
/** Empty once the connection is gone: Node then answers null, whatever its types say. */
function suiteOf(socket: TLSSocket): string {
  const cipher: { name: string } | null = socket.getCipher();
  return cipher?.name ?? '';
}

/** The name is judged in verify.ts, natively and more strictly. */
const anyName = (): undefined => undefined;
function keepSessions(socket: TLSSocket, resumption: Resumption): void {
  socket.on('session', (session: Buffer) => resumption.arrived(session));
}

/**
 * Node 24: before it calls checkServerIdentity, tls.connect builds the legacy object of the whole chain, a tenth of a handshake's CPU, for
 * our check that ignores it. Until a better switch exists, this one socket has no such object; connect.test.ts tells when Node stops asking.
 */
function leaveOutLegacyCertificate(socket: TLSSocket): void {
  Object.defineProperty(socket, 'getPeerCertificate', { value: noLegacyCertificate });
}

const noLegacyCertificate = (): object => ({});

function secured(socket: TLSSocket, raw: Socket, limits: Limits): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new FlowError('UPSTREAM_TLS_TIMEOUT')), limits.upstreamHandshakeMs);
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('secureConnect', onSecure);
      socket.off('error', onError);
      socket.off('close', onClose);
    };
    const fail = (error: FlowError): void => {
      settle();
      reject(error);
    };
    const onSecure = (): void => {
      settle();
      resolve();
    };
    const onError = (error: Error): void => fail(upstreamTlsError(error, socket, raw));
    const onClose = (): void => fail(new FlowError('UPSTREAM_TLS_ALERT', 'closed during the handshake'));
    socket.on('secureConnect', onSecure);
    socket.on('error', onError);
    socket.on('close', onClose);
  });
}

/**
 * TLS 1.3: a server that requires a client certificate says so only after the handshake. Whatever comes first tells: an alert
 * (required), application data or a session ticket (merely offered), or silence for clientCertAlertWaitMs (offered).
 */
function settledClientCert(socket: TLSSocket, limits: Limits): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(null), limits.clientCertAlertWaitMs);
    const settle = (error: FlowError | null): void => {
      clearTimeout(timer);
      socket.off('session', onFine);
      socket.off('readable', onFine);
      socket.off('error', onError);
      socket.off('close', onClose);
      if (error === null) resolve();
      else reject(error);
    };
    // Node 24: what is written while a ticket is being read (this event) stays in the TLS layer until something else arrives.
    const onFine = (): void => void setImmediate(() => settle(null));
    const onError = (error: Error): void => settle(new FlowError('UPSTREAM_WANTS_CLIENT_CERT', codeOf(error), error));
    const onClose = (): void => settle(new FlowError('UPSTREAM_WANTS_CLIENT_CERT', 'closed after the handshake'));
    socket.on('session', onFine);
    socket.on('readable', onFine);
    socket.on('error', onError);
    socket.on('close', onClose);
  });
}

/** Codes that OpenSSL gives when the peer's bytes are not TLS at all. */
const notTls = /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|HTTPS_PROXY_REQUEST|BAD_RECORD_TYPE|RECORD_LAYER_FAILURE|UNKNOWN_PROTOCOL|UNEXPECTED_MESSAGE|LENGTH_MISMATCH|BAD_PACKET/;

function upstreamTlsError(error: Error, socket: TLSSocket, raw: Socket): FlowError {
  const code = codeOf(error);
  if (notTls.test(code)) return new FlowError('UPSTREAM_NOT_TLS', code, error);
  const failure: ErrorCode = sawCertificateRequest(socket) ? 'UPSTREAM_WANTS_CLIENT_CERT' : 'UPSTREAM_TLS_ALERT';
  return new FlowError(failure, raw.bytesRead === 0 ? 'closed without an answer' : code, error);
}

/**
 * Node 24: on a client, shared signature algorithms are known exactly when the server sent a CertificateRequest. Null, whatever the
 * types say, once the connection is gone.
 */
function sawCertificateRequest(socket: TLSSocket): boolean {
  const shared: readonly string[] | null = socket.getSharedSigalgs();
  return shared !== null && shared.length > 0;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function errorWord(value: unknown): string {
  if (typeof value === 'string') return value;
  return value instanceof Error ? codeOf(value) : String(value);
}

/** A client certificate and its place in the list, which names it in keys. */
export interface ShownCertificate {
  readonly index: number;
  readonly certificate: ClientCertificate;
}

/** Shared secure contexts of one trust, one for each class of client offer. */
export class UpstreamContexts {
  readonly #contexts = new Map<string, SecureContext>();
  readonly #max: number;
  readonly #roots: readonly X509Certificate[];

  constructor(limits: Limits, roots: readonly X509Certificate[]) {
    this.#roots = roots;
    this.#max = limits.upstreamContextsMax;
  }

  /**
   * The context for an offer; made on first use, the oldest dropped beyond upstreamContextsMax. `quick`: the client offers
   * TLS_AES_128_GCM_SHA256, so it may come first. `shown`: a client certificate for the server, shown if it asks.
   */
  for(offer: OfferClass, quick = true, shown: ShownCertificate | null = null): SecureContext {
    const key = `${offer.key}${quick ? '' : '/aes256'}${shown === null ? '' : `/certificate ${String(shown.index)}`}`;
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    // A reload may have been refused, or taken while this trust still has flows.
    useRoots(this.#roots);
    const context = createSecureContext({
      minVersion: offer.minVersion,
      maxVersion: offer.maxVersion,
      ecdhCurve: offer.groups,
      ciphers: suitesToOffer(offer.minVersion, quick, offer.weakest),
      ...(shown === null ? {} : { cert: shown.certificate.certPem, key: shown.certificate.keyPem }),
    });
    const oldest = this.#contexts.keys().next();
    if (this.#contexts.size >= this.#max && oldest.done !== true) this.#contexts.delete(oldest.value);
    this.#contexts.set(key, context);
    return context;
  }
}
