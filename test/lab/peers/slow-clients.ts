// Clients that take a large body, or send one, a little at a time over HTTP/1.1 in TLS. Prints `slow` when all are under way; when its
// standard input says something it prints how many still are, none of them done, and leaves.
//
// Usage: node slow-clients.ts '{"host":"10.0.0.1","name":"node.lab.test","caFile":"...","takers":70,"givers":30}'

import { readFileSync } from 'node:fs';
import tls from 'node:tls';

export interface SlowPlan {
  readonly host: string;
  readonly name: string;
  readonly caFile: string;
  readonly takers: number;
  readonly givers: number;
}

export interface SlowReport {
  readonly underWay: number;
  readonly done: number;
  readonly lost: number;
}

const plan: SlowPlan = JSON.parse(process.argv[2] ?? '{}');
const bodyBytes = 1_000_000_000;
const stepMs = 250;
const ca = readFileSync(plan.caFile);
let underWay = 0;
let done = 0;
let lost = 0;

await Promise.all([...Array.from({ length: plan.takers }, () => start(take)), ...Array.from({ length: plan.givers }, () => start(give))]);
console.log('slow');
process.stdin.once('data', () => {
  const report: SlowReport = { underWay, done, lost };
  console.log(JSON.stringify(report));
  process.exit(0);
});

function start(begin: (socket: tls.TLSSocket, going: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: plan.host, port: 443, servername: plan.name, ca, ALPNProtocols: ['http/1.1'] }, () => begin(socket, () => {
      underWay += 1;
      resolve();
    }));
    socket.on('error', reject);
    socket.on('close', () => {
      underWay -= 1;
      lost += 1;
    });
  });
}

/** Reads one piece in each step. */
function take(socket: tls.TLSSocket, going: () => void): void {
  socket.write(`GET /zeros/${String(bodyBytes)} HTTP/1.1\r\nHost: ${plan.name}\r\n\r\n`);
  let taken = 0;
  socket.once('readable', going);
  setInterval(() => {
    const piece: unknown = socket.read(1024) ?? socket.read();
    if (Buffer.isBuffer(piece)) taken += piece.length;
    if (taken >= bodyBytes) done += 1;
  }, stepMs);
}

/** Writes a hundred bytes in each step. */
function give(socket: tls.TLSSocket, going: () => void): void {
  socket.write(`POST /count HTTP/1.1\r\nHost: ${plan.name}\r\nContent-Length: ${String(bodyBytes)}\r\n\r\n`, going);
  socket.resume();
  setInterval(() => socket.write(Buffer.alloc(100)), stepMs);
}
