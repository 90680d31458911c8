// TLS servers with any certificate, good or bad, many in one process: each answers HTTP requests with its name and SIP requests with 200, and
// staples what it is given. Plain ones serve the files of a folder. Prints `ready`, then one line for each plain request.
//
// Usage: node cert-server.ts FILE, a JSON list of CertServer

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { join } from 'node:path';
import { createServer, type SecureVersion, type TLSSocket } from 'node:tls';

export interface CertServer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Set both for TLS. */
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly minVersion?: SecureVersion;
  readonly maxVersion?: SecureVersion;
  readonly ciphers?: string;
  /** Length of the group for DHE suites; made anew. */
  readonly dhBits?: number;
  /** DER of an OCSP answer to staple. */
  readonly stapleFile?: string;
  /** Requires client certificates of this root. */
  readonly clientCaFile?: string;
  /** Without TLS: the folder that is served; absent: requests are never answered. */
  readonly folder?: string;
}

const servers: CertServer[] = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
let waiting = servers.length;
const started = (): void => {
  waiting -= 1;
  if (waiting === 0) console.log('ready');
};
for (const spec of servers) {
  if (spec.certFile === undefined) servePlain(spec);
  else serveTls(spec);
}

function serveTls(spec: CertServer): void {
  const { certFile = '', keyFile = '', minVersion = 'TLSv1', maxVersion = 'TLSv1.3', ciphers = 'DEFAULT:@SECLEVEL=0', clientCaFile, stapleFile, dhBits } = spec;
  const server = createServer({
    cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion, maxVersion, ciphers,
    ...(dhBits === undefined ? {} : { dhparam: spawnSync('openssl', ['dhparam', '-dsaparam', String(dhBits)]).stdout }),
    ...(clientCaFile === undefined ? {} : { requestCert: true, rejectUnauthorized: true, ca: readFileSync(clientCaFile) }),
  }, (socket) => answer(spec, socket));
  const staple = stapleFile === undefined ? null : readFileSync(stapleFile);
  server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, done: (error: null, response: Buffer | null) => void) => done(null, staple));
  server.on('tlsClientError', () => { /* Whoever refuses the certificate says so on its own side. */ });
  server.listen(spec.port, spec.host, started);
}

function answer({ name }: CertServer, socket: TLSSocket): void {
  let text = '';
  socket.on('error', () => { /* The client's side tells. */ });
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      socket.write(head.split('\r\n')[0]?.endsWith('SIP/2.0') === true ? sipAnswer(head) : httpAnswer(name, socket));
    }
  });
}

function httpAnswer(name: string, socket: TLSSocket): string {
  const body = `hello from ${name}\nversion ${socket.getProtocol() ?? ''}\nclient ${socket.getPeerX509Certificate()?.subject ?? 'nobody'}\n`;
  return `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;
}

function sipAnswer(head: string): string {
  const copied = head.split('\r\n').filter((line) => /^(via|from|to|call-id|cseq):/i.test(line));
  return `SIP/2.0 200 OK\r\n${copied.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`;
}

function servePlain({ folder, host, port }: CertServer): void {
  const server = createHttpServer((request, response) => {
    console.log(`${request.method ?? ''} http://${host}${request.url ?? ''}`);
    if (folder === undefined) return;
    try {
      response.end(readFileSync(join(folder, (request.url ?? '').replace(/^\/+|\.\./g, ''))));
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(port, host, started);
}
