// How a flow's failure looks to a client that speaks TLS: an alert or a reset while it is unanswered, and what its leaving after the
// handshake means. The only place that says anything to a client on behalf of a failed TLS layer.

import type { ErrorCode } from '../core/errors.ts';
import { errorTable, FlowError, toFlowError } from '../core/errors.ts';
import type { Deps, Flow } from '../core/flow.ts';
import { resetSocket } from '../core/reset.ts';
import { clientTlsError } from '../tls/accept.ts';
import { plaintextAlert } from '../tls/alerts.ts';
import type { AlertName } from '../tls/alerts.ts';
import type { ClientHello } from '../tls/client-hello.ts';

/** Ends an unanswered client: as the server would have (a reset) where it cannot be reached, else with the alert that fits best. */
export function endUnanswered(flow: Flow, hello: ClientHello, error: FlowError): void {
  const { client, raw } = flow;
  if (client.destroyed || client.writableEnded) return;
  if (errorTable[error.code].stage === 'dial' && client === raw) {
    resetSocket(raw);
    return;
  }
  client.end(plaintextAlert(alertFor(error.code), hello.maxVersion));
}

function alertFor(code: ErrorCode): AlertName {
  if (code === 'NO_COMMON_TLS') return 'protocol_version';
  if (code === 'HELLO_MALFORMED') return 'decode_error';
  if (code === 'HELLO_TOO_LARGE') return 'record_overflow';
  switch (errorTable[code].stage) {
    case 'policy': return 'access_denied';
    case 'upstream-tls': return 'handshake_failure';
    case 'admit': case 'detect': case 'dial': case 'certs': case 'client-tls': case 'handler': case 'relay': case 'internal': return 'internal_error';
  }
}

/**
 * Inside TLS, before the first byte: an alert says that the certificate was refused; leaving within clientSilentLeaveMs of the handshake
 * suggests it (NSS and SChannel clients just close). Anything else is what it was.
 */
export function leftAfterHandshake(flow: Flow, deps: Deps, error: FlowError): FlowError {
  if (error.code === 'RESET_BY_CLIENT' && error.cause instanceof Error) {
    const refined = clientTlsError(error.cause);
    if (refined.code === 'CLIENT_REJECTED_CERT') return refined;
  }
  const soon = performance.now() - (flow.openedAtMs ?? 0) <= deps.limits.clientSilentLeaveMs;
  const left = error.code === 'CLIENT_CLOSED_EARLY' || error.code === 'RESET_BY_CLIENT';
  return left && soon ? new FlowError('CLIENT_LEFT_SILENTLY', null, error) : error;
}

/**
 * Runs HTTP/2 inside TLS where the server spoke first, as its servers do. A client that has not sent its preface has heard nothing it
 * could use: when it, and not the server, ends within clientSilentLeaveMs of the handshake, this rejects with CLIENT_LEFT_SILENTLY; else as
 * `work` does. Both ends are closed then: a FIN that came before node:http2 took the socket is lost to it (Node 24).
 */
export async function orLeftWordless<T>(flow: Flow, deps: Deps, work: () => Promise<T>): Promise<T> {
  const { client, upstream, session } = flow;
  let first: 'client' | 'upstream' | null = null;
  let afterMs = Number.POSITIVE_INFINITY;
  for (const [side, socket] of [['client', client], ['upstream', upstream]] as const) {
    const note = (): void => {
      first ??= side;
      if (first === 'client') afterMs = Math.min(afterMs, performance.now() - (flow.openedAtMs ?? 0));
    };
    socket?.once('end', note).once('close', note);
  }
  client.once('end', () => {
    if (client.bytesRead > 0) return;
    client.destroy();
    upstream?.destroy();
  });
  // Node 24: a TLSSocket counts what it decrypted, also where node:http2 reads it. Whoever made a request has said something in any case.
  const wordless = (): boolean => first === 'client' && afterMs <= deps.limits.clientSilentLeaveMs && client.bytesRead === 0 && (session.details.http?.requests ?? 0) === 0;
  try {
    const done = await work();
    if (!wordless()) return done;
  } catch (caught) {
    if (toFlowError(caught).code !== 'RESET_BY_CLIENT' || !wordless()) throw caught;
  }
  throw new FlowError('CLIENT_LEFT_SILENTLY');
}
