// The plain HTTP listener for CRL, OCSP and the CA certificate: no policy, no authentication, bounded requests, quick answers (a client's
// TLS handshake is waiting for them). It hands everything to the revocation endpoints and serves nothing else.

import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Revocation, RevocationAnswer } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';

export interface RevocationListenerOptions {
  /** Address to listen on; `::` is dual stack. */
  readonly host: string;
  readonly port: number;
  readonly revocation: Revocation;
  readonly limits: Limits;
}

export interface RevocationListener {
  readonly port: number;
  /** Stops listening and ends what is open. */
  close(): Promise<void>;
}

/** Starts the listener. Rejects with an Error whose message says what could not be bound. */
export async function startRevocationListener(options: RevocationListenerOptions): Promise<RevocationListener> {
  const { limits, host, port } = options;
  const server = createServer({
    maxHeaderSize: limits.crlRequestBytesMax, headersTimeout: limits.crlRequestMs, requestTimeout: limits.crlRequestMs,
    keepAliveTimeout: limits.crlRequestMs, connectionsCheckingInterval: limits.crlRequestMs,
    // HTTP/1.0 clients and bare IP requests send none.
    requireHostHeader: false,
  }, (request, response) => handle(request, response, options));
  server.maxConnections = limits.crlConnectionsMax;
  await listen(server, host, port);
  const address: AddressInfo | string | null = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`issuer.crl.listen: cannot listen on ${host} port ${port}: ${error.message}`, { cause: error })));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      // A broken connection of one client is no fault of the listener.
      server.on('clientError', (_error, socket) => socket.destroy());
      resolve();
    });
  });
}

const tooLarge: RevocationAnswer = { status: 413, headers: { 'content-length': '0', connection: 'close' }, body: Buffer.alloc(0) };

function handle(request: IncomingMessage, response: ServerResponse, { revocation, limits }: RevocationListenerOptions): void {
  const chunks: Buffer[] = [];
  let length = 0;
  response.on('error', () => request.destroy());
  request.on('error', () => response.destroy());
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= limits.ocspRequestBytesMax) chunks.push(chunk);
    else if (!response.headersSent) send(response, tooLarge);
  });
  request.on('end', () => {
    if (response.headersSent) return;
    send(response, revocation.answer(request.method ?? '', pathOf(request.url ?? '/'), length === 0 ? null : Buffer.concat(chunks)));
  });
}

function send(response: ServerResponse, answer: RevocationAnswer): void {
  response.writeHead(answer.status, { ...answer.headers });
  response.end(answer.body);
}

/** Proxies may send the absolute form. */
function pathOf(target: string): string {
  return /^http:\/\/[^/]+/i.test(target) ? target.replace(/^http:\/\/[^/]+/i, '') || '/' : target;
}
