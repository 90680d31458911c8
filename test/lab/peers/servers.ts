// The small servers of the lab in one process, for what no packaged server does: unknown protocols, servers that speak first, that
// are silent, or that answer TLS with something else. Prints `ready`, then one JSON line for each connection that ended.
//
// Usage: node servers.ts '[{"name":"echo","host":"10.0.0.1","port":443,"kind":"echo","certFile":"...","keyFile":"..."}, ...]'

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';

export type ServerKind =
  | 'echo' // sends back what comes
  | 'answers' // answers the first bytes with its text, then sends back what comes
  | 'banner' // speaks first, then answers each line with `250 line`
  | 'silent' // accepts and never sends a byte
  | 'refuses-tls' // answers any first bytes in plain text and closes
  | 'alerts' // answers any first bytes with a fatal TLS alert and closes
  | 'resets' // resets the connection on the first bytes
  | 'resets-at-once' // resets it before any byte (inside TLS: right after the handshake)
  | 'ends-at-once'; // ends its side before any byte, and the connection when the client has ended

export interface ServerSpec {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly kind: ServerKind;
  /** `banner`: what it says first. `answers`: its answer. */
  readonly text?: string;
  /** Set both for TLS. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Also tells of connections whose handshake failed, with a null version; then without half-close, which would hold them open. */
  readonly tellsFailed?: boolean;
}

/** One line of output. */
export interface ConnectionRecord {
  readonly name: string;
  readonly from: string;
  readonly received: { readonly bytes: number; readonly sha256: string };
  readonly sent: { readonly bytes: number; readonly sha256: string };
  readonly tls: { readonly version: string | null; readonly sni: string | null } | null;
}

const replies = {
  'refuses-tls': Buffer.from('400 this is not a TLS server\r\n'),
  // RFC 8446 section 6: record type 21, TLS 1.2, fatal, handshake_failure.
  alerts: Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]),
} as const;

const specs: ServerSpec[] = JSON.parse(process.argv[2] ?? '[]');
let waiting = specs.length;
for (const spec of specs) {
  const onConnection = (socket: Socket): void => serve(spec, socket);
  const server = spec.certFile === undefined || spec.keyFile === undefined
    ? createServer({ allowHalfOpen: true, noDelay: true }, onConnection)
    : createTlsServer({ cert: readFileSync(spec.certFile), key: readFileSync(spec.keyFile), allowHalfOpen: spec.tellsFailed !== true, noDelay: true }, onConnection);
  if (spec.tellsFailed === true) server.on('tlsClientError', () => tellFailed(spec));
  server.on('error', (error) => {
    console.error(`${spec.name}: ${error.message}`);
    process.exitCode = 1;
  });
  server.listen(spec.port, spec.host, () => {
    waiting -= 1;
    if (waiting === 0) console.log('ready');
  });
}

/** Nothing came through such a connection, and by now Node has forgotten whose it was. */
function tellFailed({ name }: ServerSpec): void {
  const nothing = { bytes: 0, sha256: createHash('sha256').digest('hex') };
  const record: ConnectionRecord = { name, from: '', received: nothing, sent: nothing, tls: { version: null, sni: null } };
  console.log(JSON.stringify(record));
}

function serve(spec: ServerSpec, socket: Socket): void {
  const received = createHash('sha256');
  const sent = createHash('sha256');
  const protocol = socket instanceof TLSSocket ? socket.getProtocol() : null;
  let sentBytes = 0;
  let receivedBytes = 0;
  const from = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
  const send = (bytes: Buffer): boolean => {
    sent.update(bytes);
    sentBytes += bytes.length;
    return socket.write(bytes);
  };
  socket.on('data', (chunk: Buffer) => {
    received.update(chunk);
    receivedBytes += chunk.length;
    const isFirst = receivedBytes === chunk.length;
    switch (spec.kind) {
      case 'answers':
        send(isFirst ? Buffer.from(spec.text ?? '', 'latin1') : chunk);
        break;
      case 'echo':
        if (!send(chunk)) {
          socket.pause();
          socket.once('drain', () => socket.resume());
        }
        break;
      case 'banner':
        for (const line of chunk.toString('latin1').split('\n').filter((text) => text !== '')) send(Buffer.from(`250 ${line}\n`, 'latin1'));
        break;
      case 'refuses-tls':
      case 'alerts':
        send(replies[spec.kind]);
        socket.end();
        break;
      case 'resets':
        socket.resetAndDestroy();
        break;
      case 'silent':
      case 'resets-at-once':
      case 'ends-at-once':
        break;
    }
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => { /* Told by the record: the bytes stop. */ });
  socket.on('close', () => {
    const record: ConnectionRecord = {
      name: spec.name,
      from,
      received: { bytes: receivedBytes, sha256: received.digest('hex') },
      sent: { bytes: sentBytes, sha256: sent.digest('hex') },
      tls: socket instanceof TLSSocket ? { version: protocol, sni: typeof socket.servername === 'string' ? socket.servername : null } : null,
    };
    console.log(JSON.stringify(record));
  });
  if (spec.kind === 'resets-at-once') socket.resetAndDestroy();
  if (spec.kind === 'ends-at-once') socket.end();
  if (spec.kind === 'banner') send(Buffer.from(spec.text ?? '220 ready\r\n'));
}
