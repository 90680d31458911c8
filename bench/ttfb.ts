// How long a client waits for the first byte of a server that speaks first (SMTP, SSH, MySQL): on a direct connection, and through a real gateway
// that tunnels unseen, that is told of it by a rule (`serverFirst`), and that finds out by racing both sides. Loopback; nothing is to be reached.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limitsWith } from '../src/core/limits.ts';
import { startProgram } from '../test/support/program.ts';
import { freePort } from './free-port.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';
import { quantile } from './statistics.ts';

const full = { rounds: 200, warmUps: 20 } as const;
const smoke = { rounds: 2, warmUps: 1 } as const;
const banner = '220 mail.example ESMTP\r\n';
const startMs = 30_000;
const answerMs = 30_000;

/** Services of the gateway by what policy says of them. */
const ways = { unseen: 'tunnelled by a connection rule', told: 'serverFirst by a rule', racing: 'by racing both sides' } as const;
type Way = keyof typeof ways;
const wayNames: readonly Way[] = ['unseen', 'told', 'racing'];

/** Measures and answers the table; `isSmoke`: a few connections, to show that it works. */
export async function benchTtfb(isSmoke: boolean): Promise<PartReport> {
  const { rounds, warmUps } = isSmoke ? smoke : full;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-ttfb-'));
  const server = await startServer();
  const address = server.address();
  const direct = typeof address === 'object' && address !== null ? address.port : 0;
  const [unseen, told, racing, admin, revocation] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  const ports = { unseen, told, racing };
  await writeFile(join(folder, 'config.yaml'), configText(ports, direct, { admin, revocation }));
  const gateway = startProgram('gateway', [process.execPath, join(import.meta.dirname, '../src/cli.ts'), 'run', '-c', join(folder, 'config.yaml')], { logFile: join(folder, 'gateway.log') });
  try {
    await gateway.waitForOutput(/Sallyport is up/, startMs);
    const rows: readonly (readonly [string, number])[] = [['direct', direct], ...wayNames.map((way) => [`through the gateway, ${ways[way]}`, ports[way]] as const)];
    const times = new Map(rows.map(([name]): [string, number[]] => [name, []]));
    for (let round = -warmUps; round < rounds; round += 1) {
      for (const [name, port] of rows) {
        const took = await firstByte(port);
        if (round >= 0) times.get(name)?.push(took);
      }
    }
    return { text: reportText(times, rounds), missed: [] };
  } finally {
    await gateway.stop();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  }
}

function configText(ports: Readonly<Record<Way, number>>, server: number, { admin, revocation }: { readonly admin: number; readonly revocation: number }): string {
  const services = wayNames.map((way) => `  - { name: ${way}, type: tcp-tunnel, listen: '127.0.0.1:${ports[way]}', to: '127.0.0.1:${server}', detectProtocol: true }`);
  return `state: state\nworkers: 0\nadmin: { listen: '127.0.0.1:${admin}' }\nissuer: { crl: { listen: '127.0.0.1:${revocation}' } }
services:\n${services.join('\n')}
policy:
  connection:
    - { name: unseen, when: { service: unseen }, then: tunnel }
    - { name: told, when: { service: told }, then: allow, serverFirst: true }
  ssl: [ { then: intercept } ]\n`;
}

async function startServer(): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end(banner);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Milliseconds from the call of connect to the first byte. */
function firstByte(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const socket = connect({ port, host: '127.0.0.1' });
    const timer = setTimeout(() => socket.destroy(new Error(`port ${String(port)}: no byte within ${String(answerMs)} ms`)), answerMs);
    let took: number | null = null;
    socket.on('data', () => { took ??= performance.now() - started; });
    socket.on('error', reject);
    socket.on('end', () => socket.end());
    // The next connection begins when this one is over, so that no two are measured together.
    socket.on('close', () => {
      clearTimeout(timer);
      if (took === null) reject(new Error(`port ${String(port)}: closed without a byte`));
      else resolve(took);
    });
  });
}

function reportText(times: ReadonlyMap<string, readonly number[]>, rounds: number): string {
  const rows = [...times].map(([name, list]) => [name, quantile(list, 0.5).toFixed(2), quantile(list, 0.95).toFixed(2), Math.max(...list).toFixed(2)]);
  return [
    `First byte: what a client waits for a server that speaks first, ${String(rounds)} connections each; racing gives the client ${String(limitsWith().detectRaceMs)} ms to speak (detectRaceMs)`,
    columns([['', 'ms', 'p95', 'highest'], ...rows]),
  ].join('\n');
}
