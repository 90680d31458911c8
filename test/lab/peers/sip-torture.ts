// Sends each message of a list to a SIP server over TLS, on a connection of its own and with an OPTIONS right behind it, and tells whether
// the server still found that OPTIONS, closed the connection, or waits for more. Prints one JSON object by name.
//
// Usage: node sip-torture.ts '{"host":"10.0.0.1","port":443,"name":"sip.test","caFile":"ca.pem","files":{"wsinv":"wsinv.dat"}}'

import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

export interface Torture {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly caFile: string;
  /** Paths by name. */
  readonly files: Readonly<Record<string, string>>;
}

/** `in step`: the OPTIONS was answered. */
export type TortureEnd = 'in step' | 'closed' | 'waits';

const waitMs = 2_500;
const atATime = 10;
const plan: Torture = JSON.parse(process.argv[2] ?? '{}');
const ca = readFileSync(plan.caFile);
const ends: Record<string, TortureEnd> = {};
const queue = Object.entries(plan.files);
await Promise.all(Array.from({ length: atATime }, async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) ends[next[0]] = await send(next[0], readFileSync(next[1]));
}));
console.log(JSON.stringify(ends));
process.exit(0);

function send(label: string, message: Buffer): Promise<TortureEnd> {
  return new Promise((resolve) => {
    const marker = `marker-of-${label}`;
    let received = '';
    const socket = connect({ host: plan.host, port: plan.port, servername: plan.name, ca: [ca] });
    const settle = (end: TortureEnd): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(end);
    };
    const timer = setTimeout(() => settle('waits'), waitMs);
    socket.once('secureConnect', () => socket.write(Buffer.concat([message, options(marker)])));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (received.split('SIP/2.0 ').some((answer) => answer.startsWith('200') && answer.includes(marker))) settle('in step');
    });
    socket.on('end', () => settle('closed')).on('error', () => settle('closed')).on('close', () => settle('closed'));
  });
}

function options(callId: string): Buffer {
  return Buffer.from([
    `OPTIONS sip:${plan.name} SIP/2.0`, 'Via: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKmarker;rport', 'Max-Forwards: 70', 'From: <sip:marker@lab.test>;tag=1', `To: <sip:${plan.name}>`,
    `Call-ID: ${callId}`, 'CSeq: 1 OPTIONS', 'Content-Length: 0', '', '',
  ].join('\r\n'));
}
