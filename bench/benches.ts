// The benches: what one measurement of one proxy is, in units of work done and what the operating system says it took. A bench that does
// not reach its end throws; the round then says that it did not finish.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Program } from '../test/support/program.ts';
import { cpuMs, memoryOf } from './accounting.ts';
import { parseReport } from './load-plan.ts';
import type { Load, LoadReport } from './load-plan.ts';
import type { Instance } from './peers/peer.ts';
import { bulkBytes, origin } from './site.ts';
import type { Site } from './site.ts';

/** How much of everything: full runs and smoke runs differ in nothing else. */
export interface Effort {
  readonly rounds: number;
  readonly handshakes: number;
  readonly warmUpHandshakes: number;
  readonly keepAliveSeconds: number;
  readonly downloads: number;
  readonly heldSessions: number;
}

/** One measurement. */
export interface Measured {
  /** What is compared: CPU milliseconds or KiB for each unit. */
  readonly value: number;
  /** Further figures that are shown but not compared: they depend on the machine's clock. */
  readonly aside: Readonly<Record<string, number>>;
}

export interface Bench {
  readonly name: string;
  readonly title: string;
  /** Of `value`. */
  readonly unit: string;
  /** A new instance for each round: what a process once held it often keeps. */
  readonly freshInstance: boolean;
  warmUp(site: Site, effort: Effort): Promise<void>;
  measure(site: Site, instance: Instance, effort: Effort): Promise<Measured>;
}

const page = { host: origin.v4, name: origin.name, port: 443, path: '/page', pageBytes: 1024 };
const url = (path: string): string => `https://${origin.name}${path}`;

const handshakesAtOnce = 8;
const keepAliveConnections = 16;
/** Longest time for any one load; a proxy that needs longer did not finish. */
const loadMs = 120_000;
/** After work was done: what processes still do for it counts too. */
const settleMs = 300;
/** Before memory is read: buffers of the handshakes may go. */
const heldSettleMs = 1_500;

const handshake: Bench = {
  name: 'handshake',
  title: 'Full handshake on both sides, one request, close',
  unit: 'ms CPU per connection',
  freshInstance: false,
  warmUp: async (site, effort) => void await load(site, { ...page, kind: 'handshakes', count: effort.warmUpHandshakes, atOnce: handshakesAtOnce, timeMs: loadMs }),
  async measure(site, { program }, effort) {
    const before = cpuMs(program.pid);
    const report = await load(site, { ...page, kind: 'handshakes', count: effort.handshakes, atOnce: handshakesAtOnce, timeMs: loadMs });
    await sleep(settleMs);
    return {
      value: (cpuMs(program.pid) - before) / report.done,
      aside: { 'per second': (report.done * 1000) / report.elapsedMs, 'p50 ms': report.latenciesMs.p50 ?? NaN, 'p99 ms': report.latenciesMs.p99 ?? NaN },
    };
  },
};

const keepAlive: Bench = {
  name: 'keepalive',
  title: 'Request on a held connection (1 KiB answer)',
  unit: 'ms CPU per request',
  freshInstance: false,
  // Long enough for V8 to have compiled what a request needs, on a busy machine too: a gateway runs for weeks.
  warmUp: async (site, effort) => void await wrk(site, 2 * effort.keepAliveSeconds),
  async measure(site, { program }, effort) {
    const before = cpuMs(program.pid);
    const { requests, perSecond } = await wrk(site, effort.keepAliveSeconds);
    await sleep(settleMs);
    return { value: (cpuMs(program.pid) - before) / requests, aside: { 'per second': perSecond } };
  },
};

const bulk: Bench = {
  name: 'bulk',
  title: 'Download of 256 MiB',
  unit: 'ms CPU per 256 MiB',
  freshInstance: false,
  warmUp: async (site) => void await download(site),
  async measure(site, { program }, effort) {
    const before = cpuMs(program.pid);
    let seconds = 0;
    for (let count = 0; count < effort.downloads; count += 1) seconds += await download(site);
    await sleep(settleMs);
    return { value: (cpuMs(program.pid) - before) / effort.downloads, aside: { 'MiB per second': (effort.downloads * bulkBytes) / 1024 / 1024 / seconds } };
  },
};

