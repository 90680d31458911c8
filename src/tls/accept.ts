// The TLS server side: answers the client's peeked hello with an emulated identity. This is the first place where a byte goes
// to the client; it never dials and never decides.

import type { Socket } from 'node:net';
import { createServer, TLSSocket } from 'node:tls';
import type { Server } from 'node:tls';
import { FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Leaf, TlsVersion } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { noMoreKeyListeners } from './key-listeners.ts';
import { leafContext } from './leaf-contexts.ts';
import { alpnWire } from './offer.ts';
import type { SuiteStrength } from './suites.ts';

export interface AcceptOptions {
  /** The one ALPN name to answer with, or null to answer none. */
  readonly alpn: string | null;
  readonly minVersion: TlsVersion;
  /** Absent: whatever the client offers. A client is not shown a newer version than its server speaks. */
  readonly maxVersion?: TlsVersion;
  /** Absent: any. Nor is it answered in a stronger class of suites than its server agreed to. */
  readonly strongest?: SuiteStrength;
  /** False: the client asks for no staple, so that none need be looked for. */
  readonly staple?: boolean;
  readonly limits: Limits;
  /** Takes the TLS secrets, as NSS key log lines. */
  readonly secrets?: ((line: Buffer) => void) | null;
}

/**
 * Completes the client's handshake on `socket`, whose ClientHello is still (or again) in its read buffer. Rejects with
 * CLIENT_REJECTED_CERT, CLIENT_LEFT_SILENTLY, CLIENT_TLS_ALERT, CLIENT_TLS_TIMEOUT, NO_COMMON_TLS or (gone before we began) RESET_BY_CLIENT; the
 * socket is destroyed then.
 */
export function acceptTls(socket: Socket, leaf: Leaf, options: AcceptOptions): Promise<TLSSocket> {
  // A client that left while the server was asked: TLS on a closed socket would wait for its time limit.
  if (socket.destroyed) return Promise.reject(new FlowError('RESET_BY_CLIENT', 'before its TLS handshake', socket.errored ?? undefined));
  const { minVersion, maxVersion = 'TLSv1.3', strongest = 3, limits } = options;
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: leafContext(leaf, { minVersion, maxVersion, strongest }, limits),
    ...(options.staple === false ? {} : { server: staplerOf(leaf) }),
    ...(options.alpn === null ? {} : { ALPNProtocols: alpnWire([options.alpn]) }),
  });
  if (options.secrets) secured.on('keylog', options.secrets);
  noMoreKeyListeners(secured);
  // Whoever reads the socket listens too; this one covers the time between two readers and after the last.
  secured.on('error', ignored);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new FlowError('CLIENT_TLS_TIMEOUT')), options.limits.clientHandshakeMs);
    const settle = (): void => {
      clearTimeout(timer);
      secured.off('secure', onSecure);
      secured.off('_tlsError', onError);
      secured.off('error', onError);
      secured.off('end', onClose);
      secured.off('close', onClose);
    };
    const fail = (error: FlowError): void => {
      settle();
      secured.destroy();
      reject(error);
    };
    const onSecure = (): void => {
      settle();
      // Node 24: only tls.Server tells its sockets that the handshake is over; node:http2 waits for ever on one that does not know.
      Object.assign(secured, { secureConnecting: false });
      // TLS failures after the handshake come as `_tlsError` too; whoever reads the socket listens for `error`.
      secured.on('_tlsError', destroyWith);
      resolve(secured);
    };
    const onError = (error: Error): void => fail(clientTlsError(error));
    const onClose = (): void => fail(new FlowError('CLIENT_LEFT_SILENTLY'));
    secured.on('secure', onSecure);
    // Node 24: on a TLSSocket made by hand, handshake failures reach only this event; pinned by accept.test.ts.
    secured.on('_tlsError', onError);
    secured.on('error', onError);
    // With half-close allowed a FIN alone does not close the socket; before the handshake's end it is a farewell.
    secured.on('end', onClose);
    secured.on('close', onClose);
  });
}

// Listeners that stay keep what they close over: these close over nothing.
const ignored = (): void => {};
function destroyWith(this: TLSSocket, error: Error): void {
  this.destroy(error);
}

/** The code for an error of the client's side of TLS, during the handshake or after it (TLS 1.3 clients may refuse late). */
export function clientTlsError(error: Error): FlowError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return new FlowError(clientTlsCode(code), code === '' ? null : code, error);
}

function clientTlsCode(code: string): ErrorCode {
  if (/ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA|ACCESS_DENIED|UNKNOWN_PSK)/.test(code)) return 'CLIENT_REJECTED_CERT';
  if (/NO_SHARED_CIPHER|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_SUITABLE_|NO_SHARED_GROUP|UNKNOWN_PROTOCOL|WRONG_VERSION/.test(code)) return 'NO_COMMON_TLS';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'CLIENT_LEFT_SILENTLY';
  return 'CLIENT_TLS_ALERT';
}

/**
 * Node 24 asks for staples only through the events of a tls.Server. A server of its own for each leaf would cost a second secure context (30 of 84 KiB
 * for each name): a leaf gets an heir of one server that never listens, which differs from it in what it answers to that event.
 */
function staplerOf(leaf: Leaf): Server {
  const known = staplers.get(leaf);
  if (known !== undefined) return known;
  const asked = (_certificate: Buffer, _issuer: Buffer, answer: (error: Error | null, response: Buffer | null) => void): void => {
    const staple = leaf.staple();
    if (staple === null || Buffer.isBuffer(staple)) answer(null, staple);
    // A handshake without a staple is better than none: the leaf names the responder and the CRL as well.
    else void staple.then((response) => answer(null, response), () => answer(null, null));
  };
  stapling ??= createServer().on('OCSPRequest', () => { /* Its heirs answer; Node only counts who listens. */ });
  const emit = (event: string, ...details: Parameters<typeof asked>): boolean => {
    if (event === 'OCSPRequest') asked(...details);
    return event === 'OCSPRequest';
  };
  const stapler = Object.create(stapling, { emit: { value: emit } }) as Server;
  staplers.set(leaf, stapler);
  return stapler;
}

let stapling: Server | null = null;
const staplers = new WeakMap<Leaf, Server>();
