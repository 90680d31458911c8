// The WebSocket echo server of the benchmark: TLS, any upgrade accepted (RFC 6455), every data frame sent back unmasked. It knows frames of
// up to 125 bytes, which is what the benchmark sends, and never answers anything else.
// Run: node bench/echo-origin.ts ADDRESS CERT KEY

import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { acceptKey, readFrames } from './websocket.ts';

const [address, certFile, keyFile] = process.argv.slice(2);
if (address === undefined || certFile === undefined || keyFile === undefined) throw new Error('usage: echo-origin.ts ADDRESS CERT KEY');

const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile), ALPNProtocols: ['http/1.1'] }, serve);
server.on('tlsClientError', () => { /* Proxies that look at the certificate and leave. */ });
server.listen(443, address, 1024);

function serve(socket: TLSSocket): void {
  socket.setNoDelay();
  socket.on('error', () => socket.destroy());
  let pending: Buffer = Buffer.alloc(0);
  let upgraded = false;
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    if (!upgraded) {
      const end = pending.indexOf('\r\n\r\n');
      if (end < 0) return;
      const key = /^sec-websocket-key:\s*(\S+)/im.exec(pending.toString('latin1', 0, end))?.[1];
      pending = pending.subarray(end + 4);
      if (key === undefined) {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nConnection: close\r\n\r\n${'x'.repeat(1024)}`);
        return;
      }
      upgraded = true;
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`);
    }
    const { frames, rest } = readFrames(pending);
    pending = rest;
    if (frames.length > 0) socket.write(Buffer.concat(frames.flatMap((frame) => [Buffer.from([frame.first, frame.payload.length]), frame.payload])));
  });
}
