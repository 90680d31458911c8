// A socket's bytes by way of Node's streams, for engines that would else take its handle and pass them unseen (node:http2): what watches the
// socket, such as a capture, then sees them. Slower: only for what is watched.

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** A stream over a socket that nobody else reads or writes; the socket flows when it is resumed, and ends with the stream. */
export function seenSocket(socket: Socket): Duplex {
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, encoding, done) => void socket.write(chunk, encoding, done),
    final: (done) => void socket.end(() => done()),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) socket.pause();
  });
  socket.on('end', () => stream.push(null));
  socket.on('error', (error) => stream.destroy(error));
  socket.on('close', () => stream.destroy());
  return stream;
}
