// The client of the benchmark, run in the client host: opens TLS connections through whatever proxy is in the way, asks one small page on
// each and closes or holds them. Bounded in count and time; prints one line of JSON. It never judges the proxy's speed.
// Run: node bench/load.ts '{"kind":"handshakes","host":"...",...}' (bench/load-plan.ts)

import { connect, createSecureContext } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { isPageLoad } from './load-plan.ts';
import type { LoadReport, PageLoad } from './load-plan.ts';
import { quantile } from './statistics.ts';

/** Longest time for one connection and its page. */
const oneMs = 10_000;
// Groups that every peer here knows: no post-quantum key exchange for those that can and not for those that cannot.
const context = createSecureContext({ ecdhCurve: 'X25519:P-256' });

/** What one connection was like. */
interface Page {
  /** Open still, when it is to be held. */
  readonly socket: TLSSocket | null;
  readonly session: Buffer | null;
  readonly clientResumed: boolean;
  readonly upstreamResumed: boolean;
}

const plan: unknown = JSON.parse(process.argv[2] ?? '');
if (!isPageLoad(plan)) throw new Error('this is no load');
await run(plan);

async function run(load: PageLoad): Promise<void> {
  const held: TLSSocket[] = [];
  const latenciesMs: number[] = [];
  const failures = new Map<string, number>();
  const resumed = { offered: 0, client: 0, upstream: 0 };
  const startedAt = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    let session: Buffer | null = null;
    while (next < load.count && performance.now() - startedAt < load.timeMs) {
      const index = next;
      next += 1;
      const beganAt = performance.now();
      try {
        const page = await onePage(load, index, session);
        latenciesMs.push(performance.now() - beganAt);
        if (session !== null) {
          resumed.offered += 1;
          resumed.client += Number(page.clientResumed);
          resumed.upstream += Number(page.upstreamResumed);
        }
        if (load.kind === 'resumed') session = page.session ?? session;
        if (page.socket !== null) held.push(page.socket);
      } catch (caught) {
        const reason = caught instanceof Error ? caught.message : String(caught);
        failures.set(reason, (failures.get(reason) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: load.atOnce }, worker));
  const report: LoadReport = {
    done: latenciesMs.length, failed: load.count - latenciesMs.length, reasons: [...failures.keys()].slice(0, 3),
    elapsedMs: performance.now() - startedAt, latenciesMs: { p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99) }, resumed,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (load.kind === 'hold') await stdinEnd();
  for (const socket of held) socket.destroy();
}

/** One connection, one page; resolves once it is closed, or is to be held. */
function onePage(load: PageLoad, index: number, session: Buffer | null): Promise<Page> {
  const hold = load.kind === 'hold';
  const name = load.name.replace('#', String(load.firstNumber + index));
  return new Promise((resolve, reject) => {
    // The proxy's certificate was proven with a verifying client before; here it would only cost the client.
    const socket = connect({
      host: load.host, port: load.port, ...from(load, index), servername: name, secureContext: context, ALPNProtocols: ['http/1.1'], rejectUnauthorized: false,
      ...(session === null ? {} : { session }),
    });
    let answer = '';
    let newest: Buffer | null = null;
    let clientResumed = false;
    const timer = setTimeout(() => fail(new Error('no page in time')), oneMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const page = (kept: TLSSocket | null): Page => ({ socket: kept, session: newest, clientResumed, upstreamResumed: /\r\nx-resumed: r\r\n/i.test(answer) });
    const whole = (): boolean => answer.startsWith('HTTP/1.1 200') && answer.length >= load.pageBytes && answer.indexOf('\r\n\r\n') + 4 + load.pageBytes <= answer.length;
    if (load.kind === 'resumed') socket.on('session', (ticket: Buffer) => { newest = ticket; });
    socket.on('secureConnect', () => { clientResumed = socket.isSessionReused(); });
    socket.on('error', fail);
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!hold || !whole()) return;
      clearTimeout(timer);
      socket.removeAllListeners('data').resume();
      resolve(page(socket));
    });
    socket.on('close', () => {
      clearTimeout(timer);
      if (!hold && whole()) resolve(page(null));
      else reject(new Error(`closed after ${String(answer.length)} characters: ${answer.slice(0, 40)}`));
    });
    socket.write(`GET ${load.path} HTTP/1.1\r\nHost: ${name}\r\nUser-Agent: bench\r\nAccept: */*\r\n${hold ? '' : 'Connection: close\r\n'}\r\n`);
  });
}

/** Addresses in turns; net.connect knows the option, the types of tls.connect do not. */
function from({ from: addresses }: PageLoad, index: number): { localAddress?: string } {
  const localAddress = addresses[index % addresses.length];
  return localAddress === undefined ? {} : { localAddress };
}

function stdinEnd(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('end', resolve);
    process.stdin.resume();
  });
}
