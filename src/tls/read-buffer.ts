// The buffer that a TLS client's connection is read into. Node 24 makes it at the first read, as large as libuv would read at once (64 KiB), and
// keeps it until the connection ends; this file has it made small. It never sees what is read. A TLS server does not notice; one that speaks
// something else is sent an alert (seven bytes behind the hello), which OpenSSL would otherwise keep to itself.

import type { TLSSocket } from 'node:tls';

/**
 * A record of type handshake without content, which no server sends and OpenSSL passes over: it is in no transcript (OpenSSL 3.5 allows 32 of
 * them before one with content).
 */
const emptyRecord = Buffer.from('1603030000', 'hex');

/**
 * To be called once `connect` has written its hello and nothing can have been read. A buffer made for bytes that JavaScript hands over has the 4 KiB
 * that Node means a client to begin with; a read that fills it adds 16 KiB once, so bulk is read in steps of 20 KiB. Pinned by
 * read-buffer.test.ts; where Node has no such method, nothing happens.
 */
export function keepReadBufferSmall(socket: TLSSocket): void {
  if (!('_handle' in socket)) return;
  const handle = socket._handle;
  if (isReceiver(handle)) handle.receive(emptyRecord);
}

/** The native side of a TLS socket, as far as it is used here. */
interface Receiver {
  receive(bytes: Buffer): void;
}

function isReceiver(handle: unknown): handle is Receiver {
  return typeof handle === 'object' && handle !== null && 'receive' in handle && typeof handle.receive === 'function';
}