const memory: Bench = {
  name: 'memory',
  title: 'Memory of a held, intercepted session',
  unit: 'KiB (PSS) per session',
  freshInstance: true,
  // A proxy that has worked: what is allocated once for all sessions is not a session's memory.
  warmUp: handshake.warmUp,
  async measure(site, { program }, effort) {
    await sleep(heldSettleMs);
    const before = memoryOf(program.pid);
    const cpuBefore = cpuMs(program.pid);
    const holder = await hold(site, effort.heldSessions);
    try {
      await sleep(heldSettleMs);
      const after = memoryOf(program.pid);
      const each = (bytes: number): number => bytes / effort.heldSessions / 1024;
      return {
        value: each(after.proportionalBytes - before.proportionalBytes),
        aside: {
          'RSS KiB': each(after.residentBytes - before.residentBytes), 'base MiB': before.proportionalBytes / 1024 / 1024,
          'ms CPU to open': (cpuMs(program.pid) - cpuBefore) / effort.heldSessions,
        },
      };
    } finally {
      await holder.stop();
    }
  },
};

export const benches: readonly Bench[] = [handshake, keepAlive, bulk, memory];

const loadScript = join(import.meta.dirname, 'load.ts');

/** Runs the client program; throws when anything failed. */
async function load({ lab }: Site, plan: Load): Promise<LoadReport> {
  const output = await lab.client.mustRun([process.execPath, loadScript, JSON.stringify(plan)], { timeoutMs: plan.timeMs + 30_000 });
  return whole(parseReport(output), plan);
}

function whole(report: LoadReport | null, { count }: Load): LoadReport {
  if (report === null) throw new Error('the client gave no report');
  if (report.failed > 0) throw new Error(`${String(report.failed)} of ${String(count)} connections failed: ${report.reasons.join('; ')}`);
  return report;
}

/** Opens connections that stay until the program is stopped. */
async function hold({ lab }: Site, count: number): Promise<Program> {
  const plan: Load = { ...page, kind: 'hold', count, atOnce: handshakesAtOnce, timeMs: loadMs };
  const program = await lab.client.spawn('hold', [process.execPath, loadScript, JSON.stringify(plan)], { input: true });
  try {
    await program.waitForOutput(/^\{.*\}$/m, loadMs + 10_000);
    whole(parseReport(program.output()), plan);
    return program;
  } catch (caught) {
    await program.stop();
    throw caught;
  }
}

async function wrk({ lab }: Site, seconds: number): Promise<{ requests: number; perSecond: number }> {
  const output = await lab.client.mustRun(
    ['wrk', '-t', '1', '-c', String(keepAliveConnections), '-d', `${String(seconds)}s`, '--timeout', '10s', url(page.path)],
    { timeoutMs: seconds * 1000 + 30_000 },
  );
  return parseWrk(output);
}

/** Requests of a run of wrk; throws when some failed, or none came. */
export function parseWrk(output: string): { requests: number; perSecond: number } {
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? NaN);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1] ?? NaN);
  const trouble = /^\s*(Socket errors:.*|Non-2xx or 3xx responses:.*)$/m.exec(output)?.[1];
  if (trouble !== undefined) throw new Error(trouble);
  if (!(requests > 0)) throw new Error(`no requests: ${output.trim().slice(0, 200)}`);
  return { requests, perSecond };
}

/** Seconds that one download took; throws when it is not whole. */
async function download({ lab }: Site): Promise<number> {
  const output = await lab.client.mustRun(
    ['curl', '-sSk', '--http1.1', '-m', '120', '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{time_total}', url('/big')], { timeoutMs: 130_000 },
  );
  const [status, bytes, seconds] = output.split(' ').map(Number);
  if (status !== 200 || bytes !== bulkBytes || seconds === undefined) throw new Error(`the download ended as ${output}`);
  return seconds;
}

/** One page with a client that trusts only the proxy's issuer: proves that it is this proxy that answers, as an interceptor. */
export async function proveIntercepted({ lab }: Site, { caFile }: Instance): Promise<void> {
  const answer = await lab.client.mustRun(['curl', '-sS', '-4', '--http1.1', '-m', '20', '--cacert', caFile, '-o', '/dev/null', '-w', '%{http_code} %{size_download}', url(page.path)], { timeoutMs: 30_000 });
  if (answer !== `200 ${String(page.pageBytes)}`) throw new Error(`the proof request ended as ${answer}`);
}
