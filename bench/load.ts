// The client of the benchmark, run in the client host: opens TLS connections through whatever proxy is in the way, asks one small page on
// each and closes or holds them. Bounded in count and time; prints one line of JSON. It never judges the proxy's speed.
// Run: node bench/load.ts '{"kind":"handshakes","host":"...","port":443,"path":"/page","count":100,"atOnce":8,"timeMs":60000}'

import { connect, createSecureContext } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { isLoad } from './load-plan.ts';
import type { Load, LoadReport } from './load-plan.ts';

/** Longest time for one connection and its page. */
const oneMs = 10_000;
// Groups that every peer here knows: no post-quantum key exchange for those that can and not for those that cannot.
const context = createSecureContext({ ecdhCurve: 'X25519:P-256' });

const plan: unknown = JSON.parse(process.argv[2] ?? '');
if (!isLoad(plan)) throw new Error('this is no load');
await run(plan);

async function run(load: Load): Promise<void> {
  const held: TLSSocket[] = [];
  const latenciesMs: number[] = [];
  const failures = new Map<string, number>();
  const startedAt = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < load.count && performance.now() - startedAt < load.timeMs) {
      next += 1;
      const beganAt = performance.now();
      try {
        const socket = await onePage(load);
        latenciesMs.push(performance.now() - beganAt);
        if (socket !== null) held.push(socket);
      } catch (caught) {
        const reason = caught instanceof Error ? caught.message : String(caught);
        failures.set(reason, (failures.get(reason) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: load.atOnce }, worker));
  const report: LoadReport = {
    done: latenciesMs.length, failed: load.count - latenciesMs.length, reasons: [...failures.keys()].slice(0, 3),
    elapsedMs: performance.now() - startedAt, latenciesMs: quantiles(latenciesMs),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (load.kind === 'hold') await stdinEnd();
  for (const socket of held) socket.destroy();
}

/** One connection, one page. Resolves to the open connection when it is to be held, to null once it is closed. */
function onePage(load: Load): Promise<TLSSocket | null> {
  return new Promise((resolve, reject) => {
    const hold = load.kind === 'hold';
    // The proxy's certificate was proven with a verifying client before; here it would only cost the client.
    const socket = connect({ host: load.host, port: load.port, servername: load.name, secureContext: context, ALPNProtocols: ['http/1.1'], rejectUnauthorized: false });
    let answer = '';
    const timer = setTimeout(() => fail(new Error('no page in time')), oneMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const whole = (): boolean => answer.startsWith('HTTP/1.1 200') && answer.length >= load.pageBytes && answer.indexOf('\r\n\r\n') + 4 + load.pageBytes <= answer.length;
    socket.on('error', fail);
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!hold || !whole()) return;
      clearTimeout(timer);
      socket.removeAllListeners('data').resume();
      resolve(socket);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      if (!hold && whole()) resolve(null);
      else reject(new Error(`closed after ${String(answer.length)} characters: ${answer.slice(0, 40)}`));
    });
    socket.write(`GET ${load.path} HTTP/1.1\r\nHost: ${load.name}\r\nUser-Agent: bench\r\nAccept: */*\r\n${hold ? '' : 'Connection: close\r\n'}\r\n`);
  });
}

function quantiles(values: number[]): LoadReport['latenciesMs'] {
  values.sort((one, other) => one - other);
  const at = (share: number): number => values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function stdinEnd(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('end', resolve);
    process.stdin.resume();
  });
}
