// Very many clients at once for the lab: each connection from an address of its own, for a name, a path and a method of its own, plain or
// TLS. Prints how many were answered. It checks no certificates: it is there to be counted.
//
// Usage: node crowd.ts '{"count":1000,"prefix":"fd77:9::","plain":"fd77:2::33","tls":"fd77:2::10","tlsEach":10}'

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Crowd {
  readonly count: number;
  /** IPv6 prefix of the clients' addresses, all of them local to this host. */
  readonly prefix: string;
  /** Addresses of the servers: port 80 and port 443. */
  readonly plain: string;
  readonly tls: string;
  /** Every so many-th speaks TLS. */
  readonly tlsEach: number;
}

const sideBySide = 40;
const crowd: Crowd = JSON.parse(process.argv[2] ?? '{}');
let next = 0;
let answered = 0;
await Promise.all(Array.from({ length: sideBySide }, async () => {
  while (next < crowd.count) {
    next += 1;
    if (await visit(next)) answered += 1;
  }
}));
console.log(JSON.stringify({ answered }));

function visit(index: number): Promise<boolean> {
  const tls = index % crowd.tlsEach === 0;
  const localAddress = `${crowd.prefix}${index.toString(16)}`;
  const name = `name-${String(index)}.example`;
  const raw = connect({ host: tls ? crowd.tls : crowd.plain, port: tls ? 443 : 80, localAddress });
  raw.on('error', () => {});
  const socket: Socket = tls ? connectTls({ socket: raw, servername: name, rejectUnauthorized: false }) : raw;
  return new Promise((resolve) => {
    let heard = false;
    const timer = setTimeout(() => socket.destroy(), 10_000);
    socket.on('data', () => { heard = true; });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(heard);
    });
    socket.write(`${index % 2 === 0 ? 'GET' : `METHOD-${String(index)}`} /path-${String(index)} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
  });
}
