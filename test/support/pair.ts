// Real connected TCP sockets for tests, half-close allowed, and small helpers to read them.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

export interface Pair {
  /** The end that connected, and the end that was accepted. */
  readonly near: Socket;
  readonly far: Socket;
  destroy(): void;
}

/** Two ends of one TCP connection over loopback. */
export async function socketPair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const [[far]] = await Promise.all([accepted, once(near, 'connect')]);
  server.close();
  for (const socket of [near, far]) socket.on('error', () => {});
  return { near, far, destroy: () => { near.destroy(); far.destroy(); } };
}

/** The port a server listens on. */
export function portOf(server: { address(): unknown }): number {
  const address = server.address();
  return typeof address === 'object' && address !== null && 'port' in address ? Number(address.port) : 0;
}

/** Everything a stream gives until its end, or until it is closed. */
export function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const done = (): void => resolve(Buffer.concat(chunks));
    stream.once('end', done);
    stream.once('close', done);
    stream.resume();
  });
}

/** The first `length` bytes of a stream; the rest stays in it. */
export function readBytes(stream: Readable, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (stream.readableLength < length) return;
      stream.off('readable', look);
      resolve(stream.read(length) as Buffer);
    };
    stream.on('readable', look);
    stream.once('close', () => reject(new Error(`closed before ${String(length)} bytes`)));
    look();
  });
}
