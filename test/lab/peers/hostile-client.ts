// Sends every row of the table of hostile requests (test/conformance/http-hostile.ts) on a connection of its own, in the clear, over TLS or in
// absolute form to a proxy, and tells what came back. It judges nothing.
//
// Usage: node hostile-client.ts '{"host":"10.0.0.1","port":443,"name":"echo.lab.test","caFile":"...","absolute":false}'   prints one JSON line

import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { hostileRequests } from '../../conformance/http-hostile.ts';

export interface HostilePlan {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  /** Over TLS, trusting this CA. */
  readonly caFile: string | null;
  /** Requests for `/path` become requests for `http://name/path`. */
  readonly absolute: boolean;
}

export interface HostileAnswer {
  readonly row: string;
  readonly expected: string;
  readonly status: number;
  /** The code on the page. */
  readonly code: string | null;
}

const plan: HostilePlan = JSON.parse(process.argv[2] ?? '{}');
const atOnce = 8;
const answerMs = 20_000;
const left = [...hostileRequests];
const answers: HostileAnswer[] = [];
await Promise.all(Array.from({ length: atOnce }, async () => {
  for (let row = left.pop(); row !== undefined; row = left.pop()) {
    const text = await ask(plan.absolute ? row.bytes.replace(/^([A-Z]+) \//, `$1 http://${plan.name}/`) : row.bytes);
    answers.push({ row: row.name, expected: row.code, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), code: /^Code: (\w+)$/m.exec(text)?.[1] ?? null });
  }
}));
console.log(JSON.stringify(answers));

function ask(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const { host, port, name, caFile } = plan;
    const socket: Socket = caFile === null ? net.connect({ host, port }) : tls.connect({ host, port, servername: name, ca: readFileSync(caFile), ALPNProtocols: ['http/1.1'] });
    let text = '';
    socket.setTimeout(answerMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('error', () => { /* Told by what came. */ });
    socket.on('close', () => resolve(text));
    socket.write(Buffer.from(bytes, 'latin1'));
  });
}
