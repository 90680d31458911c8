// The WebSocket client of the benchmark, run in the client host: opens connections, and on each sends a message, waits for its echo and sends
// the next until the time is over. Prints one line of JSON; an echo that differs from what was sent is a failure.
// Run: node bench/echo-load.ts '{"kind":"echo","host":"...",...}' (bench/load-plan.ts)

import { randomBytes } from 'node:crypto';
import { connect, createSecureContext } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { isEchoLoad } from './load-plan.ts';
import type { EchoLoad, LoadReport } from './load-plan.ts';
import { quantile } from './statistics.ts';
import { acceptKey, clientFrame, readFrames } from './websocket.ts';

/** Longest wait for the upgrade or one echo. */
const oneMs = 10_000;
const context = createSecureContext({ ecdhCurve: 'X25519:P-256' });

const plan: unknown = JSON.parse(process.argv[2] ?? '');
if (!isEchoLoad(plan)) throw new Error('this is no load');
await run(plan);

async function run(load: EchoLoad): Promise<void> {
  const latenciesMs: number[] = [];
  const reasons = new Set<string>();
  let failed = 0;
  const opened = await Promise.allSettled(Array.from({ length: load.atOnce }, () => open(load)));
  const startedAt = performance.now();
  const endsAt = startedAt + load.timeMs;
  await Promise.all(opened.map(async (one) => {
    try {
      if (one.status === 'rejected') throw one.reason;
      await pingPong(one.value, load, endsAt, latenciesMs);
    } catch (caught) {
      failed += 1;
      reasons.add(caught instanceof Error ? caught.message : String(caught));
    }
  }));
  const report: LoadReport = {
    done: latenciesMs.length, failed, reasons: [...reasons].slice(0, 3), elapsedMs: performance.now() - startedAt,
    latenciesMs: { p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99) }, resumed: { offered: 0, client: 0, upstream: 0 },
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

/** A connection that has been upgraded. */
function open(load: EchoLoad): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: load.host, port: load.port, servername: load.name, secureContext: context, ALPNProtocols: ['http/1.1'], rejectUnauthorized: false });
    const key = randomBytes(16).toString('base64');
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(why));
    };
    const timer = setTimeout(() => fail('no upgrade in time'), oneMs);
    let head = '';
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      clearTimeout(timer);
      socket.off('data', onData);
      if (!head.startsWith('HTTP/1.1 101') || !head.includes(acceptKey(key))) fail(`no upgrade: ${head.slice(0, 40)}`);
      else resolve(socket);
    };
    socket.setNoDelay();
    socket.on('data', onData);
    socket.on('error', (error) => fail(error.message));
    socket.write(`GET ${load.path} HTTP/1.1\r\nHost: ${load.name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`);
  });
}

/** Messages one after the other until the time is over; rejects when the connection ends, an echo is wrong or late. */
function pingPong(socket: TLSSocket, load: EchoLoad, endsAt: number, latenciesMs: number[]): Promise<void> {
  const payload = Buffer.alloc(load.messageBytes, 'm');
  return new Promise((resolve, reject) => {
    let sentAt = 0;
    let pending: Buffer = Buffer.alloc(0);
    const end = (error: Error | null): void => {
      clearInterval(watch);
      socket.removeAllListeners('close').destroy();
      if (error === null) resolve();
      else reject(error);
    };
    const watch = setInterval(() => {
      if (performance.now() - sentAt > oneMs) end(new Error('no echo in time'));
    }, oneMs / 10);
    const send = (): void => {
      sentAt = performance.now();
      if (sentAt >= endsAt) end(null);
      else socket.write(clientFrame(payload, randomBytes(4)));
    };
    socket.on('close', () => end(new Error('closed before the end')));
    socket.on('data', (chunk: Buffer) => {
      const { frames, rest } = readFrames(pending.length === 0 ? chunk : Buffer.concat([pending, chunk]));
      pending = rest;
      const [frame] = frames;
      if (frame === undefined) return;
      if (!frame.payload.equals(payload)) end(new Error('the echo differs'));
      latenciesMs.push(performance.now() - sentAt);
      send();
    });
    send();
  });
}
