// The plain HTTP listener for CRL, OCSP, the CA certificate and the proxy auto-configuration file: no policy, no authentication, bounded
// requests, quick answers (a client's TLS handshake is waiting for them). All but the last is what the revocation endpoints answer.

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
  /** Makes `/proxy.pac` for a Host header, null where that names no host. Absent where there is no explicit proxy. */
  readonly proxyPac?: (hostHeader: string) => string | null;
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

function handle(request: IncomingMessage, response: ServerResponse, { revocation, limits, proxyPac }: RevocationListenerOptions): void {
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
    const path = pathOf(request.url ?? '/');
    if (proxyPac !== undefined && path === '/proxy.pac' && (request.method === 'GET' || request.method === 'HEAD')) send(response, pacAnswer(proxyPac(request.headers.host ?? '')));
    else send(response, revocation.answer(request.method ?? '', path, length === 0 ? null : Buffer.concat(chunks)));
  });
}

function pacAnswer(pac: string | null): RevocationAnswer {
  const body = Buffer.from(pac ?? 'The Host header is missing or not well formed.\n');
  const type = pac === null ? 'text/plain; charset=utf-8' : 'application/x-ns-proxy-autoconfig';
  return { status: pac === null ? 400 : 200, headers: { 'content-type': type, 'content-length': String(body.length) }, body };
}

function send(response: ServerResponse, answer: RevocationAnswer): void {
  response.writeHead(answer.status, { ...answer.headers });
  response.end(answer.body);
}

/** Proxies may send the absolute form. */
function pathOf(target: string): string {
  return /^http:\/\/[^/]+/i.test(target) ? target.replace(/^http:\/\/[^/]+/i, '') || '/' : target;
}
